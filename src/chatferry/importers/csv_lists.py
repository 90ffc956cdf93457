"""The lists of a CSV export: users.csv and channels.csv. `contact_rows` reads contacts.csv."""

import re
from collections.abc import Iterator
from typing import Literal
from unicodedata import normalize

from msgspec import Struct
from msgspec.structs import replace

from chatferry.archive import Archive
from chatferry.errors import ArchiveError
from chatferry.importers.csv_columns import (
    Sheet,
    Table,
    cell_of,
    column,
    rows_of,
    sheet_of,
    unknown_columns,
    where,
)
from chatferry.importers.csv_messages import MOST_NAME, username_of
from chatferry.problems import MOST_OF_RECORD, Notes, problem
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
LISTS = ("users.csv", "channels.csv", "contacts.csv")

_PRIVATE = {"private", "p", "true", "yes", "1", "group"}
_PUBLIC = {"", "public", "c", "channel", "false", "no", "0"}


class Listed(Struct, frozen=True):
    """A row of channels.csv, and the columns in which it names people."""

    record: Channel
    creator_field: str
    members_field: str


def lists(archive: Archive) -> dict[str, str]:
    """The lists that the archive holds, by their usual names: however these are cased in it."""
    return {name.casefold(): name for name in reversed(archive.names()) if name.casefold() in LISTS}


def _sheet(archive: Archive, file: str, table: Table, lost: str) -> Iterator[Sheet | Problem]:
    """The table in a list, and what it holds in vain; or only why it cannot be read."""
    try:
        sheet = sheet_of(archive, file, table)
    except ArchiveError as error:
        yield problem(lost, str(error), file=file)
        return
    yield sheet
    yield from unknown_columns(sheet)


def _rows(archive: Archive, sheet: Sheet, lost: str) -> Iterator[tuple[int, list[str]] | Problem]:
    line = 0
    try:
        for line, cells in rows_of(archive, sheet):
            yield line, cells
    except ArchiveError as error:
        reason = f"what follows cannot be read: {error}"
        yield problem(lost, reason, file=sheet.file, position=where(line) if line else "")


def cells_of(
    archive: Archive, file: str, table: Table, lost: str
) -> Iterator[tuple[Sheet, int, tuple[str, ...]] | Problem]:
    """Of every row its line and the cells of the table's columns, "" where there is none.

    `lost` is the kind of problem for rows that cannot be read.
    """
    for sheet in _sheet(archive, file, table, lost):
        if isinstance(sheet, Problem):
            yield sheet
            continue
        for row in _rows(archive, sheet, lost):
            if isinstance(row, Problem):
                yield row
            else:
                line, cells = row
                yield sheet, line, tuple([cell_of(cells, place, sheet) for place in sheet.places])


def split(cell: str) -> tuple[str, ...]:
    """The values of a cell that holds several, each once."""
    values = (value.strip() for value in re.split(r"[;,\n]", cell))
    return tuple(dict.fromkeys(value for value in values if value))


# ---------------------------------------------------------------- users


def read_users(archive: Archive, file: str) -> Iterator[User | Problem]:
    """Every user once: of two rows with one username the first."""
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


def emails_of(cell: str, sheet: Sheet, line: int) -> tuple[tuple[str, ...], list[Problem]]:
    """The e-mail addresses in a cell, and what of it is none."""
    emails: list[str] = []
    flaws = Notes(MOST_OF_RECORD)
    field = column(sheet, sheet.places[1], "email")
    for email in split(cell):
        if _is_email(email):
            emails.append(email)
            continue
        reason = f"{email[:100]!r} is not an e-mail address"
        flaw = problem("field-dropped", reason, file=sheet.file, position=where(line), field=field)
        flaws.append(replace(flaw, record="user"))
    return tuple(emails), flaws


def _is_email(text: str) -> bool:
    return re.fullmatch(r"[^\s@]+@[^\s@]+", text) is not None and len(text) <= MOST_NAME


# ---------------------------------------------------------------- channels


def read_channels(archive: Archive, file: str) -> Iterator[Listed | Problem]:
    """Every channel once: of two rows with one name the first."""
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
