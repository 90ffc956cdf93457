"""HipChat exports: Server, Data Center and what HipChat Cloud gave, a tar.gz that is not encrypted.

Which files exist: https://confluence.atlassian.com/hipchatkb/exporting-from-hipchat-for-data-portability-950821555.html.
"""

import re
from collections.abc import Iterator

import msgspec
from msgspec.structs import replace

from chatferry.archive import Archive
from chatferry.errors import ArchiveError
from chatferry.importers.hipchat.first_pass import Slice, Survey, parts
from chatferry.importers.hipchat.lists import ROOMS, USERS, Room, read_rooms, read_users
from chatferry.importers.hipchat.messages import OTHER, Folder, to_record, unknown_event
from chatferry.importers.hipchat.private import Private
from chatferry.importers.hipchat.schema import Event, Said, micros
from chatferry.importers.reading.json_list import decode_list, flaw_problem, raw_elements
from chatferry.importers.reading.unlisted import UNLISTED_ROOM, not_listed
from chatferry.problems import Position, problem
from chatferry.records import Channel, Message, Part, Problem, User

_HISTORY = re.compile(r"(rooms|users)/([^/]+)/history\.json")
_STORED = re.compile(r"rooms/[^/]+/files/|users/(?:[^/]+/)?files/")

# Files of a HipChat export that are no chat, and what they are.
_NOT_CHAT = {
    "emoticons.json": "the list of emoticons",
    "metadata.json": "the description of the export",
    "autojoin.json": "which rooms people had open",
}


def matches(archive: Archive) -> bool:
    """Whether this looks like a HipChat export: rooms.json, or histories."""
    return any(name == ROOMS or _HISTORY.fullmatch(name) for name in archive.names())


def scan(archive: Archive) -> Iterator[User | Channel | Part | Problem]:
    """Users, rooms, conversations and the parts of their messages; see `Importer.scan`."""
    _refuse_what_is_none(archive)
    yield from _files_left_out(archive)
    users: dict[str, None] = {}
    names: dict[str, str] = {}
    for user in read_users(archive):
        if isinstance(user, User):
            users[user.id] = None
            names.setdefault(user.username.lower(), user.id)
        yield user
    survey = Survey(archive, users, names)
    yield from _rooms(archive, survey)
    yield from Private(survey).scan(_folders(archive, "users"))
    strangers = survey.strangers.values()
    yield from strangers
    yield from not_listed(map(_not_listed, strangers), bool(users), "an inactive placeholder")


def read(archive: Archive, part: Part) -> Iterator[Message | Problem]:
    """The messages of a slice; see `Importer.read`."""
    here = msgspec.msgpack.decode(part.data, type=Slice)
    file = here.folder.file
    numbers = [place for run in here.runs for place in range(run.first, run.first + run.count)]
    try:
        data = b"[%s]" % b",".join(_runs(archive, here))
    except ArchiveError as error:
        yield problem("message-not-readable", str(error), file=file, count=part.messages)
        return
    events, flaws = decode_list(data, Event, numbers)
    for flaw in flaws:
        yield flaw_problem(flaw, file, "message-not-readable", "message")
    values: list[object] = []
    twins = set(here.twins)
    for index, (place, event) in enumerate(zip(numbers, events, strict=True)):
        if event is None:
            continue
        spot, told = Position(file, place), event.told
        if told is None:
            values = values or list(raw_elements(data))
            name, said, found = unknown_event(values[index], place)
            yield from (flaw_problem(flaw, file, "message-not-readable", "message") for flaw in found)
            if said is None:
                reason = "it is none of HipChat's kinds of messages"
                yield spot.problem("message-not-readable", reason)
                continue
            yield spot.problem("message-of-unknown-type", f"the kind {name!r} is not known")
            told = OTHER, said
        yield from _message(*told, spot, here, place in twins, archive)
    if here.broken:
        yield Position(file, here.end).problem("message-not-readable", here.broken)


