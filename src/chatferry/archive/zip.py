"""A zip: its table of contents (the central directory) and its entries, both read here.

Python's zipfile makes an object of 600 bytes for each entry before any limit can be checked. It cuts an entry
that grows beyond its declared size silently where its checksum agrees, inflates without bounds and takes four
times as long.
"""

import stat
import struct
from collections.abc import Iterator

from isal import isal_zlib
from msgspec import Struct

from chatferry.archive.entry_rules import ArchiveEntry, EntryRules, Limits, Listing
from chatferry.archive.messages import AGAIN, fault
from chatferry.archive.streams import BLOCK, FileContainer, OffsetFile
from chatferry.sizes import MIB

_LOCAL_HEADER = struct.Struct("<4s22xHH")  # lengths of name and extra field
_CENTRAL_HEADER = struct.Struct("<4sxBBxHH4xIIIHHH4xII")
_EXTRA_HEADER = struct.Struct("<HH")  # kind and length
_END = struct.Struct("<4s6xHIIH")  # number of entries, size and offset of the table, length of the comment
_END_64 = struct.Struct("<4s28xQQQ")
_END_64_LOCATOR = struct.Struct("<4sI8xI")  # number of the disk with `_END_64`, and of all disks
_CENTRAL_SIGNATURE, _END_SIGNATURE = b"PK\1\2", b"PK\5\6"
_LONGEST_COMMENT = 0xFFFF
_ZIP64 = 1  # the kind of the extra field for values that a header has no room for
_NO_ROOM = 0xFFFF_FFFF  # in a header: the value is in the extra field
_NEWEST = 63  # the version of the format: 6.3
_STORED, _DEFLATED = 0, 8
_METHODS = {
    1: "Shrink", 6: "Implode", 9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "xz", 98: "PPMd",
}  # fmt: skip
_ENCRYPTED = 0x1 | 0x40 | 0x2000  # traditional, strong, with a masked table of contents
_UTF8_NAME = 0x800
_DOS_LIKE = {0, 6, 10, 11, 14}  # FAT, HPFS, NTFS twice, VFAT


class _DamagedError(Exception):
    """The table of contents does not hold together."""


