"""A tar, plain or in gzip: a tar.gz is unpacked into a temporary file."""

import gzip
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack

from chatferry.archive.entry_rules import ArchiveEntry, EntryRules, Limits, Listing, beyond_ratio
from chatferry.archive.messages import AGAIN, REPACK, TRUST, amount, fault, quoted, reason
from chatferry.archive.streams import BLOCK, Cursor, FileContainer, OffsetFile
from chatferry.sizes import MIB

TAR_BLOCK = 512
_TAR_HEADERS = MIB  # bytes that the headers of one tar entry may take
_TAR_OVERHEAD = 4096  # bytes of headers and padding that are granted to each tar entry


class TarContainer(FileContainer):
    def blocks(self, entry: ArchiveEntry) -> Iterator[bytes]:
        return self._file.blocks(entry.offset, entry.size)


class _Unpacked(OffsetFile):
    """A gzip file, unpacked into a temporary file as far as it has been asked for."""

    def __init__(self, archive: str, packed: OffsetFile, limits: Limits) -> None:
        super().__init__(tempfile.TemporaryFile())  # noqa: SIM115  (closed by `close`)
        self._archive = archive
        self._limits = limits
        self._cursor = Cursor(packed, budget=sys.maxsize)
        self._gzip = gzip.GzipFile(fileobj=self._cursor)
        self._inflated = 0

    def at(self, offset: int, size: int) -> bytes:
        while self.size < offset + size and (block := self._inflate()):
            self._append(block)
        return super().at(offset, size)

    def drain(self) -> None:
        while self._inflate():
            pass

    def _inflate(self) -> bytes:
        try:
            block = self._gzip.read(BLOCK)
        except (zlib.error, gzip.BadGzipFile) as error:
            raise EOFError("nothing more can be inflated") from error
        self._inflated += len(block)
        if beyond_ratio(self._limits, self._inflated, self._cursor.tell()):
            why = f"inflates to more than {self._limits.ratio} times its size"
            raise fault(self._archive, why, TRUST.format("ratio"))
        if self._inflated > self._limits.total_bytes + self._limits.entries * _TAR_OVERHEAD:
            why = f"inflates to more than {amount(self._limits.total_bytes)}"
            raise fault(self._archive, why, TRUST.format("total_bytes"))
        return block

    def _append(self, block: bytes) -> None:
        try:
            self._file.write(block)
            self._file.flush()
        except OSError as error:
            room = f"Make room in {tempfile.gettempdir()}, or give the export as a zip."
            raise fault(self._archive, f"cannot be unpacked ({reason(error)})", room) from error
        self.size += len(block)


def open_tar(archive: str, file: OffsetFile, limits: Limits, otherwise: str) -> tuple[Listing, TarContainer]:
    """Open a tar. `otherwise` says what the file is if it is no tar."""
    return _list_tar(archive, file, limits, otherwise), TarContainer(file)


def open_tar_gz(archive: str, packed: OffsetFile, limits: Limits) -> tuple[Listing, TarContainer]:
    with ExitStack() as stack:
        unpacked = _Unpacked(archive, packed, limits)
        stack.callback(unpacked.close)
        contents = _list_tar(archive, unpacked, limits, "is a gzip file without a tar in it")
        stack.pop_all()
    packed.close()
    return contents, TarContainer(unpacked)


def _list_tar(archive: str, file: OffsetFile, limits: Limits, otherwise: str) -> Listing:
    """Return all entries of a tar. `otherwise` says what the file is if it is no tar."""
    rules = EntryRules(archive, limits)
    try:
        for info in _tar_headers(file):
            _add_tar_entry(rules, info)
        file.drain()
    except _TAR_DAMAGE as error:
        if isinstance(error, tarfile.TarError) and not rules.last:
            raise fault(archive, otherwise, "Give the export as it was downloaded.") from error
        where = f" after {quoted(rules.last)}" if rules.last else ""
        raise fault(archive, f"is a tar that is damaged or incomplete{where}", AGAIN) from error
    return rules.contents()


# The last three are what tarfile makes of nonsense in headers.
_TAR_DAMAGE = (tarfile.TarError, EOFError, ValueError, LookupError, RecursionError)


def _tar_headers(file: OffsetFile) -> Iterator[tarfile.TarInfo]:
    """Yield the header of every entry. tarfile's own loop takes damage and a missing end for the end."""
    cursor = Cursor(file, _TAR_HEADERS)
    with tarfile.TarFile(fileobj=cursor, encoding="utf-8", errors="surrogateescape") as table:
        info = table.next()
        while info:
            yield info
            head = file.at(table.offset, TAR_BLOCK)
            if len(head) < TAR_BLOCK:
                raise EOFError("no end mark")
            if not any(head):
                return
            cursor.seek(table.offset)
            cursor.budget = _TAR_HEADERS
            info = tarfile.TarInfo.fromtarfile(table)


_TAR_TYPES = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a named pipe",
}


def _add_tar_entry(rules: EntryRules, info: tarfile.TarInfo) -> None:
    name = rules.admit(info.name)
    if name is None or info.isdir():
        return
    if not info.isreg() or info.issparse():
        kind = _TAR_TYPES.get(info.type, "a sparse file" if info.isreg() else "no ordinary file")
        raise rules.fault(info.name, f"is {kind}", REPACK)
    if info.size < 0:
        raise rules.fault(info.name, "has a size below zero: the tar is damaged", AGAIN)
    rules.add(info.name, name, ArchiveEntry(info.size, info.size, info.offset_data))
