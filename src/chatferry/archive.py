"""An archive as it was given to us: a zip, a tar, a folder or a dict behind one read-only view.

What an entry may be called, how large it may grow and how many there may be is judged here and nowhere else.
Nothing is ever unpacked under a name from the archive. Names use "/" and are relative.
"""

import errno
import gzip
import io
import os
import re
import stat
import struct
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, suppress
from itertools import takewhile
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Protocol, Self

from msgspec import Struct

from chatferry.errors import ArchiveError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MIB = 1 << 20
GIB = 1 << 30

_BLOCK = MIB  # bytes read or inflated at a time
_TAR_BLOCK = 512
_TAR_HEADERS = MIB  # bytes that the headers of one tar entry may take
_TAR_OVERHEAD = 4096  # bytes of headers and padding that are granted to each tar entry

_AGAIN = "Download the export again."
_REPACK = "Unpack the archive, mend this, and pack it again as a zip."
_TRUST = "If you trust the archive, raise the limit {}."


class Limits(Struct, frozen=True):
    """What an archive may ask of this machine. More is refused at opening, or as soon as it shows.

    entries      entries, folders and ignored ones included
    entry_bytes  bytes of one entry, inflated
    total_bytes  bytes of all entries, inflated
    ratio        inflated / packed size, of one entry and of the whole archive
    ratio_from   inflated bytes from which on the ratio is judged: small files may well repeat themselves
    """

    entries: int = 1_000_000
    entry_bytes: int = 64 * GIB
    total_bytes: int = 512 * GIB
    ratio: int = 200
    ratio_from: int = 64 * MIB


DEFAULT_LIMITS = Limits()


class Archive:
    """The file entries of an archive, by name. Get one from `open_archive`; close it, or use it in `with`.

    Several threads, and processes forked from this one, may read at the same time.
    """

    name: str  # for messages: the file name of the archive
    before_read: Callable[[], None]  # called before each block: what it raises stops the reading

    def __init__(self, name: str, entries: "dict[str, _Entry]", container: "_Container") -> None:
        self.name = name
        self.before_read = lambda: None
        self._entries = entries
        self._container = container

    def names(self) -> list[str]:
        """All file entries, sorted; no folders, no wrapping top folder, no junk of macOS."""
        return list(self._entries)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def size(self, name: str) -> int:
        """The size of an entry in bytes, inflated. Raises ArchiveError if there is no such entry."""
        return self._entry(name).size

    def open(self, name: str) -> BinaryIO:
        """A stream of an entry's bytes, forward only.

        Opening raises ArchiveError if there is no such entry, reading if the entry is damaged or larger than
        it declares; the last block is handed out only once the whole entry has been checked.
        """
        return io.BufferedReader(_EntryStream(self._blocks(name, self._entry(name))))

    def read(self, name: str) -> bytes:
        """The whole content of an entry, checked. Raises ArchiveError as `open` and its stream do."""
        return b"".join(self._blocks(name, self._entry(name)))

    def close(self) -> None:
        self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _entry(self, name: str) -> "_Entry":
        entry = self._entries.get(name)
        if entry is None:
            raise _fault(self.name, f"holds no file {_quoted(name)}", "Check that the export is complete.")
        return entry

    def _blocks(self, name: str, entry: "_Entry") -> Generator[bytes, None, None]:
        """An entry's bytes, the last block held back until size and checksum are known to be right."""
        left, crc, held = entry.size, 0, b""
        try:
            for block in self._container.blocks(entry):
                self.before_read()
                left -= len(block)
                if left < 0:
                    raise self._damaged(name, f"it holds more than the {entry.size} bytes it declares")
                if entry.crc is not None:
                    crc = zlib.crc32(block, crc)
                if held:
                    yield held
                held = block
        except (zlib.error, EOFError) as error:
            raise self._damaged(name, "its compressed data is broken or cut off") from error
        except OSError as error:
            raise _unreadable(f"{self.name}: {_quoted(name)}", error) from error
        if left:
            raise self._damaged(name, f"{left} of its {entry.size} bytes are missing")
        if entry.crc is not None and crc != entry.crc:
            raise self._damaged(name, "its checksum is wrong")
        if held:
            yield held

    def _damaged(self, name: str, why: str) -> ArchiveError:
        return _fault(self.name, f"{_quoted(name)} is damaged: {why}", _AGAIN)


