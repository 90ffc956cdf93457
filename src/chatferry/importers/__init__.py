"""Importers: each reads one archive format and yields records. `IMPORTERS` holds all of them."""

from collections.abc import Callable, Iterator

from msgspec import Struct

from chatferry.archive import Archive
from chatferry.errors import ArchiveError
from chatferry.importers import pending, slack
from chatferry.records import Channel, Contact, Message, Part, Problem, User


class Importer(Struct, frozen=True):
    """A format.

    key      Rocket.Chat's importerKey, name its display name (an operation's `type`)
    matches  whether an archive is in this format
    scan     everything but messages, and the parts that hold them; raises ArchiveError only if nothing
             at all can be read
    read     the messages of a part: for every record of it one Message, or one Problem that says why not,
             and further problems that only note something
    hidden   not offered for choosing, but a good importerKey all the same
    """

    key: str
    name: str
    matches: Callable[[Archive], bool]
    scan: Callable[[Archive], Iterator[User | Channel | Contact | Part | Problem]]
    read: Callable[[Archive, Part], Iterator[Message | Problem]]
    hidden: bool = False


IMPORTERS = {
    importer.key: importer
    for importer in (
        Importer("slack", "Slack", slack.matches, slack.scan, slack.read),
        Importer(pending.FILES, "Pending Files", pending.matches, pending.scan, pending.read, hidden=True),
        Importer(
            pending.AVATARS, "Pending Avatars", pending.matches, pending.scan, pending.read, hidden=True
        ),
    )
}


def listed() -> list[Importer]:
    """The importers to choose from."""
    return [importer for importer in IMPORTERS.values() if not importer.hidden]


def detect(archive: Archive) -> Importer:
    """The one importer whose format `archive` is in."""
    found = [importer for importer in IMPORTERS.values() if importer.matches(archive)]
    if len(found) == 1:
        return found[0]
    if found:
        names = " and ".join(importer.name for importer in found)
        raise ArchiveError(f"{archive.name} could be an export of {names}. Say which one it is.")
    raise ArchiveError(
        f"{archive.name} is not an export that chatferry knows. "
        f"It reads: {', '.join(importer.name for importer in listed())}."
    )
