"""Opening an archive: what its first bytes say it is."""

import errno
import stat
import tarfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from chatferry.archive.archive import Archive, Container
from chatferry.archive.entry_rules import DEFAULT_LIMITS, Limits, Listing
from chatferry.archive.folder import open_dict, open_folder
from chatferry.archive.messages import AGAIN, fault, unreadable
from chatferry.archive.remote import RemoteFile, is_url, url_name
from chatferry.archive.single_file import is_text, open_single
from chatferry.archive.streams import OffsetFile
from chatferry.archive.tar import TAR_BLOCK, open_tar, open_tar_gz
from chatferry.archive.zip import open_zip
from chatferry.downloads import DEFAULT_RULES, Rules


def name_of(place: str) -> str:
    """Return the name of the archive at a path or URL."""
    return url_name(place) if is_url(place) else Path(place).name


def open_archive(
    source: Path | str | Mapping[str, bytes | str],
    limits: Limits = DEFAULT_LIMITS,
    name: str = "",
    single: bool = False,
    rules: Rules = DEFAULT_RULES,
    on_block: Callable[[], None] = lambda: None,
) -> Archive:
    """Open a zip, tar, tar.gz or folder, told apart by content, or a dict of contents by name.

    A tar.gz is unpacked into a temporary file once, as it must be read in any order; closing deletes it.
    Raise ArchiveError if the archive cannot be read, is unsafe or goes beyond `limits`.

    source    a string is a path, or a URL (s3, http, https) whose file is read by ranges, as `rules` allow
    name      what messages call the archive, if that is not its file name
    single    lets a text file that is no archive pass as an archive with this one entry
    on_block  is called for each block that is read later: what it raises stops the reading
    """
    if isinstance(source, Mapping):
        return Archive("archive", *open_dict("archive", source, limits), on_block=on_block)
    if isinstance(source, str) and is_url(source):
        remote = RemoteFile(source, rules)
        return _opened(remote, name or url_name(source), limits, single, remote.tag, on_block)
    source = Path(source)
    try:
        mode = _mode(source)
        if stat.S_ISDIR(mode):
            folder = source.resolve().name or str(source)
            return Archive(folder, *open_folder(folder, source, limits), on_block=on_block)
        if not stat.S_ISREG(mode):
            raise fault(str(source), "is neither a file nor a folder", "Name the export's file or folder.")
        file = OffsetFile(source.open("rb", buffering=0))
        return _opened(file, name or source.name, limits, single, "", on_block)
    except OSError as error:
        raise unreadable(str(source), error) from error


def _opened(
    file: OffsetFile, name: str, limits: Limits, single: bool, tag: str, on_block: Callable[[], None]
) -> Archive:
    """Open the archive in a file, and close the file if it holds none."""
    with ExitStack() as stack:
        stack.callback(file.close)
        archive = Archive(name, *_contents(name, file, limits, single), tag, on_block)
        stack.pop_all()
        return archive


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except ValueError as error:  # a zero byte in the path
        raise FileNotFoundError(errno.ENOENT, str(error)) from error


def _contents(archive: str, file: OffsetFile, limits: Limits, single: bool) -> tuple[Listing, Container]:
    head = file.at(0, TAR_BLOCK)
    if not head:
        raise fault(archive, "is empty", AGAIN)
    if head.startswith((b"PK\3\4", b"PK\5\6", b"PK\7\x08")):
        return open_zip(archive, file, limits)
    if head.startswith(b"\x1f\x8b"):
        return open_tar_gz(archive, file, limits)
    kind = _kind(head)
    if single and not kind and not _is_tar(head) and is_text(head):
        return open_single(archive, file, limits)
    otherwise = f"is {kind}, not a zip or tar" if kind else "is neither a zip nor a tar"
    return open_tar(archive, file, limits, otherwise)


def _is_tar(head: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _kind(head: bytes) -> str:
    """Return what a file is that is none of our archives; "" if unknown."""
    begins = head.lstrip().lower()
    return next((kind for magic, kind in _OTHER_KINDS.items() if begins.startswith(magic)), "")


_OTHER_KINDS = {  # in lower case
    b"rar!\x1a\7": "a RAR archive",
    b"7z\xbc\xaf'\x1c": "a 7z archive",
    b"\xfd7zxz\0": "an xz file",
    b"bzh": "a bzip2 file",
    b"\x28\xb5\x2f\xfd": "a Zstandard file",
    b"<!doctype html": "a web page",
    b"<html": "a web page",
}
