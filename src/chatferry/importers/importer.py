"""The description of a format and the functions that read it."""

from collections.abc import Callable, Iterator

from msgspec import Struct

from chatferry.archive import Archive
from chatferry.records import Channel, Contact, Message, Part, Problem, User


class Importer(Struct, frozen=True):
    """A format of archives.

    key            Rocket.Chat's importerKey
    name           its display name (an operation's `type`)
    source         what it reads, for people: "a Slack export"; "" for nothing
    scan           yields everything but messages, and the parts with messages; raises ArchiveError only if
                   nothing at all can be read
    read           yields the messages of a part, if archives have any: for every record one Message or one
                   Problem that says why not, and further problems that only note something
    single         whether it reads a single file as well, outside of an archive
    hidden         whether it is a valid importerKey that is not offered for choosing, as in Rocket.Chat
    content_keys   returns a function that tells what the messages of a part are made of, without reading it:
                   bytes that change when the messages do; b"" if that cannot be told
    origin         returns the name that an archive gives the workspace it comes from; "" for none
    preferred_over   keys of formats that match archives of this one too
    """

    key: str
    name: str
    source: str = ""
    matches: Callable[[Archive], bool] = lambda archive: False
    scan: Callable[[Archive], Iterator[User | Channel | Contact | Part | Problem]] = lambda archive: iter(())
    read: Callable[[Archive, Part], Iterator[Message | Problem]] = lambda archive, part: iter(())
    single: bool = False
    hidden: bool = False
    content_keys: Callable[[Archive], Callable[[Part], bytes]] | None = None
    origin: Callable[[Archive], str] | None = None
    preferred_over: tuple[str, ...] = ()

    @property
    def wanted(self) -> str:
        """What to give to the importer, for people."""
        return f"{self.source}: {'a CSV file' if self.single else 'a zip or tar file, or a folder'}"