class ZipContainer(FileContainer):
    def blocks(self, entry: ArchiveEntry) -> Iterator[bytes]:
        header = self._file.at(entry.offset, _LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size or not header.startswith(b"PK\3\4"):
            raise EOFError("no local header")
        _, name, extra = _LOCAL_HEADER.unpack(header)
        packed = self._file.blocks(entry.offset + len(header) + name + extra, entry.packed)
        return _inflated(packed) if entry.deflated else packed


def _inflated(packed: Iterator[bytes]) -> Iterator[bytes]:
    inflater = isal_zlib.decompressobj(-isal_zlib.MAX_WBITS)
    for data in packed:
        while block := inflater.decompress(data, BLOCK):
            yield block
            data = inflater.unconsumed_tail
    if not inflater.eof:
        raise EOFError("deflated data without an end")


class _TableOfContents(Struct, frozen=True):
    """Where the table of contents is, as the end of the file says.

    entries  how many it claims to have
    shift    bytes in front of the zip, which its offsets do not count
    """

    entries: int
    start: int
    size: int
    shift: int


class _Header(Struct, frozen=True, gc=False):
    """An entry as the table of contents has it. `name` as the archive writes it."""

    name: str
    mode: int
    flags: int
    method: int
    entry: ArchiveEntry


def open_zip(archive: str, file: OffsetFile, limits: Limits) -> tuple[Listing, ZipContainer]:
    rules = EntryRules(archive, limits)
    try:
        table = _find_table(file)
        rules.expect(table.entries)
        rules.judge_names(table.size)
        if table.start < 0:
            raise _DamagedError
        data = file.at(table.start, table.size)
        if len(data) > MIB:  # it may claim fewer entries than it has
            rules.expect(data.count(_CENTRAL_SIGNATURE))
        for header in _headers(data, table.shift):
            _add_entry(rules, header, file.size)
    except (_DamagedError, struct.error, UnicodeDecodeError) as error:
        raise fault(archive, "is a zip that is damaged or incomplete", AGAIN) from error
    rules.judge_ratio(file.size)
    return rules.contents(), ZipContainer(file)


def _find_table(file: OffsetFile) -> _TableOfContents:
    """Return where the table of contents is; the last record of a zip says so, with a comment behind it."""
    first = max(0, file.size - _END.size - _LONGEST_COMMENT)
    tail = file.at(first, file.size - first)
    place = len(tail) - _END.size
    if not (tail.startswith(_END_SIGNATURE, max(0, place)) and tail.endswith(b"\0\0")):  # with a comment
        place = tail.rfind(_END_SIGNATURE)
    if place < 0:
        raise _DamagedError
    _, entries, size, offset, _ = _END.unpack_from(tail, place)
    end = first + place
    if wide := _find_end_64(file, end):
        end, (_, entries, size, offset) = end - _END_64_LOCATOR.size - _END_64.size, wide
    return _TableOfContents(entries, end - size, size, end - size - offset)


def _find_end_64(file: OffsetFile, end: int) -> tuple[bytes, int, int, int] | None:
    """Return the record with wider fields that a large zip has before its last one; None if there is none."""
    before = file.at(max(0, end - _END_64_LOCATOR.size), _END_64_LOCATOR.size)
    if not before.startswith(b"PK\6\7"):
        return None
    _, disk, disks = _END_64_LOCATOR.unpack(before)
    if disk or disks > 1:
        raise _DamagedError
    record = file.at(max(0, end - _END_64_LOCATOR.size - _END_64.size), _END_64.size)
    return _END_64.unpack(record) if record.startswith(b"PK\6\6") else None


def _headers(table: bytes, shift: int) -> Iterator[_Header]:
    place = 0
    while place < len(table):
        signature, system, version, flags, method, crc, packed, size, *lengths, attributes, offset = (
            _CENTRAL_HEADER.unpack_from(table, place)
        )
        if signature != _CENTRAL_SIGNATURE or version > _NEWEST:
            raise _DamagedError
        place += _CENTRAL_HEADER.size
        name = table[place : place + lengths[0]]
        extra = table[place + lengths[0] : place + lengths[0] + lengths[1]]
        place += sum(lengths)  # of name, extra field and comment
        size, packed, offset = _wide(size, packed, offset, extra)
        # Some programs call an empty file deflated and write nothing at all.
        entry = ArchiveEntry(size, packed, offset + shift, crc, method == _DEFLATED and packed > 0)
        yield _Header(_name(name, flags, system), attributes >> 16, flags, method, entry)


def _wide(size: int, packed: int, offset: int, extra: bytes) -> tuple[int, int, int]:
    """Return the sizes and the offset of an entry, from its extra field where its header has no room."""
    place = 0
    while place + _EXTRA_HEADER.size <= len(extra):
        kind, length = _EXTRA_HEADER.unpack_from(extra, place)
        place += _EXTRA_HEADER.size + length
        if place > len(extra):
            raise _DamagedError
        if kind == _ZIP64:
            values = struct.iter_unpack("<Q", extra[place - length : place - length % 8])
            size, packed, offset = (
                _next(values) if value == _NO_ROOM else value for value in (size, packed, offset)
            )
    return size, packed, offset


def _next(values: Iterator[tuple[int]]) -> int:
    for (value,) in values:
        return value
    raise _DamagedError


def _name(written: bytes, flags: int, system: int) -> str:
    try:
        name = written.decode()  # Slack writes UTF-8 without saying so
    except UnicodeDecodeError:
        if flags & _UTF8_NAME:
            raise
        name = written.decode("cp437")
    # Old .NET programs write "general\2020-01-01.json".
    return name.replace("\\", "/") if system in _DOS_LIKE else name


def _add_entry(rules: EntryRules, header: _Header, file_size: int) -> None:
    entry = header.entry
    name = rules.admit(header.name)
    if name is None or header.name.endswith("/") or stat.S_ISDIR(header.mode):
        return
    rules.judge_mode(header.name, header.mode)
    if header.flags & _ENCRYPTED:
        raise rules.fault(header.name, "is encrypted", "Pack the export again without a password.")
    if header.method not in (_STORED, _DEFLATED):
        method = _METHODS.get(header.method, f"method {header.method}")
        raise rules.fault(
            header.name, f"is compressed with {method}", "Pack it again with the usual Deflate."
        )
    if not 0 <= entry.offset <= file_size - entry.packed - _LOCAL_HEADER.size:
        raise rules.fault(header.name, "lies outside of the file, which is damaged or incomplete", AGAIN)
    rules.add(header.name, name, entry)
