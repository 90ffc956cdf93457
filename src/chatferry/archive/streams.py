"""Reading: a file by offset or with a position, and blocks as a stream."""

import io
import os
from collections import deque
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, BinaryIO

from chatferry.sizes import MIB

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK = MIB  # bytes read or inflated at a time


class EntryStream(io.RawIOBase):
    """Blocks as a raw stream."""

    def __init__(self, blocks: Generator[bytes, None, None]) -> None:
        self._blocks = blocks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        if not self._rest:
            self._rest = memoryview(next(self._blocks, b""))
        target = memoryview(buffer).cast("B")
        taken = min(len(target), len(self._rest))
        target[:taken] = self._rest[:taken]
        self._rest = self._rest[taken:]
        return taken

    def close(self) -> None:
        self._blocks.close()
        super().close()


class ReplayBuffer:
    """An entry's blocks, and how far they were read: reading can go on there, or a little before."""

    _KEPT = 2 * MIB

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._last: deque[bytes] = deque()
        self._begin = self._end = 0  # of the last blocks, in the entry

    def reaches(self, start: int) -> bool:
        """Return whether the bytes from `start` on are still available."""
        return start >= self._begin

    def after(self, start: int) -> Generator[bytes, None, None]:
        place = self._begin
        for block in tuple(self._last):
            place += len(block)
            if start < place:
                yield block[max(0, len(block) - place + start) :]
        for block in self._blocks:
            self._keep(block)
            if start < self._end:
                yield block[max(0, len(block) - self._end + start) :]

    def _keep(self, block: bytes) -> None:
        self._last.append(block)
        self._end += len(block)
        while self._end - self._begin - len(self._last[0]) >= self._KEPT:
            self._begin += len(self._last.popleft())


class OffsetFile:
    """A file read by offset, so that several threads can read at different places."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = os.fstat(file.fileno()).st_size

    def at(self, offset: int, size: int) -> bytes:
        """Return `size` bytes, fewer only at the end of the file."""
        return b"".join(self.blocks(offset, size))

    def blocks(self, offset: int, size: int) -> Iterator[bytes]:
        end = min(offset + size, self.size)
        while offset < end and (block := os.pread(self._file.fileno(), min(end - offset, BLOCK), offset)):
            yield block
            offset += len(block)

    def drain(self) -> None:
        """Read on to the end, if that is where a checksum is."""

    def close(self) -> None:
        self._file.close()


class FileContainer:
    """The bytes of an archive that is one file."""

    def __init__(self, file: OffsetFile) -> None:
        self._file = file

    def close(self) -> None:
        self._file.close()


class Cursor(io.RawIOBase):
    """A file with a position, through which tarfile and gzip read.

    `budget` is how many bytes they may read before it is set again: headers lie about their own sizes too.
    """

    def __init__(self, file: OffsetFile, budget: int) -> None:
        self._file = file
        self._position = 0
        self.budget = budget

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._file.size}[whence]
        if start + offset < 0:
            raise OSError("a place before the beginning of the file")
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size == -1:
            size = max(0, self._file.size - self._position)
        if not 0 <= size <= self.budget:
            raise EOFError("headers larger than anything sensible")
        data = self._file.at(self._position, size)
        self._position += len(data)
        self.budget -= len(data)
        return data
