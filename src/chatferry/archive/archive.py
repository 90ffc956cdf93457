"""The one read-only view of a zip, tar, folder or dict."""

import io
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import BinaryIO, Protocol, Self, TypeVar

import xxhash
from isal import isal_zlib
from isal.igzip_lib import IsalError

from chatferry.archive.entry_rules import ArchiveEntry, Listing
from chatferry.archive.messages import AGAIN, fault, quoted, unreadable
from chatferry.archive.single_file import SingleContainer
from chatferry.archive.streams import EntryStream, ReplayBuffer
from chatferry.errors import ArchiveError

Shared = TypeVar("Shared")
Item = TypeVar("Item")
Result = TypeVar("Result")


class Container(Protocol):
    """The bytes of an archive.

    `blocks` may raise OSError, EOFError and IsalError; it need not check sizes, but must never run far ahead
    of what has been taken from it.
    """

    def blocks(self, entry: ArchiveEntry) -> Iterator[bytes]: ...
    def close(self) -> None: ...


class Spread(Protocol):
    """A function that does the work of `Archive.each`, in several processes."""

    def __call__(
        self, work: "Callable[[Archive, Shared, Item], Result]", shared: Shared, items: Iterable[Item]
    ) -> Iterator[Result]: ...


class Archive:
    """The file entries of an archive, by name. Get one from `open_archive`; close it, or use it in `with`.

    Several threads, and processes forked from this one, may read at the same time.
    """

    name: str  # for messages: the file name of the archive
    wrapping: str  # the folders around everything, which are not part of the names
    spread: Spread | None  # other processes that have the same archive open

    def __init__(
        self,
        name: str,
        contents: Listing,
        container: Container,
        tag: str = "",
        on_block: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self._tag = tag
        self.wrapping = contents.wrapping
        self._on_block = on_block
        self.spread = None
        self._entries = contents.entries
        self._container = container
        self._left: deque[tuple[str, ReplayBuffer]] = deque(maxlen=1)  # where the last stream was closed

    def names(self) -> list[str]:
        """Return all file entries, sorted: without folders, the wrapping top folder, and junk of macOS."""
        return list(self._entries)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def size(self, name: str) -> int:
        """Return the inflated size of an entry in bytes. Raise ArchiveError if there is no such entry."""
        return self._entry(name).size

    def checksum(self, name: str) -> int | None:
        """Return the CRC-32 that the archive gives of an entry, None if it gives none; raise as `size`."""
        return self._entry(name).crc

    def fingerprint(self) -> str:
        """Return a text made of the names, sizes and checksums of all entries, and of a remote file's tag."""
        found = xxhash.xxh3_128(self._tag.encode())
        for name, entry in self._entries.items():
            found.update(f"{name}\0{entry.size}\0{entry.crc}\n".encode(errors="backslashreplace"))
        return found.hexdigest()

    @property
    def is_single(self) -> bool:
        return isinstance(self._container, SingleContainer)

    def open(self, name: str, start: int = 0) -> BinaryIO:
        """Open a stream of an entry's bytes from `start` on, forward only.

        A stream that begins where the last one was closed costs nothing more: an entry can be read piece by
        piece. Any other stream reads from the entry's beginning.

        Opening raises ArchiveError if there is no such entry, reading if the entry is damaged or larger than
        it declares; the last block is handed out only once the whole entry has been checked.
        """
        return io.BufferedReader(EntryStream(self._from(name, self._entry(name), start)))

    def read(self, name: str) -> bytes:
        """Return the whole content of an entry, checked. Raise ArchiveError as `open` and its stream do."""
        return b"".join(self._blocks(name, self._entry(name)))

    def each(
        self, work: "Callable[[Archive, Shared, Item], Result]", shared: Shared, items: Iterable[Item]
    ) -> Iterator[Result]:
        """Yield `work(archive, shared, item)` for each item, in order.

        Processes that read this archive too may do a part of it. So `work` must be a function of a module,
        and its arguments and results must be fit to be sent to another process (pickled).
        """
        if self.spread is not None:
            return self.spread(work, shared, items)
        return (work(self, shared, item) for item in items)

    def close(self) -> None:
        self._left.clear()
        self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _from(self, name: str, entry: ArchiveEntry, start: int) -> Generator[bytes, None, None]:
        replay = self._taken_up(name, start) or ReplayBuffer(self._blocks(name, entry))
        try:
            yield from replay.after(start)
        except GeneratorExit:
            self._left.append((name, replay))
            raise

    def _taken_up(self, name: str, start: int) -> ReplayBuffer | None:
        """Take the buffer that was left in this entry, if it still reaches `start`."""
        try:
            left, replay = self._left.pop()
        except IndexError:
            return None
        return replay if left == name and replay.reaches(start) else None

    def _entry(self, name: str) -> ArchiveEntry:
        entry = self._entries.get(name)
        if entry is None:
            raise fault(self.name, f"holds no file {quoted(name)}", "Check that the export is complete.")
        return entry

    def _blocks(self, name: str, entry: ArchiveEntry) -> Generator[bytes, None, None]:
        """Yield an entry's bytes; hold the last block back until size and checksum are checked."""
        left, crc, held = entry.size, 0, b""
        try:
            for block in self._container.blocks(entry):
                self._on_block()
                left -= len(block)
                if left < 0:
                    raise self._damaged(name, f"it holds more than the {entry.size} bytes it declares")
                if entry.crc is not None:
                    crc = isal_zlib.crc32(block, crc)
                if held:
                    yield held
                held = block
        except (IsalError, EOFError) as error:  # type: ignore[misc]  # isal declares it as a value
            raise self._damaged(name, "its compressed data is broken or cut off") from error
        except OSError as error:
            raise unreadable(f"{self.name}: {quoted(name)}", error) from error
        if left:
            raise self._damaged(name, f"{left} of its {entry.size} bytes are missing")
        if entry.crc is not None and crc != entry.crc:
            raise self._damaged(name, "its checksum is wrong")
        if held:
            yield held

    def _damaged(self, name: str, why: str) -> ArchiveError:
        return fault(self.name, f"{quoted(name)} is damaged: {why}", AGAIN)