def open_archive(
    source: Path | Mapping[str, bytes | str], limits: Limits = DEFAULT_LIMITS, name: str = ""
) -> Archive:
    """Open a zip, tar, tar.gz or folder, told apart by content, or a dict of contents by name.

    `name` is what messages call the archive, where that is not its file name.
    A tar.gz is unpacked into a temporary file once, as it must be read in any order; closing deletes it.
    Raises ArchiveError if the archive cannot be read, is unsafe or goes beyond `limits`.
    """
    if isinstance(source, Mapping):
        return _open_dict(source, limits)
    try:
        mode = _mode(source)
        if stat.S_ISDIR(mode):
            return _open_folder(source, limits)
        if not stat.S_ISREG(mode):
            raise _fault(str(source), "is neither a file nor a folder", "Name the export's file or folder.")
        with ExitStack() as stack:
            file = _File(source.open("rb", buffering=0))
            stack.callback(file.close)
            archive = _open_file(name or source.name, file, limits)
            stack.pop_all()
            return archive
    except OSError as error:
        raise _unreadable(str(source), error) from error


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except ValueError as error:  # a zero byte in the path
        raise FileNotFoundError(errno.ENOENT, str(error)) from error


# ---------------------------------------------------------------- entries and containers


class _Entry(Struct, frozen=True, gc=False):
    """Where an entry is and what it must be. An archive can have very many of them."""

    size: int
    packed: int
    offset: int = 0
    crc: int | None = None
    deflated: bool = False
    path: str = ""  # as folder and dict know it


class _Container(Protocol):
    """What holds the bytes.

    `blocks` may raise OSError, EOFError and zlib.error; it need not check sizes, but must never run far ahead
    of what has been taken from it.
    """

    def blocks(self, entry: _Entry) -> Iterator[bytes]: ...
    def close(self) -> None: ...


class _EntryStream(io.RawIOBase):
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


