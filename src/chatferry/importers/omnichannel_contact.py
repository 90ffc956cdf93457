"""Contacts of Rocket.Chat's Omnichannel: one CSV text file with a header row."""

from collections.abc import Iterator

from chatferry.archive import Archive
from chatferry.errors import ArchiveError
from chatferry.importers.contact_rows import has_contact_header, read_contacts
from chatferry.problems import problem
from chatferry.records import Contact, Message, Part, Problem

_ENDINGS = (".csv", ".txt")
_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}
_HEAD = 65_536  # bytes in which the header row ends


def matches(archive: Archive) -> bool:
    """Whether this is one text file whose first row names the columns of contacts."""
    names = archive.names()
    if len(names) != 1 or not names[0].lower().endswith(_ENDINGS):
        return False
    try:
        with archive.open(names[0]) as stream:
            return has_contact_header(_text(stream.read(_HEAD))[0])
    except ArchiveError:
        return False


def scan(archive: Archive) -> Iterator[Contact | Part | Problem]:
    """The contacts; see `Importer.scan`."""
    names = archive.names()
    if len(names) != 1:
        held = "no file" if not names else f"{len(names):,} files"
        raise ArchiveError(f"{archive.name} holds {held}. Give one CSV file with contacts.")
    text, is_guessed = _text(archive.read(names[0]))
    if is_guessed:
        reason = "the file is no UTF-8; it was read as Windows-1252"
        yield problem("file-encoding-guessed", reason, file=names[0])
    for found in read_contacts(text, names[0]):
        if isinstance(found, Problem) and found.record == "archive":
            raise ArchiveError(f"{archive.name}: {found.reason}. Name the columns in the first row.")
        yield found


def read(archive: Archive, part: Part) -> Iterator[Message | Problem]:
    """There are no messages."""
    yield from ()


def _text(data: bytes) -> tuple[str, bool]:
    """The text of a file, and whether its encoding had to be guessed."""
    mark = next((mark for mark in _MARKS if data.startswith(mark)), b"")
    if mark:
        return data.decode(_MARKS[mark], "replace"), False
    try:
        return data.decode(), False
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace"), True
