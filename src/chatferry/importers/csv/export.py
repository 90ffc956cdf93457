"""CSV exports: users.csv, channels.csv, contacts.csv, and message files in folders named after channels."""

from collections.abc import Iterable, Iterator
from unicodedata import normalize

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from chatferry.archive import Archive
from chatferry.errors import ArchiveError
from chatferry.importers.csv.first_pass import CsvFirstPass, CsvPartSpec, rows_in
from chatferry.importers.csv.lists import Listed, read_channels, read_users
from chatferry.importers.csv.messages import (
    DIRECT_MESSAGES,
    MESSAGES,
    Fault,
    MessageRow,
    entry_of,
    message_id,
    shortened,
    text_of,
)
from chatferry.importers.reading.columns import (
    Sheet,
    column,
    row_problem,
    rows_of,
    sheet_of,
    unknown_columns,
    where,
)
from chatferry.importers.reading.contact_rows import read_contacts
from chatferry.importers.reading.table import REPAIRED, is_text
from chatferry.importers.reading.table_lists import lists
from chatferry.importers.reading.texts import VERY_LONG
from chatferry.importers.reading.timeline import NEIGHBOURS, placed
from chatferry.importers.reading.unlisted import UNLISTED_ROOM, not_listed
from chatferry.problems import about, problem
from chatferry.records import (
    ROCKET_CAT,
    Channel,
    Contact,
    Message,
    Part,
    Problem,
    User,
)

DIRECT_FOLDER = "directmessages"
MOST_HELD = 96 << 20  # characters of a part's messages
_TABLES = ("csv", "tsv", "txt")


def matches(archive: Archive) -> bool:
    """Return whether this looks like a CSV export: one of its lists, or folders with nothing but tables."""
    names = archive.names()
    inside = [name for name in names if "/" in name]
    are_tables = all(name.casefold().endswith(".csv") for name in names)
    return bool(lists(archive)) or (are_tables and bool(inside or _only_folder(archive)))


def scan(archive: Archive) -> Iterator[User | Contact | Channel | Part | Problem]:
    """Yield users, contacts, channels and the parts of their messages; see `Importer.scan`."""
    listed = lists(archive)
    folders = _folders(archive)
    if not listed and not folders:
        raise ArchiveError(_refusal(archive))
    people = _People()
    lists_users = False
    if "users.csv" in listed:
        for user in read_users(archive, listed["users.csv"]):
            if isinstance(user, User):
                lists_users = True
                people.know(user.id)
            yield user
    if "contacts.csv" in listed:
        yield from read_contacts(archive, listed["contacts.csv"])
    rooms: dict[str, _ChannelFiles] = {}
    if "channels.csv" in listed:
        for channel in read_channels(archive, listed["channels.csv"]):
            if isinstance(channel, Problem):
                yield channel
            else:
                rooms[channel.record.name.casefold()] = _listed_room(channel, people)
    yield from _files_left_out(archive, listed, folders)
    direct = _sort_files(folders, rooms)
    for room in rooms.values():
        yield from _scan_room(archive, room, people)
    yield from _scan_direct(archive, direct, people)
    yield from (user for user, _ in people.unlisted)
    substitute = "an account of exactly this name, or else an inactive placeholder,"
    yield from not_listed(people.not_listed(), lists_users, substitute)


def read(archive: Archive, part: Part) -> Iterator[Message | Problem]:
    """Yield the messages of a part in order of time; see `Importer.read`."""
    spec = msgspec.msgpack.decode(part.data, type=CsvPartSpec)
    rows: list[_Row] = []
    held = 0
    for row_range in spec.ranges:
        sheet = spec.sheets[row_range.file]
        for line, found in rows_in(archive, row_range, sheet, not spec.channel):
            if isinstance(found, Fault):
                if row_range.owns:
                    yield row_problem(found.kind, found.reason, sheet, line, found.place, found.name)
            elif spec.since - NEIGHBOURS <= found.time // 1000 < spec.until:
                held += len(found.text)
                if held <= MOST_HELD:
                    rows.append((found.time, row_range.file, -line if row_range.descends else line, found))
                elif found.time // 1000 >= spec.since:
                    reason = "too many messages stand at one time to be put in order"
                    yield row_problem("message-not-readable", reason, sheet, line)
    yield from _messages(sorted(rows, key=_order), spec)


_Row = tuple[int, int, int, MessageRow]
"""A message: its time in microseconds, its file, its line (negative in files that descend), and itself."""


def _order(row: _Row) -> tuple[int, int, int]:
    return row[:3]