class _File:
    """A file read by offset, so that nobody minds where others read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = os.fstat(file.fileno()).st_size

    def at(self, offset: int, size: int) -> bytes:
        """`size` bytes, fewer only where the file ends."""
        return b"".join(self.blocks(offset, size))

    def blocks(self, offset: int, size: int) -> Iterator[bytes]:
        end = min(offset + size, self.size)
        while offset < end and (block := os.pread(self._file.fileno(), min(end - offset, _BLOCK), offset)):
            yield block
            offset += len(block)

    def drain(self) -> None:
        """Read on to the end, if that is where a checksum is."""

    def close(self) -> None:
        self._file.close()


class _Cursor(io.RawIOBase):
    """A file with a position, for zipfile and tarfile to read their tables through.

    `budget` is how many bytes they may read before it is set anew: headers lie about their own sizes too.
    """

    def __init__(self, file: _File, budget: int) -> None:
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


def _open_file(archive: str, file: _File, limits: Limits) -> Archive:
    head = file.at(0, _TAR_BLOCK)
    if not head:
        raise _fault(archive, "is empty", _AGAIN)
    if head.startswith((b"PK\3\4", b"PK\5\6", b"PK\7\x08")):
        return _open_zip(archive, file, limits)
    if head.startswith(b"\x1f\x8b"):
        return _open_tar_gz(archive, file, limits)
    return Archive(archive, _list_tar(archive, file, limits, _kind(head)), _Tar(file))


def _kind(head: bytes) -> str:
    """What a file is if it turns out to be none of the archives we read."""
    for magic, kind in _OTHER_KINDS.items():
        if head.lstrip().lower().startswith(magic):
            return f"is {kind}, not a zip or tar"
    return "is neither a zip nor a tar"


_OTHER_KINDS = {  # in lower case
    b"rar!\x1a\7": "a RAR archive",
    b"7z\xbc\xaf'\x1c": "a 7z archive",
    b"\xfd7zxz\0": "an xz file",
    b"bzh": "a bzip2 file",
    b"\x28\xb5\x2f\xfd": "a Zstandard file",
    b"<!doctype html": "a web page",
    b"<html": "a web page",
}


# ---------------------------------------------------------------- zip

_LOCAL_HEADER = struct.Struct("<4s22xHH")
_CENTRAL_SIGNATURE = b"PK\1\2"
_METHODS = {
    1: "Shrink", 6: "Implode", 9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "xz", 98: "PPMd",
}  # fmt: skip
_ENCRYPTED = 0x1 | 0x40 | 0x2000  # traditional, strong, with a masked table of contents
_UTF8_NAME = 0x800
_DOS_LIKE = {0, 6, 10, 11, 14}  # FAT, HPFS, NTFS twice, VFAT


class _Zip:
    """Entries are inflated here and not by zipfile, which cuts an entry that grows beyond its declared size
    silently where its checksum agrees, inflates without bounds and takes four times as long."""

    def __init__(self, file: _File) -> None:
        self._file = file

    def blocks(self, entry: _Entry) -> Iterator[bytes]:
        header = self._file.at(entry.offset, _LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size or not header.startswith(b"PK\3\4"):
            raise EOFError("no local header")
        _, name, extra = _LOCAL_HEADER.unpack(header)
        packed = self._file.blocks(entry.offset + len(header) + name + extra, entry.packed)
        return _inflated(packed) if entry.deflated else packed

    def close(self) -> None:
        self._file.close()


def _inflated(packed: Iterator[bytes]) -> Iterator[bytes]:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    for data in packed:
        while block := inflater.decompress(data, _BLOCK):
            yield block
            data = inflater.unconsumed_tail
    if not inflater.eof:
        raise EOFError("deflated data without an end")


class _ZipCursor(_Cursor):
    """Stops at a table of contents with too many entries, before zipfile makes an object of each."""

    def __init__(self, file: _File, census: "_Census") -> None:
        super().__init__(file, budget=sys.maxsize)
        self._census = census

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        if len(data) > MIB:
            self._census.expect(data.count(_CENTRAL_SIGNATURE))
        return data


def _open_zip(archive: str, file: _File, limits: Limits) -> Archive:
    census = _Census(archive, limits)
    try:
        with zipfile.ZipFile(_ZipCursor(file, census)) as table:
            for info in table.filelist:
                _add_zip_entry(census, info, file.size)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise _fault(archive, "is a zip that is damaged or incomplete", _AGAIN) from error
    census.judge_ratio(file.size)
    return Archive(archive, census.entries(), _Zip(file))


def _add_zip_entry(census: "_Census", info: zipfile.ZipInfo, file_size: int) -> None:
    written = _zip_name(info)
    name = census.admit(written)
    mode = info.external_attr >> 16
    if name is None or written.endswith("/") or stat.S_ISDIR(mode):
        return
    census.judge_mode(written, mode)
    if info.flag_bits & _ENCRYPTED:
        raise census.fault(written, "is encrypted", "Pack the export again without a password.")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        method = _METHODS.get(info.compress_type, f"method {info.compress_type}")
        raise census.fault(written, f"is compressed with {method}", "Pack it again with the usual Deflate.")
    if not 0 <= info.header_offset <= file_size - info.compress_size - _LOCAL_HEADER.size:
        raise census.fault(written, "lies outside of the file, which is damaged or incomplete", _AGAIN)
    # Some programs call an empty file deflated and write nothing at all.
    deflated = info.compress_type == zipfile.ZIP_DEFLATED and info.compress_size > 0
    entry = _Entry(info.file_size, info.compress_size, info.header_offset, info.CRC, deflated)
    census.add(written, name, entry)


def _zip_name(info: zipfile.ZipInfo) -> str:
    """The name as it was meant."""
    name = info.orig_filename  # `filename` ends at a zero byte
    if not info.flag_bits & _UTF8_NAME and not name.isascii():
        # Slack writes UTF-8 without saying so, and zipfile takes it for cp437: "caf├⌐" is "café".
        with suppress(UnicodeError):  # it really is cp437
            name = name.encode("cp437").decode()
    # Old .NET programs write "general\2020-01-01.json".
    return name.replace("\\", "/") if info.create_system in _DOS_LIKE else name


# ---------------------------------------------------------------- tar


class _Tar:
    def __init__(self, file: _File) -> None:
        self._file = file

    def blocks(self, entry: _Entry) -> Iterator[bytes]:
        return self._file.blocks(entry.offset, entry.size)

    def close(self) -> None:
        self._file.close()


class _Unpacked(_File):
    """A gzip file, unpacked into a temporary file as far as it has been asked for."""

    def __init__(self, archive: str, packed: _File, limits: Limits) -> None:
        super().__init__(tempfile.TemporaryFile())  # noqa: SIM115  (closed by `close`)
        self._archive = archive
        self._limits = limits
        self._cursor = _Cursor(packed, budget=sys.maxsize)
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
            block = self._gzip.read(_BLOCK)
        except (zlib.error, gzip.BadGzipFile) as error:
            raise EOFError("nothing more can be inflated") from error
        self._inflated += len(block)
        if _beyond_ratio(self._limits, self._inflated, self._cursor.tell()):
            raise _fault(
                self._archive,
                f"inflates to more than {self._limits.ratio} times its size",
                _TRUST.format("ratio"),
            )
        if self._inflated > self._limits.total_bytes + self._limits.entries * _TAR_OVERHEAD:
            raise _fault(
                self._archive,
                f"inflates to more than {_bytes(self._limits.total_bytes)}",
                _TRUST.format("total_bytes"),
            )
        return block

    def _append(self, block: bytes) -> None:
        try:
            self._file.write(block)
            self._file.flush()
        except OSError as error:
            room = f"Make room in {tempfile.gettempdir()}, or give the export as a zip."
            raise _fault(self._archive, f"cannot be unpacked ({_reason(error)})", room) from error
        self.size += len(block)


def _open_tar_gz(archive: str, packed: _File, limits: Limits) -> Archive:
    with ExitStack() as stack:
        unpacked = _Unpacked(archive, packed, limits)
        stack.callback(unpacked.close)
        entries = _list_tar(archive, unpacked, limits, "is a gzip file without a tar in it")
        stack.pop_all()
    packed.close()
    return Archive(archive, entries, _Tar(unpacked))


def _list_tar(archive: str, file: _File, limits: Limits, otherwise: str) -> dict[str, _Entry]:
    """All entries of a tar; `otherwise` says what the file is if it is no tar at all."""
    census = _Census(archive, limits)
    try:
        for info in _tar_headers(file):
            _add_tar_entry(census, info)
        file.drain()
    except _TAR_DAMAGE as error:
        if isinstance(error, tarfile.TarError) and not census.last:
            raise _fault(archive, otherwise, "Give the export as it was downloaded.") from error
        where = f" after {_quoted(census.last)}" if census.last else ""
        raise _fault(archive, f"is a tar that is damaged or incomplete{where}", _AGAIN) from error
    return census.entries()


# The last three are what tarfile makes of nonsense in headers.
_TAR_DAMAGE = (tarfile.TarError, EOFError, ValueError, LookupError, RecursionError)


def _tar_headers(file: _File) -> Iterator[tarfile.TarInfo]:
    """The header of every entry. tarfile's own loop takes damage and a missing end for the end."""
    cursor = _Cursor(file, _TAR_HEADERS)
    with tarfile.TarFile(fileobj=cursor, encoding="utf-8", errors="surrogateescape") as table:
        info = table.next()
        while info:
            yield info
            head = file.at(table.offset, _TAR_BLOCK)
            if len(head) < _TAR_BLOCK:
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


