"""Slack's list of members: the CSV file that its administration pages export."""

from collections.abc import Iterator

from chatferry.archive import Archive
from chatferry.errors import ArchiveError
from chatferry.importers.reading.columns import Table, sheet_of
from chatferry.importers.reading.table_lists import ListRow, list_rows
from chatferry.importers.reading.table_people import username_of
from chatferry.importers.slack.lists import GuestCount
from chatferry.records import Problem, User

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
    for row in list_rows(archive, file, MEMBERS, "user-not-readable"):
        if isinstance(row, Problem):
            if row.kind != "column-not-imported":  # Slack's list always has columns that are no concern here
                yield row
        else:
            for item in _member(row, seen):
                if isinstance(item, User) and item.guest:
                    guests.add(item.username or item.id)
                yield item
    yield from guests.problems(file, "status")


def _file(archive: Archive) -> str:
    names = archive.names()
    tables = [name for name in names if name.casefold().endswith(".csv")]
    found = names if len(names) == 1 else tables
    if len(found) == 1:
        return found[0]
    raise ArchiveError(
        f"{archive.name} holds {len(found)} CSV files. Give the one file that Slack's list of members is in."
    )


def _member(row: ListRow, seen: dict[str, int]) -> Iterator[User | Problem]:
    username, address, status, full_name, shown_name = row.cells
    username = username_of(username)
    emails, flaws = row.emails(address)
    if not emails:
        reason = f"{username or 'the row'} has no e-mail address, which is what tells members apart"
        yield row.problem("user-without-id", reason, "email")
        return
    id = emails[0]
    if unusable := row.key_problem(id, seen, "user", "email", ""):
        yield unusable
        return
    yield from flaws
    is_admin, is_bot = status.casefold() == "admin", status.casefold() == "bot"
    if is_admin:
        who = username or id
        reason = f"the file makes {who} an administrator: a new account is one, if the import's starter is"
        yield row.problem("user-is-admin", reason, "status")
    name = full_name or shown_name or username
    yield User(
        id=id,
        username=username,
        name=name,
        emails=emails[:1],
        type="bot" if is_bot else "user",
        roles=("admin",) if is_admin else ("bot",) if is_bot else (),
        deleted=True if status.casefold() == "deactivated" else None,
        nickname=shown_name if shown_name not in (name, username) else "",
        guest="guest" in status.casefold(),
        file=row.sheet.file,
        position=row.position,
    )