def _message(
    kind: str, said: Said, spot: Position, here: Slice, is_twin: bool, archive: Archive
) -> Iterator[Message | Problem]:
    time = micros(said.timestamp)
    if kind == "guest":
        reason = "it says that guests may enter the room, or no longer may"
        yield spot.problem("message-not-chat", reason)
    elif time is None:
        given = f"{said.timestamp[:40]!r} is not a time" if said.timestamp else "the message has no time"
        yield spot.problem("message-without-time", given, "timestamp")
    elif is_twin:
        reason = "another message of the same file has the same id"
        yield spot.problem("message-twice", reason, "id")
    else:
        problems: list[Problem] = []
        ts = here.moved.get(spot.index, time // 1000)
        yield to_record(
            kind, said, ts, here.folder, here.channel, here.names, spot, archive.__contains__, problems
        )
        yield from problems


def _runs(archive: Archive, here: Slice) -> Iterator[bytes]:
    """The JSON of a slice's runs, read in one go from the first to the last."""
    if not here.runs:
        return
    place = here.runs[0].start
    with archive.open(here.folder.file, place) as stream:
        for run in here.runs:
            while place < run.start:
                place += len(stream.read(min(run.start - place, 1 << 20)))
            yield stream.read(run.end - run.start)
            place = run.end


# ---------------------------------------------------------------- which files


def _refuse_what_is_none(archive: Archive) -> None:
    names = archive.names()
    if not names:
        raise ArchiveError(f"{archive.name} is empty. Export again.")
    if not matches(archive):
        raise ArchiveError(
            f"{archive.name} is no HipChat export: it holds neither rooms.json nor files such as "
            f"rooms/1/history.json. It holds {', '.join(names[:3])} ..."
        )


def _folders(archive: Archive, kind: str) -> list[Folder]:
    found = (_HISTORY.fullmatch(name) for name in archive.names())
    return [Folder(match[0], match[2], kind == "rooms") for match in found if match and match[1] == kind]


def _files_left_out(archive: Archive) -> Iterator[Problem]:
    for name in archive.names():
        if name in (USERS, ROOMS) or _HISTORY.fullmatch(name) or _STORED.match(name):
            continue
        what = _NOT_CHAT.get(name) or ("an emoticon" if name.startswith("emoticons/") else "")
        reason = f"it holds {what}, which is no chat" if what else "chatferry does not know such a file"
        yield problem("file-not-imported", reason, file=name)


def _not_listed(user: User) -> Problem:
    reason = f"no list of users names {user.id}, an inactive placeholder holds its messages"
    return problem("user-not-listed", reason, file=user.file, position=user.position, field="sender")


# ---------------------------------------------------------------- rooms


def _rooms(archive: Archive, survey: Survey) -> Iterator[Channel | Part | Problem]:
    folders = {folder.id: folder for folder in _folders(archive, "rooms")}
    for room in read_rooms(archive):
        if isinstance(room, Problem):
            yield room
        else:
            yield from _room(room, folders.pop(room.record.id, None), survey)
    for folder in folders.values():
        record = Channel(id=folder.id, type="p", name=folder.id, listed=False, file=folder.file)
        reason = f"rooms.json names no such room; {UNLISTED_ROOM}"
        yield problem("unknown-folder", reason, file=folder.file)
        yield from _room(Room(record, members_known=False), folder, survey)


def _room(room: Room, folder: Folder | None, survey: Survey) -> Iterator[Channel | Part | Problem]:
    record = room.record
    reading = survey.read(folder) if folder else None
    if not room.members_known:
        authors = reading.authors if reading else ()
        record = replace(record, members=tuple(dict.fromkeys((*record.members, *authors))))
        if record.type == "p" and record.file == ROOMS:
            reason = f"the export does not list the members of {record.name or record.id}"
            yield problem(
                "channel-without-members",
                reason,
                file=record.file,
                position=record.position,
                field="Room.members",
            )
    yield record
    if reading:
        yield from parts(reading, record.id, reading.found(record.id), with_rest=True)