def _add_tar_entry(census: "_Census", info: tarfile.TarInfo) -> None:
    name = census.admit(info.name)
    if name is None or info.isdir():
        return
    if not info.isreg() or info.issparse():
        kind = _TAR_TYPES.get(info.type, "a sparse file" if info.isreg() else "no ordinary file")
        raise census.fault(info.name, f"is {kind}", _REPACK)
    if info.size < 0:
        raise census.fault(info.name, "has a size below zero: the tar is damaged", _AGAIN)
    census.add(info.name, name, _Entry(info.size, info.size, info.offset_data))


# ---------------------------------------------------------------- folder and dict


class _Folder:
    def __init__(self, root: Path) -> None:
        self._root = root

    def blocks(self, entry: _Entry) -> Iterator[bytes]:
        # A link can have taken the file's place since the folder was listed.
        descriptor = os.open(self._root / entry.path, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            yield from _File(file).blocks(0, entry.size + 1)  # one more than listed shows that it has grown

    def close(self) -> None:
        pass


def _open_folder(root: Path, limits: Limits) -> Archive:
    archive = root.resolve().name or str(root)
    census = _Census(archive, limits)
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            folders += _add_folder(census, root, folder)
        except OSError as error:
            raise _unreadable(f"{archive}: {_quoted(folder)}" if folder else str(root), error) from error
    return Archive(archive, census.entries(), _Folder(root))


def _add_folder(census: "_Census", root: Path, folder: str) -> list[str]:
    """Add the files of a folder; return its folders."""
    folders = []
    with os.scandir(root / folder) as found:
        for item in found:
            path = f"{folder}/{item.name}" if folder else item.name
            name = census.admit(path)
            if name is None:
                continue
            status = item.stat(follow_symlinks=False)
            census.judge_mode(path, status.st_mode)
            if stat.S_ISDIR(status.st_mode):
                folders.append(path)
            else:
                census.add(path, name, _Entry(status.st_size, status.st_size, path=path))
    return folders


class _Dict:
    def __init__(self, contents: dict[str, bytes]) -> None:
        self._contents = contents

    def blocks(self, entry: _Entry) -> Iterator[bytes]:
        yield self._contents[entry.path]

    def close(self) -> None:
        pass


def _open_dict(source: Mapping[str, bytes | str], limits: Limits) -> Archive:
    census = _Census("archive", limits)
    contents = {path: data.encode() if isinstance(data, str) else data for path, data in source.items()}
    for path, data in contents.items():
        name = census.admit(path)
        if name is not None and not path.endswith("/"):
            census.add(path, name, _Entry(len(data), len(data), path=path))
    return Archive("archive", census.entries(), _Dict(contents))


# ---------------------------------------------------------------- rules


class _Census:
    """Takes entries in as a container finds them and refuses what must not be trusted."""

    def __init__(self, archive: str, limits: Limits) -> None:
        self.last = ""  # the last entry as the archive writes it
        self._archive = archive
        self._limits = limits
        self._count = 0
        self._total = 0
        self._entries: dict[str, _Entry] = {}
        self._written: dict[str, str] = {}  # how the archive writes a name, where it was cleaned

    def admit(self, written: str) -> str | None:
        """Count an entry and judge its name. Returns the clean name, or None if the entry is junk."""
        self.last = written
        self._count += 1
        self.expect(self._count)
        if reason := _unsafe(written):
            raise self.fault(written, reason, _REPACK)
        parts = [part for part in written.split("/") if part not in ("", ".")]
        last = parts[-1] if parts else ""
        if "__MACOSX" in parts or last == ".DS_Store" or last.startswith("._"):
            return None
        return _valid("/".join(parts))

    def judge_mode(self, written: str, mode: int) -> None:
        """Refuse what is neither a file nor a folder, going by the bits of a Unix file mode."""
        if kind := _SPECIAL_FILES.get(stat.S_IFMT(mode)):
            raise self.fault(written, f"is {kind}", _REPACK)

    def add(self, written: str, name: str, entry: _Entry) -> None:
        """Take in a file entry whose name was admitted."""
        if not name:
            raise self.fault(written, "has no name", _REPACK)
        if name in self._entries:
            first = self._written.get(name, name)
            raise self.fault(first, f"is there twice, the second time as {_quoted(written)}", _REPACK)
        self._judge_size(written, entry)
        if written != name:
            self._written[name] = written
        self._entries[name] = entry

    def _judge_size(self, written: str, entry: _Entry) -> None:
        limits = self._limits
        if entry.size > limits.entry_bytes:
            why = f"has {_bytes(entry.size)}, more than the {_bytes(limits.entry_bytes)} allowed"
            raise self.fault(written, why, _TRUST.format("entry_bytes"))
        if _beyond_ratio(limits, entry.size, entry.packed):
            why = f"inflates to more than {limits.ratio} times its packed size"
            raise self.fault(written, why, _TRUST.format("ratio"))
        self._total += entry.size
        if self._total > limits.total_bytes:
            why = f"brings the total beyond the {_bytes(limits.total_bytes)} allowed"
            raise self.fault(written, why, _TRUST.format("total_bytes"))

    def expect(self, count: int) -> None:
        """Refuse more entries than allowed."""
        if count > self._limits.entries:
            after = f" (the first beyond is {_quoted(self.last)})" if self.last else ""
            why = f"holds more than the {self._limits.entries} entries allowed{after}"
            raise _fault(self._archive, why, _TRUST.format("entries"))

    def judge_ratio(self, packed: int) -> None:
        """Refuse an archive whose entries together inflate too much: many of them can share the same data."""
        if _beyond_ratio(self._limits, self._total, packed):
            why = f"inflates to {_bytes(self._total)}, more than {self._limits.ratio} times its size"
            raise _fault(self._archive, why, _TRUST.format("ratio"))

    def entries(self) -> dict[str, _Entry]:
        """All entries by name, sorted, without the wrapping top folder."""
        names = sorted(self._entries)
        start = _wrapping(names)
        return {name[start:]: self._entries[name] for name in names}

    def fault(self, written: str, why: str, remedy: str) -> ArchiveError:
        return _fault(self._archive, f"{_quoted(written)} {why}", remedy)


_SPECIAL_FILES = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
}


