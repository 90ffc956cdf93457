"""Disk space for uploads: announced bytes are reserved until they arrive; databases have a reserve, too."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chatferry.disks import Disk, disk_of, reserve, shown
from chatferry.errors import NoRoomError


class UploadRoom:
    """The reserved disk space of the uploads into a folder. Thread-safe."""

    def __init__(self, folder: Path, min_free: int | None) -> None:
        self._folder = folder
        self._min_free = min_free
        self._lock = threading.Lock()
        self._sizes: dict[Path, int] = {}

    def promise(self, path: Path, size: int) -> None:
        """Reserve space for an upload of this size, or raise NoRoomError."""
        with self._lock:
            disk = disk_of(self._folder)
            self._require(disk, size, self._to_come())
            self._sizes[path] = size

    def promise_again(self, path: Path, size: int) -> None:
        """Reserve space for an upload that was announced before this process began."""
        with self._lock:
            self._sizes[path] = size

    def release(self, path: Path) -> None:
        """Release the space: the upload is complete or deleted. A second call changes nothing."""
        with self._lock:
            self._sizes.pop(path, None)

    @contextmanager
    def promised(self, path: Path, size: int) -> Iterator[None]:
        """Reserve space inside a `with` block; `size` is 0 if it is unknown."""
        self.promise(path, size)
        try:
            yield
        finally:
            self.release(path)

    def check(self, path: Path) -> None:
        """Raise NoRoomError if nothing more may be written, because something else fills the disk."""
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
    """Return how many bytes of an upload are on the disk."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
