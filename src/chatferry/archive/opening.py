"""Opening an archive: what its first bytes say it is."""

import errno
import stat
import tarfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from chatferry.archive.archive import Archive
from chatferry.archive.entry_rules import DEFAULT_LIMITS, Limits
from chatferry.archive.folder import open_dict, open_folder
from chatferry.archive.messages import AGAIN, fault, unreadable
from chatferry.archive.remote import RemoteFile, is_url, url_name
from chatferry.archive.single_file import is_text, open_single
from chatferry.archive.streams import OffsetFile
from chatferry.archive.tar import TAR_BLOCK, open_tar, open_tar_gz
from chatferry.archive.zip import open_zip
from chatferry.downloads import DEFAULT_RULES, Rules


def name_of(place: str) -> str:
    """What the archive at a path or URL is called."""
    return url_name(place) if is_url(place) else Path(place).name


def open_archive(
    source: Path | str | Mapping[str, bytes | str],
    limits: Limits = DEFAULT_LIMITS,
    name: str = "",
    single: bool = False,
    rules: Rules = DEFAULT_RULES,
) -> Archive:
    """Open a zip, tar, tar.gz or folder, told apart by content, or a dict of contents by name.

    A string is a path, or a URL (s3, http, https) whose file is read by ranges, as the `rules` allow.
    `name` is what messages call the archive, where that is not its file name. `single` lets a text file that
    is none of these pass as an archive whose one entry it is.
    A tar.gz is unpacked into a temporary file once, as it must be read in any order; closing deletes it.
    Raises ArchiveError if the archive cannot be read, is unsafe or goes beyond `limits`.
    """
    if isinstance(source, Mapping):
        return Archive("archive", *open_dict("archive", source, limits))
    if isinstance(source, str) and is_url(source):
        return _open_url(source, limits, name, single, rules)
    source = Path(source)
    try:
        mode = _mode(source)
        if stat.S_ISDIR(mode):
            folder = source.resolve().name or str(source)
            return Archive(folder, *open_folder(folder, source, limits))
        if not stat.S_ISREG(mode):
            raise fault(str(source), "is neither a file nor a folder", "Name the export's file or folder.")
        with ExitStack() as stack:
            file = OffsetFile(source.open("rb", buffering=0))
            stack.callback(file.close)
            archive = _open_file(name or source.name, file, limits, single)
            stack.pop_all()
            return archive
    except OSError as error:
        raise unreadable(str(source), error) from error


def _open_url(url: str, limits: Limits, name: str, single: bool, rules: Rules) -> Archive:
    with ExitStack() as stack:
        file = RemoteFile(url, rules)
        stack.callback(file.close)
        archive = _open_file(name or url_name(url), file, limits, single, file.tag)
        stack.pop_all()
        return archive


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except ValueError as error:  # a zero byte in the path
        raise FileNotFoundError(errno.ENOENT, str(error)) from error


def _open_file(archive: str, file: OffsetFile, limits: Limits, single: bool, tag: str = "") -> Archive:
    head = file.at(0, TAR_BLOCK)
    if not head:
        raise fault(archive, "is empty", AGAIN)
    if head.startswith((b"PK\3\4", b"PK\5\6", b"PK\7\x08")):
        return Archive(archive, *open_zip(archive, file, limits), tag)
    if head.startswith(b"\x1f\x8b"):
        return Archive(archive, *open_tar_gz(archive, file, limits), tag)
    kind = _kind(head)
    if single and not kind and not _is_tar(head) and is_text(head):
        return Archive(archive, *open_single(archive, file, limits), tag)
    otherwise = f"is {kind}, not a zip or tar" if kind else "is neither a zip nor a tar"
    return Archive(archive, *open_tar(archive, file, limits, otherwise), tag)


def _is_tar(head: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _kind(head: bytes) -> str:
    """What a file is if it turns out to be none of the archives we read; "" if that cannot be told."""
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