def _beyond_ratio(limits: Limits, inflated: int, packed: int) -> bool:
    return inflated > limits.ratio_from and inflated > limits.ratio * packed


def _unsafe(written: str) -> str:
    """Why a name must not be trusted, "" if it may be."""
    if "\0" in written:
        return "has a zero byte in its name"
    if written.startswith(("/", "\\")) or written[1:3] in (":/", ":\\"):
        return "has an absolute path"
    if ".." in written and ".." in re.split(r"[/\\]", written):
        return 'has a ".." in its path'
    return ""


def _valid(name: str) -> str:
    """A name without the surrogates that Python makes of bytes that are not UTF-8."""
    return name if name.isascii() else re.sub("[\ud800-\udfff]", "\ufffd", name)


def _wrapping(names: list[str]) -> int:
    """How many characters to cut from the sorted names: folders around everything, if a file is right inside.

    "export/users.json" and "export/general/1.json" are wrapped; the `teams` of a Slack Grid is content, even
    if there is only one team.
    """
    if not names:
        return 0
    pairs = zip(names[0].split("/")[:-1], names[-1].split("/")[:-1], strict=False)
    shared = [folder for folder, other in takewhile(lambda pair: pair[0] == pair[1], pairs)]
    depth = min(name.count("/") for name in names)
    if "teams" in shared and depth > shared.index("teams") + 1:
        depth = shared.index("teams")
    if depth > len(shared):
        return 0
    return sum(len(folder) + 1 for folder in shared[:depth])


# ---------------------------------------------------------------- words


def _fault(archive: str, why: str, remedy: str) -> ArchiveError:
    separator = ": " if why.startswith('"') else " "
    return ArchiveError(f"{archive}{separator}{why}. {remedy}")


def _unreadable(what: str, error: OSError) -> ArchiveError:
    remedy = "Copy it to another place and try again."
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        remedy = "Check the path."
    elif isinstance(error, PermissionError):
        remedy = "Let the account that chatferry runs under read it."
    return _fault(what, f"cannot be read ({_reason(error)})", remedy)


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _quoted(name: str) -> str:
    """A name as it can be shown: an archive must not write control characters into a terminal."""
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)
    return f'"{shown}"' if len(shown) <= 300 else f'"{shown[:150]}…{shown[-150:]}"'


def _bytes(count: int) -> str:
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (1 << 10, "KiB")):
        if count >= unit:
            return f"{count / unit:.4g} {name}"
    return f"{count} bytes"
