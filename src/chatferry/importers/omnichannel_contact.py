"""Contacts of Rocket.Chat's Omnichannel: one CSV text file with a header row."""

from collections.abc import Iterator

from chatferry.archive import Archive
from chatferry.errors import ArchiveError
from chatferry.importers.importer import Importer
from chatferry.importers.reading.contact_rows import has_contact_header, read_contacts
from chatferry.importers.reading.table_lists import lists
from chatferry.records import Contact, Problem

_ENDINGS = (".csv", ".txt")


def matches(archive: Archive) -> bool:
    """Return whether this is one text file whose first row names the columns of contacts."""
    names = archive.names()
    if len(names) != 1 or not names[0].lower().endswith(_ENDINGS):
        return False
    if lists(archive) and not archive.is_single:
        return False
    try:
        return has_contact_header(archive, names[0])
    except ArchiveError:
        return False


def scan(archive: Archive) -> Iterator[Contact | Problem]:
    """Yield the contacts; see `Importer.scan`."""
    names = archive.names()
    if len(names) != 1:
        held = "no file" if not names else f"{len(names):,} files"
        raise ArchiveError(f"{archive.name} holds {held}. Give one CSV file with contacts.")
    for found in read_contacts(archive, names[0]):
        if isinstance(found, Problem) and found.kind == "file-not-readable":
            raise ArchiveError(f"{archive.name}: {found.reason}. Name the columns in the first row.")
        yield found


IMPORTER = Importer(
    "omnichannel_contact",
    "omnichannel_contacts_importer",
    "a file of contacts",
    matches,
    scan,
    single=True,
)
