"""A zip: its table of contents, read by zipfile, and its entries, inflated here."""

import stat
import struct
import sys
import zipfile
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from isal import isal_zlib
from msgspec import Struct

from chatferry.archive.entry_rules import Contents, Entry, EntryRules, Limits
from chatferry.archive.messages import AGAIN, MIB, fault
from chatferry.archive.streams import BLOCK, Cursor, File

_LOCAL_HEADER = struct.Struct("<4s22xHH")
_CENTRAL_SIGNATURE = b"PK\1\2"
_METHODS = {
    1: "Shrink", 6: "Implode", 9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "xz", 98: "PPMd",
}  # fmt: skip
_ENCRYPTED = 0x1 | 0x40 | 0x2000  # traditional, strong, with a masked table of contents
_UTF8_NAME = 0x800
_DOS_LIKE = {0, 6, 10, 11, 14}  # FAT, HPFS, NTFS twice, VFAT


class Zip:
    """Entries are inflated here and not by zipfile, which cuts an entry that grows beyond its declared size
    silently where its checksum agrees, inflates without bounds and takes four times as long."""

    def __init__(self, file: File) -> None:
        self._file = file

    def blocks(self, entry: Entry) -> Iterator[bytes]:
        header = self._file.at(entry.offset, _LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size or not header.startswith(b"PK\3\4"):
            raise EOFError("no local header")
        _, name, extra = _LOCAL_HEADER.unpack(header)
        packed = self._file.blocks(entry.offset + len(header) + name + extra, entry.packed)
        return _inflated(packed) if entry.deflated else packed

    def close(self) -> None:
        self._file.close()


def _inflated(packed: Iterator[bytes]) -> Iterator[bytes]:
    inflater = isal_zlib.decompressobj(-isal_zlib.MAX_WBITS)
    for data in packed:
        while block := inflater.decompress(data, BLOCK):
            yield block
            data = inflater.unconsumed_tail
    if not inflater.eof:
        raise EOFError("deflated data without an end")


class _ZipCursor(Cursor):
    """Stops at a table of contents with too many entries, before zipfile makes an object of each."""

    def __init__(self, file: File, rules: EntryRules) -> None:
        super().__init__(file, budget=sys.maxsize)
        self._census = rules

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        if len(data) > MIB:
            self._census.expect(data.count(_CENTRAL_SIGNATURE))
        return data


class _Listed(Struct, frozen=True, gc=False):
    """An entry as the table of contents has it."""

    written: str
    mode: int
    flags: int
    method: int
    entry: Entry


class _Listing:
    """Takes the place of zipfile's two lists of its entries, which would take ten times as much memory."""

    def __init__(self) -> None:
        self.entries: deque[_Listed] = deque()

    def append(self, info: zipfile.ZipInfo) -> None:
        # Some programs call an empty file deflated and write nothing at all.
        deflated = info.compress_type == zipfile.ZIP_DEFLATED and info.compress_size > 0
        entry = Entry(info.file_size, info.compress_size, info.header_offset, info.CRC, deflated)
        mode = info.external_attr >> 16
        self.entries.append(_Listed(_zip_name(info), mode, info.flag_bits, info.compress_type, entry))

    def __setitem__(self, name: str, info: zipfile.ZipInfo) -> None:
        pass

    def __iter__(self) -> Iterator[zipfile.ZipInfo]:
        return iter(())


class _Table(zipfile.ZipFile):
    """Reads a table of contents."""

    def __init__(self, file: Cursor) -> None:
        self.listing = _Listing()
        super().__init__(file)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, self.listing if name in ("filelist", "NameToInfo") else value)


def open_zip(archive: str, file: File, limits: Limits) -> tuple[Contents, Zip]:
    rules = EntryRules(archive, limits)
    try:
        _judge_end(_ZipCursor(file, rules), rules)
        with _Table(_ZipCursor(file, rules)) as table:
            entries = table.listing.entries
        while entries:
            _add_zip_entry(rules, entries.popleft(), file.size)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise fault(archive, "is a zip that is damaged or incomplete", AGAIN) from error
    rules.judge_ratio(file.size)
    return rules.contents(), Zip(file)


def _judge_end(cursor: Cursor, rules: EntryRules) -> None:
    """Judge a table of contents by what the end of the file says of it, before it is read."""
    if end := zipfile._EndRecData(cursor):  # type: ignore[attr-defined]  # private: it knows ZIP64
        rules.expect(end[zipfile._ECD_ENTRIES_TOTAL])  # type: ignore[attr-defined]
        rules.judge_names(end[zipfile._ECD_SIZE])  # type: ignore[attr-defined]


def _add_zip_entry(rules: EntryRules, listed: _Listed, file_size: int) -> None:
    written, entry = listed.written, listed.entry
    name = rules.admit(written)
    if name is None or written.endswith("/") or stat.S_ISDIR(listed.mode):
        return
    rules.judge_mode(written, listed.mode)
    if listed.flags & _ENCRYPTED:
        raise rules.fault(written, "is encrypted", "Pack the export again without a password.")
    if listed.method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        method = _METHODS.get(listed.method, f"method {listed.method}")
        raise rules.fault(written, f"is compressed with {method}", "Pack it again with the usual Deflate.")
    if not 0 <= entry.offset <= file_size - entry.packed - _LOCAL_HEADER.size:
        raise rules.fault(written, "lies outside of the file, which is damaged or incomplete", AGAIN)
    rules.add(written, name, entry)


def _zip_name(info: zipfile.ZipInfo) -> str:
    """The name as it was meant."""
    name = info.orig_filename  # `filename` ends at a zero byte
    if not info.flag_bits & _UTF8_NAME and not name.isascii():
        # Slack writes UTF-8 without saying so, and zipfile takes it for cp437: "caf├⌐" is "café".
        with suppress(UnicodeError):  # it really is cp437
            name = name.encode("cp437").decode()
    # Old .NET programs write "general\2020-01-01.json".
    return name.replace("\\", "/") if info.create_system in _DOS_LIKE else name
