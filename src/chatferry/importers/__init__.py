"""Importers: each reads one archive format and yields records. `IMPORTERS` holds all of them."""

from collections.abc import Callable, Iterator

from msgspec import Struct

from chatferry.archive import Archive
from chatferry.errors import ArchiveError
from chatferry.importers import api, csv, hipchat, omnichannel_contact, pending, slack, slack_users
from chatferry.records import Channel, Contact, Message, Part, Problem, User


class Importer(Struct, frozen=True):
    """A format.

    key      Rocket.Chat's importerKey, name its display name (an operation's `type`)
    matches  whether an archive is in this format
    scan     everything but messages, and the parts that hold them; raises ArchiveError only if nothing
             at all can be read
    read     the messages of a part: for every record of it one Message, or one Problem that says why not,
             and further problems that only note something
    marks    tells of each part of an archive, where that can be told without reading it, what its messages
             are made of: bytes that change when they do, else b""
    origin   what the archive says of the workspace that it comes from: its name there, "" for nothing
    source   what it reads, for people: "a Slack export"; "" for nothing
    single   whether it reads a single file as well, one that is no archive
    hidden   not offered for choosing, as Rocket.Chat does, but a good importerKey all the same
    """

    key: str
    name: str
    matches: Callable[[Archive], bool]
    scan: Callable[[Archive], Iterator[User | Channel | Contact | Part | Problem]]
    read: Callable[[Archive, Part], Iterator[Message | Problem]]
    source: str
    single: bool = False
    hidden: bool = False
    marks: Callable[[Archive], Callable[[Part], bytes]] | None = None
    origin: Callable[[Archive], str] | None = None

    @property
    def wanted(self) -> str:
        """What to give it, for people."""
        return f"{self.source}: {'a CSV file' if self.single else 'a zip or tar file, or a folder'}"


IMPORTERS = {
    importer.key: importer
    for importer in (
        Importer("csv", "CSV", csv.matches, csv.scan, csv.read, "a CSV export"),
        Importer(
            "slack",
            "Slack",
            slack.matches,
            slack.scan,
            slack.read,
            "a Slack export",
            marks=slack.marks,
            origin=slack.origin,
        ),
        Importer(
            "slack-users",
            "Slack_Users",
            slack_users.matches,
            slack_users.scan,
            slack_users.read,
            "Slack's list of members",
            single=True,
        ),
        Importer(
            "omnichannel_contact",
            "omnichannel_contacts_importer",
            omnichannel_contact.matches,
            omnichannel_contact.scan,
            omnichannel_contact.read,
            "a file of contacts",
            single=True,
        ),
        Importer("api", "API", api.matches, api.scan, api.read, source="", hidden=True),
        Importer(
            "hipchatenterprise",
            "HipChat (tar.gz)",
            hipchat.matches,
            hipchat.scan,
            hipchat.read,
            "a HipChat export",
            hidden=True,
        ),
        Importer(
            pending.FILES,
            "Pending Files",
            pending.matches,
            pending.scan,
            pending.read,
            source="",
            hidden=True,
        ),
        Importer(
            pending.AVATARS,
            "Pending Avatars",
            pending.matches,
            pending.scan,
            pending.read,
            source="",
            hidden=True,
        ),
    )
}


def listed() -> list[Importer]:
    """The importers to choose from."""
    return [importer for importer in IMPORTERS.values() if not importer.hidden]


def readers() -> list[Importer]:
    """The importers that read archives."""
    return [importer for importer in IMPORTERS.values() if importer.source]


def detect(archive: Archive) -> Importer:
    """The one importer whose format `archive` is in."""
    possible = [importer for importer in readers() if importer.single or not archive.is_single]
    found = [importer for importer in possible if importer.matches(archive)]
    if len(found) == 1:
        return found[0]
    if found:
        names = " and ".join(importer.name for importer in found)
        raise ArchiveError(f"{archive.name} could be an export of {names}. Say which one it is.")
    what = "neither a zip nor a tar, and no file" if archive.is_single else "not an export"
    raise ArchiveError(
        f"{archive.name} is {what} that chatferry knows. "
        f"It reads: {', '.join(importer.name for importer in readers())}."
    )
