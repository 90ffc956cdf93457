"""HipChat exports: Server, Data Center and what HipChat Cloud gave, a tar.gz that is not encrypted.

Which files exist: https://confluence.atlassian.com/hipchatkb/exporting-from-hipchat-for-data-portability-950821555.html.
"""

import re
from collections.abc import Iterator

import msgspec
from msgspec.structs import replace

from chatferry.archive import Archive
from chatferry.errors import ArchiveError
from chatferry.importers.hipchat.first_pass import HipChatFirstPass, parts
from chatferry.importers.hipchat.lists import ROOMS, USERS, ListedRoom, read_rooms, read_users
from chatferry.importers.hipchat.messages import OTHER, HipChatPartSpec, History, to_record, unknown_event
from chatferry.importers.hipchat.private import Private
from chatferry.importers.hipchat.schema import Event, Payload, micros
from chatferry.importers.reading.json_list import decode_list, flaw_problem, raw_elements
from chatferry.importers.reading.json_stream import read_ranges
from chatferry.importers.reading.unlisted import UNLISTED_ROOM, not_listed
from chatferry.problems import Position, about, problem
from chatferry.records import Channel, Message, Part, Problem, User

_HISTORY = re.compile(r"(rooms|users)/([^/]+)/history\.json")
_STORED = re.compile(r"rooms/[^/]+/files/|users/(?:[^/]+/)?files/")

# Files of a HipChat export that hold no chat, and what they hold.
_NOT_CHAT = {
    "emoticons.json": "the list of emoticons",
    "metadata.json": "the description of the export",
    "autojoin.json": "which rooms people had open",
}


def matches(archive: Archive) -> bool:
    """Return whether this looks like a HipChat export: it has rooms.json or histories."""
    return any(name == ROOMS or _HISTORY.fullmatch(name) for name in archive.names())


def scan(archive: Archive) -> Iterator[User | Channel | Part | Problem]:
    """Yield users, rooms, conversations and the parts of their messages; see `Importer.scan`."""
    _require_history(archive)
    yield from _files_left_out(archive)
    users: dict[str, None] = {}
    names: dict[str, str] = {}
    for user in read_users(archive):
        if isinstance(user, User):
            users[user.id] = None
            names.setdefault(user.username.lower(), user.id)
        yield user
    first_pass = HipChatFirstPass(archive, users, names)
    yield from _rooms(archive, first_pass)
    yield from Private(first_pass).scan(_histories(archive, "users"))
    unlisted = first_pass.unlisted_users.values()
    yield from unlisted
    yield from not_listed(map(_not_listed, unlisted), bool(users), "an inactive placeholder")


def read(archive: Archive, part: Part) -> Iterator[Message | Problem]:
    """Yield the messages of a part; see `Importer.read`."""
    spec = msgspec.msgpack.decode(part.data, type=HipChatPartSpec)
    file = spec.history.file
    numbers = [number for range_ in spec.ranges for number in range_.numbers]
    try:
        data = read_ranges(archive, file, spec.ranges)
    except ArchiveError as error:
        yield problem("message-not-readable", str(error), file=file, count=part.messages)
        return
    events, flaws = decode_list(data, Event, numbers)
    for flaw in flaws:
        yield flaw_problem(flaw, file, "message")
    values: list[object] = []
    duplicates = set(spec.duplicates)
    for index, (number, event) in enumerate(zip(numbers, events, strict=True)):
        if event is None:
            continue
        position, known = Position(file, number), event.payload
        if known is None:
            values = values or list(raw_elements(data))
            name, payload, flaws = unknown_event(values[index], number)
            yield from (flaw_problem(flaw, file, "message") for flaw in flaws)
            if payload is None:
                reason = "it is none of HipChat's kinds of messages"
                yield position.problem("message-not-readable", reason)
                continue
            yield position.problem("message-of-unknown-type", f"the kind {name!r} is not known")
            known = OTHER, payload
        yield from _message(*known, position, spec, number in duplicates, archive)
    if spec.broken:
        yield Position(file, spec.end).problem("message-not-readable", spec.broken)


def _message(
    kind: str,
    payload: Payload,
    position: Position,
    spec: HipChatPartSpec,
    is_duplicate: bool,
    archive: Archive,
) -> Iterator[Message | Problem]:
    time = micros(payload.timestamp)
    if kind == "guest":
        reason = "it says that guests may enter the room, or no longer may"
        yield position.problem("message-not-chat", reason)
    elif time is None:
        given = payload.timestamp
        reason = f"{given[:40]!r} is not a time" if given else "the message has no time"
        yield position.problem("message-without-time", reason, "timestamp")
    elif is_duplicate:
        reason = "another message of the same file has the same id"
        yield position.problem("message-twice", reason, "id")
    else:
        ts = spec.moved.get(position.index, time // 1000)
        record, problems = to_record(kind, payload, ts, spec, position, archive.__contains__)
        yield record
        yield from problems


# ---------------------------------------------------------------- which files


def _require_history(archive: Archive) -> None:
    names = archive.names()
    if not names:
        raise ArchiveError(f"{archive.name} is empty. Export again.")
    if not matches(archive):
        raise ArchiveError(
            f"{archive.name} is no HipChat export: it holds neither rooms.json nor files such as "
            f"rooms/1/history.json. It holds {', '.join(names[:3])} ..."
        )


def _histories(archive: Archive, kind: str) -> list[History]:
    found = (_HISTORY.fullmatch(name) for name in archive.names())
    return [History(match[0], match[2], kind == "rooms") for match in found if match and match[1] == kind]


def _files_left_out(archive: Archive) -> Iterator[Problem]:
    for name in archive.names():
        if name in (USERS, ROOMS) or _HISTORY.fullmatch(name) or _STORED.match(name):
            continue
        what = _NOT_CHAT.get(name) or ("an emoticon" if name.startswith("emoticons/") else "")
        reason = f"it holds {what}, which is no chat" if what else "chatferry does not know such a file"
        yield problem("file-not-imported", reason, file=name)


def _not_listed(user: User) -> Problem:
    reason = f"no list of users names {user.id}, an inactive placeholder holds its messages"
    return about(user, "user-not-listed", reason, "sender")


# ---------------------------------------------------------------- rooms


def _rooms(archive: Archive, first_pass: HipChatFirstPass) -> Iterator[Channel | Part | Problem]:
    histories = {history.id: history for history in _histories(archive, "rooms")}
    for room in read_rooms(archive):
        if isinstance(room, Problem):
            yield room
        else:
            yield from _room(room, histories.pop(room.record.id, None), first_pass)
    for history in histories.values():
        record = Channel(id=history.id, type="p", name=history.id, listed=False, file=history.file)
        reason = f"rooms.json names no such room; {UNLISTED_ROOM}"
        yield problem("unknown-folder", reason, file=history.file)
        yield from _room(ListedRoom(record, members_known=False), history, first_pass)


def _room(
    room: ListedRoom, history: History | None, first_pass: HipChatFirstPass
) -> Iterator[Channel | Part | Problem]:
    record = room.record
    reading = first_pass.read(history) if history else None
    if not room.members_known:
        authors = reading.authors if reading else ()
        record = replace(record, members=tuple(dict.fromkeys((*record.members, *authors))))
        if record.type == "p" and record.file == ROOMS:
            reason = f"the export does not list the members of {record.name or record.id}"
            yield about(record, "channel-without-members", reason, "Room.members")
    yield record
    if reading:
        yield from parts(reading, record.id, reading.channels[record.id], with_rest=True)
