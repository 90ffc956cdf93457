"""Room for uploads: what was announced of them stays free until it has come, and a reserve for databases."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chatferry.disks import Disk, disk_of, reserve, shown
from chatferry.errors import NoRoomError


class UploadRoom:
    """Knows which uploads are to come into a folder. Any thread may use it."""

    def __init__(self, folder: Path, min_free: int | None) -> None:
        self._folder = folder
        self._min_free = min_free
        self._lock = threading.Lock()
        self._sizes: dict[Path, int] = {}

    def promise(self, path: Path, size: int) -> None:
        """Keep room for an upload of this size. Raise NoRoomError if there is none."""
        with self._lock:
            disk = disk_of(self._folder)
            self._require(disk, size, self._to_come())
            self._sizes[path] = size

    def promise_again(self, path: Path, size: int) -> None:
        """Keep room for an upload that was announced before this process began."""
        with self._lock:
            self._sizes[path] = size

    def release(self, path: Path) -> None:
        """Keep no more room: the upload is complete, or given up. Harmless to repeat."""
        with self._lock:
            self._sizes.pop(path, None)

    @contextmanager
    def promised(self, path: Path, size: int) -> Iterator[None]:
        """Keep room inside a block; `size` is 0 if it is not known."""
        self.promise(path, size)
        try:
            yield
        finally:
            self.release(path)

    def check(self, path: Path) -> None:
        """Raise NoRoomError if no more may be written to an upload: the disk is filled by somebody else."""
        with self._lock:
            others = 0 if self._sizes.get(path) else self._to_come()
        self._require(disk_of(self._folder), 0, others)

    def _to_come(self) -> int:
        return sum(max(0, size - _come(path)) for path, size in self._sizes.items())

    def _require(self, disk: Disk, size: int, others: int) -> None:
        kept = reserve(self._min_free, disk)
        if disk.free >= size + others + kept:
            return
        needed = f"it needs {shown(size)}, and of " if size else "of "
        promised = f", {shown(others)} are promised to uploads that have begun" if others else ""
        raise NoRoomError(
            f"there is no room: {needed}{shown(disk.free)} that are free {shown(kept)} are kept for databases"
            f"{promised}"
        )


def _come(path: Path) -> int:
    """Return how much of an upload is on the disk."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
