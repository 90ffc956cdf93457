"""The lists of a CSV export: users.csv and channels.csv. `contact_rows` reads contacts.csv."""

from collections.abc import Iterator
from typing import Literal
from unicodedata import normalize

from msgspec import Struct
from msgspec.structs import replace

from chatferry.archive import Archive
from chatferry.importers.reading.columns import (
    Sheet,
    Table,
    column,
    where,
)
from chatferry.importers.reading.lists import cells_of
from chatferry.importers.reading.people import MOST_NAME, emails_of, split, username_of
from chatferry.problems import problem
from chatferry.records import Channel, Problem, User


def _nothing(cell: str) -> bool:
    return False


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
    is_content=_nothing,
)


_PRIVATE = {"private", "p", "true", "yes", "1", "group"}
_PUBLIC = {"", "public", "c", "channel", "false", "no", "0"}


class Listed(Struct, frozen=True):
    """A row of channels.csv, and the columns in which it names people."""

    record: Channel
    creator_field: str
    members_field: str


# ---------------------------------------------------------------- users


def read_users(archive: Archive, file: str) -> Iterator[User | Problem]:
    """Yield every user once: of two rows with one username the first."""
    seen: dict[str, int] = {}
    for row in cells_of(archive, file, USERS, "user-not-readable"):
        if isinstance(row, Problem):
            yield row
            continue
        sheet, line, (username, addresses, name) = row
        username = username_of(username)
        position = where(line)
        emails, flaws = emails_of(addresses, sheet, line)
        key = username or (emails[0] if emails else "")
        if not key or len(key) > MOST_NAME:
            why = "names neither a username nor an e-mail address" if not key else "has too long a username"
            field = column(sheet, sheet.places[0], "username")
            yield problem("user-not-readable", f"the row {why}", file=file, position=position, field=field)
            continue
        if key.casefold() in seen:
            reason = f"{key} stands in row {seen[key.casefold()]} already"
            yield problem("user-twice", reason, file=file, position=position)
            continue
        seen[key.casefold()] = line
        yield from flaws
        if not emails:
            reason = f"{username} has no e-mail address in the export"
            field = column(sheet, sheet.places[1], "email")
            yield problem("user-without-email", reason, file=file, position=position, field=field)
        yield User(id=key, username=username, name=name, emails=emails, file=file, position=position)


# ---------------------------------------------------------------- channels


def read_channels(archive: Archive, file: str) -> Iterator[Listed | Problem]:
    """Yield every channel once: of two rows with one name the first."""
    seen: dict[str, int] = {}
    for row in cells_of(archive, file, CHANNELS, "channel-not-readable"):
        if isinstance(row, Problem):
            yield row
            continue
        sheet, line, (name, creator, type_, members) = row
        position = where(line)
        name = normalize("NFC", name.removeprefix("#"))
        if not name or len(name) > MOST_NAME:
            why = "names no channel" if not name else "has too long a name"
            field = column(sheet, sheet.places[0], "name")
            yield problem("channel-not-readable", f"the row {why}", file=file, position=position, field=field)
            continue
        if name.casefold() in seen:
            reason = f"{name} stands in row {seen[name.casefold()]} already"
            yield problem("channel-twice", reason, file=file, position=position)
            continue
        seen[name.casefold()] = line
        if type_.casefold() not in _PRIVATE | _PUBLIC:
            yield _unknown_type(type_, sheet, line)
        record = Channel(
            id=name,
            type=_type(type_),
            name=name,
            creator=username_of(creator),
            members=tuple(map(username_of, split(members))),
            file=file,
            position=position,
        )
        creator_field = column(sheet, sheet.places[1], "creator")
        yield Listed(record, creator_field, column(sheet, sheet.places[3], "members"))


def _type(cell: str) -> Literal["c", "p"]:
    return "c" if cell.casefold() in _PUBLIC else "p"


def _unknown_type(cell: str, sheet: Sheet, line: int) -> Problem:
    reason = f"{cell[:100]!r} is neither public nor private; the room is private"
    field = column(sheet, sheet.places[2], "type")
    note = problem("field-dropped", reason, file=sheet.file, position=where(line), field=field)
    return replace(note, record="channel")
