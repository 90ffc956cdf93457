"""Slack's list of members: the CSV file that its administration pages export."""

from collections.abc import Iterator
from typing import Literal

from chatferry.archive import Archive
from chatferry.errors import ArchiveError
from chatferry.importers.reading.columns import Sheet, Table, column, sheet_of, where
from chatferry.importers.reading.lists import cells_of
from chatferry.importers.reading.people import emails_of, username_of
from chatferry.importers.slack.lists import GuestCount
from chatferry.problems import problem
from chatferry.records import Message, Part, Problem, User

MEMBERS = Table(
    columns=("username", "email", "status", "fullname", "displayname"),
    names={},
    is_content=lambda cell: "@" in cell,
    order=(0, 1, 2, 7, 8),
)


def matches(archive: Archive) -> bool:
    """Return whether this is a single file whose first row has the names of Slack's columns."""
    names = archive.names()
    if len(names) != 1:
        return False
    try:
        sheet = sheet_of(archive, names[0], MEMBERS)
    except ArchiveError:
        return False
    return bool(sheet.names) and min(sheet.places[:3]) >= 0


def scan(archive: Archive) -> Iterator[User | Problem]:
    """Yield the members; see `Importer.scan`."""
    seen: dict[str, int] = {}
    guests = GuestCount()
    file = _file(archive)
    for row in cells_of(archive, file, MEMBERS, "user-not-readable"):
        if isinstance(row, Problem):
            if row.kind != "column-not-imported":  # Slack's list always has columns that are no concern here
                yield row
        else:
            for item in _member(*row, seen):
                if isinstance(item, User) and item.guest:
                    guests.add(item.username or item.id)
                yield item
    yield from guests.problems(file, "status")


def read(archive: Archive, part: Part) -> Iterator[Message | Problem]:
    """Yield nothing: a list of members has no messages."""
    return iter(())


def _file(archive: Archive) -> str:
    names = archive.names()
    tables = [name for name in names if name.casefold().endswith(".csv")]
    found = names if len(names) == 1 else tables
    if len(found) == 1:
        return found[0]
    raise ArchiveError(
        f"{archive.name} holds {len(found)} CSV files. Give the one file that Slack's list of members is in."
    )


def _member(
    sheet: Sheet, line: int, cells: tuple[str, ...], seen: dict[str, int]
) -> Iterator[User | Problem]:
    username, address, status, full_name, shown_name = cells
    username, position = username_of(username), where(line)
    emails, flaws = emails_of(address, sheet, line)
    if not emails:
        reason = f"{username or 'the row'} has no e-mail address, which is what tells members apart"
        field = column(sheet, sheet.places[1], "email")
        yield problem("user-without-id", reason, file=sheet.file, position=position, field=field)
        return
    id = emails[0]
    if id.casefold() in seen:
        reason = f"{id} stands in row {seen[id.casefold()]} already"
        yield problem("user-twice", reason, file=sheet.file, position=position)
        return
    seen[id.casefold()] = line
    yield from flaws
    is_admin = status.casefold() == "admin"
    if is_admin:
        who = username or id
        reason = f"the file makes {who} an administrator: a new account is one, if the import's starter is"
        field = column(sheet, sheet.places[2], "status")
        yield problem("user-is-admin", reason, file=sheet.file, position=position, field=field)
    type_: Literal["user", "bot"] = "bot" if status.casefold() == "bot" else "user"
    name = full_name or shown_name or username
    yield User(
        id=id,
        username=username,
        name=name,
        emails=emails[:1],
        type=type_,
        roles=("admin",) if is_admin else ("bot",) if type_ == "bot" else (),
        deleted=True if status.casefold() == "deactivated" else None,
        nickname=shown_name if shown_name not in (name, username) else "",
        guest="guest" in status.casefold(),
        file=sheet.file,
        position=position,
    )