def _messages(rows: Iterable[_Row], spec: CsvPartSpec) -> Iterator[Message | Problem]:
    """Yield the records of rows in order. Rows before the part only take their milliseconds."""
    after: dict[str, int] = {}
    equals: dict[tuple[str, str, str], int] = {}
    before = -1
    for micros, file, line, entry in rows:
        sheet, own = spec.sheets[file], micros // 1000
        author = spec.names.get(entry.author, entry.author) or ROCKET_CAT
        channel = spec.channel or conversation(author, entry.others, spec.names)
        text = text_of(entry.text, sheet)
        if own != before:
            equals.clear()
            before = own
        key = (channel, author, text)
        ordinal = equals[key] = equals.get(key, -1) + 1
        ts = after[channel] = placed(own, after.get(channel, -1))
        if own < spec.since:
            continue
        if len(text) > VERY_LONG:
            text, long = shortened(text, sheet, abs(line))
            if long:
                yield long
        if not entry.author:
            reason = "the row names no author"
            yield row_problem("message-without-author", reason, sheet, abs(line), sheet.places[0], "username")
        yield Message(
            id=message_id(channel, author, own, text, ordinal),
            channel=channel,
            author=author,
            ts=ts,
            text=(text,) if text else (),
            file=sheet.file,
            position=where(abs(line)),
        )


def conversation(author: str, others: Iterable[str], names: dict[str, str]) -> str:
    """Return the import id of a direct conversation, made as Rocket.Chat's own importer does it."""
    return "/".join(_members(author, others, names))


def _members(author: str, others: Iterable[str], names: dict[str, str]) -> tuple[str, ...]:
    people = sorted({author, *(names.get(name, name) for name in others)})
    return tuple(people) if len(people) > 1 else (people[0], people[0])


# ---------------------------------------------------------------- which files


class _ChannelFiles(Struct, kw_only=True):
    """A channel and the files with its messages."""

    record: Channel
    files: list[str]
    members_field: str = ""  # where channels.csv has its members; "" if it does not hold the channel


def _folders(archive: Archive) -> dict[str, list[str]]:
    """Return the message files of each folder."""
    folders: dict[str, list[str]] = {}
    only = _only_folder(archive)
    for name in archive.names():
        folder, _, file = name.rpartition("/")
        folder = folder or only
        if folder and file.casefold().rpartition(".")[2] in _TABLES:
            folders.setdefault(folder, []).append(name)
    return folders


def _only_folder(archive: Archive) -> str:
    """Return the folder of the only channel, which looks like a folder around the export; "" for none."""
    names, folder = archive.names(), archive.wrapping.rpartition("/")[2]
    if not folder or any("/" in name for name in names) or lists(archive):
        return ""
    is_direct = folder.casefold() == DIRECT_FOLDER
    try:
        sheet = sheet_of(archive, names[0], DIRECT_MESSAGES if is_direct else MESSAGES, "text")
        first = next((cells for _, cells in rows_of(archive, sheet)), [])
    except ArchiveError:
        return ""
    return folder if isinstance(entry_of(first, sheet, is_direct), MessageRow) else ""


def _refusal(archive: Archive) -> str:
    names = archive.names()
    if not names:
        return f"{archive.name} is empty. Download the export again."
    return (
        f"{archive.name} is no CSV export: it holds neither users.csv nor channels.csv nor contacts.csv nor "
        f"folders with message files such as general/messages.csv. It holds {', '.join(names[:3])} ..."
    )


def _files_left_out(
    archive: Archive, listed: dict[str, str], folders: dict[str, list[str]]
) -> Iterator[Problem]:
    taken = {*listed.values(), *(file for files in folders.values() for file in files)}
    for name in archive.names():
        if name in taken:
            continue
        reason = "the names of message files end in .csv"
        if "/" not in name:
            reason = "it is no list, and message files stand in a folder named after their channel"
        yield problem("file-not-imported", reason, file=name)


def _sort_files(folders: dict[str, list[str]], rooms: dict[str, _ChannelFiles]) -> list[str]:
    """Add every folder's files to their room, or to a new one; return the files of direct messages."""
    direct: list[str] = []
    for folder, files in folders.items():
        name = _name_of(folder, rooms)
        if name.casefold() == DIRECT_FOLDER:
            direct += files
            continue
        room = rooms.get(name.casefold())
        if room is None:
            record = Channel(id=name, type="p", name=name, listed=False, file=folder)
            room = _ChannelFiles(record=record, files=[])
            rooms[name.casefold()] = room
        room.files += files
    return direct


def _name_of(folder: str, rooms: dict[str, _ChannelFiles]) -> str:
    """Return the channel of a folder: the innermost one that a list names, else the innermost folder."""
    names = [normalize("NFC", name).strip() for name in reversed(folder.split("/"))]
    known = (name for name in names if name.casefold() in rooms or name.casefold() == DIRECT_FOLDER)
    return next(known, names[0] or folder)


# ---------------------------------------------------------------- people


