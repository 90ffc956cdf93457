"""What is said of a format."""

from collections.abc import Callable, Iterator

from msgspec import Struct

from chatferry.archive import Archive
from chatferry.records import Channel, Contact, Message, Part, Problem, User


def _matches_nothing(archive: Archive) -> bool:
    return False


def _scan_nothing(archive: Archive) -> Iterator[User]:
    return iter(())


def _read_nothing(archive: Archive, part: Part) -> Iterator[Message | Problem]:
    return iter(())


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
    over     keys of formats that an archive of this one looks like too
    hidden   not offered for choosing, as Rocket.Chat does, but a good importerKey all the same
    """

    key: str
    name: str
    source: str = ""
    matches: Callable[[Archive], bool] = _matches_nothing
    scan: Callable[[Archive], Iterator[User | Channel | Contact | Part | Problem]] = _scan_nothing
    read: Callable[[Archive, Part], Iterator[Message | Problem]] = _read_nothing
    single: bool = False
    hidden: bool = False
    marks: Callable[[Archive], Callable[[Part], bytes]] | None = None
    origin: Callable[[Archive], str] | None = None
    over: tuple[str, ...] = ()

    @property
    def wanted(self) -> str:
        """What to give it, for people."""
        return f"{self.source}: {'a CSV file' if self.single else 'a zip or tar file, or a folder'}"
