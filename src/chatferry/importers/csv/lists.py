"""The lists of a CSV export: users.csv and channels.csv. `contact_rows` reads contacts.csv."""

from collections.abc import Iterator
from unicodedata import normalize

from msgspec import Struct
from msgspec.structs import replace

from chatferry.archive import Archive
from chatferry.importers.reading.columns import Table
from chatferry.importers.reading.table_lists import list_rows
from chatferry.importers.reading.table_people import split, username_of
from chatferry.records import Channel, Problem, User

USERS = Table(
    columns=("username", "email", "name"),
    names={
        "username": ("user", "login", "handle", "nickname"),
        "email": ("emailaddress", "mail", "emails"),
        "name": ("fullname", "displayname", "realname"),
    },
    is_content=lambda cell: "@" in cell,
)
CHANNELS = Table(
    columns=("name", "creator", "type", "members"),
    names={
        "name": ("channel", "channelname", "room", "roomname"),
        "creator": ("owner", "createdby", "username", "user"),
        "type": ("private", "privacy", "visibility", "isprivate"),
        "members": ("users", "participants", "usernames"),
    },
    is_content=lambda cell: False,
)

_PRIVATE = {"private", "p", "true", "yes", "1", "group"}
_PUBLIC = {"", "public", "c", "channel", "false", "no", "0"}


class Listed(Struct, frozen=True):
    """A row of channels.csv, and the columns in which it names people."""

    record: Channel
    creator_field: str
    members_field: str


def read_users(archive: Archive, file: str) -> Iterator[User | Problem]:
    """Yield every user once: of two rows with one username the first."""
    seen: dict[str, int] = {}
    for row in list_rows(archive, file, USERS, "user-not-readable"):
        if isinstance(row, Problem):
            yield row
            continue
        username, addresses, name = row.cells
        username = username_of(username)
        emails, flaws = row.emails(addresses)
        key = username or (emails[0] if emails else "")
        missing = "names neither a username nor an e-mail address"
        if unusable := row.key_problem(key, seen, "user", "username", missing):
            yield unusable
            continue
        yield from flaws
        if not emails:
            reason = f"{username} has no e-mail address in the export"
            yield row.problem("user-without-email", reason, "email")
        yield User(id=key, username=username, name=name, emails=emails, file=file, position=row.position)


def read_channels(archive: Archive, file: str) -> Iterator[Listed | Problem]:
    """Yield every channel once: of two rows with one name the first."""
    seen: dict[str, int] = {}
    for row in list_rows(archive, file, CHANNELS, "channel-not-readable"):
        if isinstance(row, Problem):
            yield row
            continue
        name, creator, type_, members = row.cells
        name = normalize("NFC", name.removeprefix("#"))
        if unusable := row.key_problem(name, seen, "channel", "name", "names no channel"):
            yield unusable
            continue
        if type_.casefold() not in _PRIVATE | _PUBLIC:
            reason = f"{type_[:100]!r} is neither public nor private; the room is private"
            yield replace(row.problem("field-dropped", reason, "type"), record="channel")
        record = Channel(
            id=name,
            type="c" if type_.casefold() in _PUBLIC else "p",
            name=name,
            creator=username_of(creator),
            members=tuple(map(username_of, split(members))),
            file=file,
            position=row.position,
        )
        yield Listed(record, row.field("creator"), row.field("members"))