class _People:
    """The people whom the export names. Names that differ in case are one person."""

    def __init__(self) -> None:
        self._ids = {ROCKET_CAT: ROCKET_CAT}
        self.unlisted: list[tuple[User, str]] = []  # placeholders, each with the field of first sight

    def know(self, id: str) -> None:
        self._ids[id.casefold()] = id

    def meet(self, name: str, file: str, position: str, field: str) -> str:
        """Return the import id of a person who is named at this place."""
        key = name.casefold()
        if key not in self._ids:
            self._ids[key] = name
            user = User(
                id=name,
                username=name,
                name=name,
                deleted=True,
                placeholder=True,
                file=file,
                position=position,
            )
            self.unlisted.append((user, field))
        return self._ids[key]

    def not_listed(self) -> Iterator[Problem]:
        for user, field in self.unlisted:
            reason = (
                f"users.csv does not hold {user.id}: an account of exactly this name, or else an inactive "
            )
            yield about(user, "user-not-listed", reason + "placeholder, stands in", field)


def _listed_room(listed: Listed, people: _People) -> _ChannelFiles:
    """Return a channel of the list with import ids in place of names."""
    record = listed.record

    def met(name: str, field: str) -> str:
        return people.meet(name, record.file, record.position, field)

    creator = met(record.creator, listed.creator_field) if record.creator else ""
    members = tuple(dict.fromkeys(met(name, listed.members_field) for name in record.members))
    record = replace(record, creator=creator, members=members)
    return _ChannelFiles(record=record, members_field=listed.members_field, files=[])


# ---------------------------------------------------------------- first pass


class _NamedPeople(Struct):
    """The people whom a room's files name. `ids` by name; `names` has only names that differ from the id."""

    ids: dict[str, str]
    names: dict[str, str]

    def see(self, name: str, people: _People, sheet: Sheet, line: int, place: int, called: str) -> None:
        """Note a person who is named in the column at this place, usually `called` so."""
        if name not in self.ids:
            field = column(sheet, place, called)
            id = self.ids[name] = people.meet(name, sheet.file, where(line), field)
            if id != name:
                self.names[name] = id


def _scan_room(archive: Archive, room: _ChannelFiles, people: _People) -> Iterator[Channel | Part | Problem]:
    first_pass, seen = CsvFirstPass(archive, is_direct=False), _NamedPeople({}, {})
    for found in _entries(archive, room.files, first_pass):
        if isinstance(found, Problem):
            yield found
        else:
            sheet, line, entry = found
            if entry.author:
                seen.see(entry.author, people, sheet, line, sheet.places[0], "username")
    record = room.record
    if not record.members:
        authors = dict.fromkeys(id for id in seen.ids.values() if id != ROCKET_CAT)
        record = replace(record, members=tuple(authors))
        if room.files:
            yield _guessed(room)
    yield record
    yield from first_pass.parts(record.id, seen.names)


def _guessed(room: _ChannelFiles) -> Problem:
    """Return the problem that the members of a room are the authors of its messages."""
    record = room.record
    if not room.members_field:
        reason = f"channels.csv does not hold this folder; {UNLISTED_ROOM}"
        return problem("unknown-folder", reason, file=record.file)
    reason = f"the export does not list the members of {record.name}"
    return about(record, "channel-without-members", reason, room.members_field)


def _scan_direct(archive: Archive, files: list[str], people: _People) -> Iterator[Channel | Part | Problem]:
    first_pass, seen = CsvFirstPass(archive, is_direct=True), _NamedPeople({}, {})
    met: set[str] = set()
    for found in _entries(archive, files, first_pass):
        if isinstance(found, Problem):
            yield found
            continue
        sheet, line, entry = found
        seen.see(entry.author, people, sheet, line, sheet.places[0], "from")
        for name in entry.others:
            seen.see(name, people, sheet, line, sheet.places[3], "to")
        members = _members(seen.ids[entry.author], entry.others, seen.names)
        id = "/".join(members)
        if id not in met:
            met.add(id)
            yield Channel(
                id=id, type="d", members=tuple(dict.fromkeys(members)), file=sheet.file, position=where(line)
            )
    yield from first_pass.parts("", seen.names)


def _entries(
    archive: Archive, files: list[str], first_pass: CsvFirstPass
) -> Iterator[tuple[Sheet, int, MessageRow] | Problem]:
    """Yield every message of a room's files, and a problem per file about how it was read."""
    table = DIRECT_MESSAGES if first_pass.is_direct else MESSAGES
    for file in sorted(files):
        try:
            sheet = sheet_of(archive, file, table, "text")
        except ArchiveError as error:
            yield problem("file-not-readable", str(error), file=file)
            continue
        yield from unknown_columns(sheet)
        odd = first = 0
        for found in first_pass.read(sheet):
            if isinstance(found, Problem):
                yield found
                continue
            line, entry = found
            if not is_text(entry.text):
                odd, first = odd + 1, first or line
            yield sheet, line, entry
        if odd:
            note = row_problem("encoding-repaired", REPAIRED, sheet, first, sheet.places[2], "text")
            yield replace(note, count=odd)
