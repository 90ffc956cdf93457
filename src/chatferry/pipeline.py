"""prepare(operation) and run(operation): the only code that knows importer, conversion, destination, store.

It calls them in order and decides nothing. What is done twice, after a crash, gives the same documents.
"""

import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from chatferry.archive import Archive
from chatferry.convert import Decision, Known, KnownRoom, KnownUser
from chatferry.convert import rooms as convert_rooms
from chatferry.convert import users as convert_users
from chatferry.destinations import Destination, Lookup, Rejection
from chatferry.documents import Date, Document
from chatferry.downloads.urls import holds_secret
from chatferry.errors import ArchiveError
from chatferry.importers import Importer
from chatferry.operations import DIRECT_MESSAGES, Counts, Operation, Status, advance
from chatferry.parts import PartResult, import_parts, merged
from chatferry.problems import problem
from chatferry.records import (
    ROCKET_CAT,
    Channel,
    Contact,
    Outcome,
    Part,
    Problem,
    User,
)
from chatferry.store import Store, problems
from chatferry.store.staging import Record, Result, Staged, Type

T = TypeVar("T")
Check = Callable[[], None]
"""Raises CancelledError when the work is to stop. Called at least after every batch and every file."""
Watch = Callable[[Operation], None]
"""Told of every step of an operation."""

STAGE_BATCH, USER_BATCH, ROOM_BATCH = 1000, 200, 20
_PREPARING: dict[type, Status] = {
    User: Status.PREPARING_USERS,
    Contact: Status.PREPARING_CONTACTS,
    Channel: Status.PREPARING_CHANNELS,
    Part: Status.PREPARING_MESSAGES,
}


def now() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class Tools(Struct, frozen=True):
    """What an operation is worked on with."""

    store: Store
    importer: Importer
    archive: Archive
    check: Check
    watch: Watch


class _Progress:
    """The operation as it moves on: saves every step."""

    def __init__(self, operation: Operation, tools: Tools) -> None:
        self.operation = operation
        self._tools = tools
        self._since = time.perf_counter()

    def go(self, status: Status) -> None:
        if status != self.operation.status:
            self._save(advance(self.operation, status, now()))

    def count(self, counts: Counts) -> None:
        self._save(replace(self.operation, count=counts, updated_at=now()))

    def _save(self, operation: Operation) -> None:
        moment = time.perf_counter()
        self.operation = replace(
            operation, seconds=operation.seconds + moment - self._since, peak_memory=peak_memory()
        )
        self._since = moment
        self._tools.store.operations.save(self.operation)
        self._tools.watch(self.operation)


def peak_memory() -> float:
    """The most memory this process has held, in MiB."""
    try:
        # getrusage would count what the process that started this one held at that moment.
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024
    except (OSError, IndexError, ValueError):  # not Linux
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


# ---------------------------------------------------------------- prepare


def prepare(operation: Operation, tools: Tools) -> Operation:
    """Read everything but the messages into the store; then the operation waits for its selection.

    Raises ArchiveError if nothing can be read, and what `tools.check` raises.
    """
    store, id = tools.store, operation.id
    progress = _Progress(operation, tools)
    progress.go(Status.PREPARING)
    store.forget(id)
    found = noted = 0
    for batch in _batches(tools.importer.scan(tools.archive), STAGE_BATCH):
        tools.check()
        notes = [item for item in batch if isinstance(item, Problem)]
        with store.transaction():
            store.problems.add(id, problems.PREPARE, notes, noted)
            _stage(store, id, batch, found)
        noted, found = noted + len(notes), found + len(batch)
        for item in batch:
            status = _PREPARING.get(type(item))
            if status and status > progress.operation.status:
                progress.go(status)
    counts = _counted(store, id)
    progress.count(counts)
    if not any((counts.users, counts.channels, counts.messages)):
        raise ArchiveError(
            f"{tools.archive.name}: nothing in it can be read. chatferry report {id} says why for each file."
        )
    progress.go(Status.SELECTION)
    return progress.operation


def _stage(store: Store, id: str, batch: Sequence[object], first: int) -> None:
    records: list[tuple[int, Record]] = []
    parts: list[tuple[int, Part]] = []
    for number, item in enumerate(batch, first):
        if isinstance(item, Part):
            parts.append((number, item))
        elif isinstance(item, User | Channel | Contact):
            records.append((number, item))
    store.staging.add(id, records)
    store.parts.add(id, parts)


def _counted(store: Store, id: str) -> Counts:
    users = sum(store.staging.outcomes(id, "user").values())
    contacts = sum(store.staging.outcomes(id, "contact").values())
    channels = sum(store.staging.outcomes(id, "channel").values())
    messages = store.parts.messages(id)
    return Counts(
        users=users,
        channels=channels,
        messages=messages,
        contacts=contacts or None,
        total=users + contacts + channels + messages,
    )


# ---------------------------------------------------------------- run


def run(operation: Operation, tools: Tools, destination: Destination) -> Operation:
    """Import what the operation's selection names. Done a second time it goes on where it stopped."""
    progress = _Progress(operation, tools)
    progress.go(Status.IMPORTING)
    progress.go(Status.IMPORTING_USERS)
    _import_users(operation, tools, destination)
    users = _known_users(operation, tools.store, destination)
    progress.count(_progressed(progress.operation, tools.store))
    progress.go(Status.IMPORTING_CHANNELS)
    _import_channels(operation, tools, destination, users)
    known = Known(users, _known_rooms(operation, tools.store))
    progress.count(_progressed(progress.operation, tools.store))
    progress.go(Status.IMPORTING_MESSAGES)
    undone = tools.store.parts.undone(operation.id)
    for results in import_parts(undone, known, tools.importer, tools.archive, destination, tools.check):
        _note_parts(tools.store, operation.id, results)
        progress.count(_added(progress.operation.count, results))
        tools.check()
    progress.go(Status.FINISHING)
    rooms = {room.id for room in known.rooms.values() if not room.absent}
    rooms |= {room["_id"] for room in destination.find(Lookup.ROOM_DEFAULT, ["true"])}
    destination.finish(sorted(rooms))
    _verify(operation, tools.store)
    progress.go(Status.DONE)
    return progress.operation


def _progressed(operation: Operation, store: Store) -> Counts:
    """The counters as the store knows them."""
    ended: Counter[Outcome] = Counter()
    for type in ("user", "channel"):
        for outcome, count in store.staging.outcomes(operation.id, type).items():
            if outcome is not None:
                ended[outcome] += count
    ended.update(store.parts.outcomes(operation.id, "message"))
    failed = ended.pop(Outcome.FAILED, 0)
    return replace(operation.count, completed=sum(ended.values()), error=failed)


def _added(counts: Counts, results: Iterable[PartResult]) -> Counts:
    ended = sum((result.messages for result in results), Counter[Outcome]())
    failed = ended.pop(Outcome.FAILED, 0)
    completed = (counts.completed or 0) + sum(ended.values())
    return replace(counts, completed=completed, error=(counts.error or 0) + failed)


def _verify(operation: Operation, store: Store) -> None:
    """Nothing vanishes: read = inserted + updated + unchanged + skipped + failed."""
    undecided = sum(store.staging.outcomes(operation.id, type).get(None, 0) for type in ("user", "channel"))
    read = store.parts.messages(operation.id)
    ended = sum(store.parts.outcomes(operation.id, "message").values())
    if undecided or read != ended:
        raise AssertionError(f"{undecided} records are undecided; {read} messages were read, {ended} ended")


# ---------------------------------------------------------------- users


def _import_users(operation: Operation, tools: Tools, destination: Destination) -> None:
    default_rooms = destination.find(Lookup.ROOM_DEFAULT, ["true"])
    setup = convert_users.UserSetup(
        source=tools.importer.key,
        archive_ids=tools.store.staging.import_ids(operation.id, "user"),
        default_rooms=tuple(default_rooms),
    )
    undecided = tools.store.staging.records(operation.id, "user", undecided=True)
    for batch in _batches(undecided, USER_BATCH):
        tools.check()
        records = [staged.record for staged in batch if isinstance(staged.record, User)]
        known = convert_users.KnownUsers(_user_documents(records, setup, destination))
        moment = Date.at(now())
        decisions = []
        for record in records:
            if record.id in operation.selection.users:
                decision = convert_users.decide_user(record, known, setup, moment)
            else:
                decision = _unselected_user(record, known, setup)
            known.take(decision.changes)
            decisions.append(decision)
        _carry_out(operation.id, "user", batch, decisions, tools.store, destination)


def _user_documents(
    records: list[User], setup: convert_users.UserSetup, destination: Destination
) -> Iterator[Document]:
    yield from destination.find(Lookup.USER_IMPORT_ID, [record.id for record in records])
    yield from destination.find(Lookup.USER_ID, [convert_users.new_id(record, setup) for record in records])
    yield from destination.find(Lookup.USER_EMAIL, [email for record in records for email in record.emails])
    wishes = [name for record in records for name in convert_users.username_wishes(record)]
    yield from destination.find(Lookup.USERNAME, wishes)


def _unselected_user(
    record: User, known: convert_users.KnownUsers, setup: convert_users.UserSetup
) -> Decision:
    """Left out; but if an earlier import brought the account, it stays the author of its messages."""
    own = known.own(record, setup)
    reason = f"{record.username or record.id} was not selected"
    skipped = problem("user-not-selected", reason, file=record.file, position=record.position)
    return Decision(
        outcome=Outcome.SKIPPED,
        id=own["_id"] if own else "",
        name=own.get("username", "") if own else record.username,
        problems=(skipped,),
    )


def _known_users(operation: Operation, store: Store, destination: Destination) -> dict[str, KnownUser]:
    """What stands for each user of the archive."""
    users: dict[str, KnownUser] = {}
    cats = destination.find(Lookup.USER_ID, [ROCKET_CAT])
    for batch in _batches(store.staging.records(operation.id, "user"), STAGE_BATCH):
        ids = {staged.document_id for staged in batch if staged.document_id}
        documents = {document["_id"]: document for document in destination.find(Lookup.USER_ID, ids)}
        for staged in batch:
            document = documents.get(staged.document_id)
            users[staged.record.id] = _account(document) if document else _absent_user(staged)
    users[ROCKET_CAT] = _account(cats[0]) if cats else KnownUser(ROCKET_CAT, ROCKET_CAT, "Rocket.Cat")
    return users


def _account(document: Document) -> KnownUser:
    return KnownUser(
        document["_id"],
        document.get("username", ""),
        document.get("name", ""),
        document.get("active", True),
    )


def _absent_user(staged: Staged) -> KnownUser:
    record = staged.record
    name = record.username if isinstance(record, User) else ""
    return KnownUser("", name, record.name, absent=_absence(staged))


def _absence(staged: Staged) -> str:
    return "failed" if staged.outcome == Outcome.FAILED else "not selected"


# ---------------------------------------------------------------- channels


def _import_channels(
    operation: Operation, tools: Tools, destination: Destination, users: dict[str, KnownUser]
) -> None:
    starter = destination.find(Lookup.USER_ID, [operation.user])
    setup = convert_rooms.RoomSetup(
        source=tools.importer.key,
        archive_ids=tools.store.staging.import_ids(operation.id, "channel"),
        users=users,
        starter=_account(starter[0]) if starter else users[ROCKET_CAT],
    )
    undecided = tools.store.staging.records(operation.id, "channel", undecided=True)
    for batch in _batches(undecided, ROOM_BATCH):
        tools.check()
        records = [staged.record for staged in batch if isinstance(staged.record, Channel)]
        rooms = list(_room_documents(records, setup, destination))
        inside = destination.find(Lookup.SUBSCRIPTION_ROOM, {room["_id"] for room in rooms})
        known = convert_rooms.KnownRooms(rooms, inside)
        moment = Date.at(now())
        decisions = []
        for record in records:
            if record.id in operation.selection.channels or (
                record.type == "d" and DIRECT_MESSAGES in operation.selection.channels
            ):
                decision = convert_rooms.decide_room(record, known, setup, moment)
            else:
                decision = _unselected_channel(record)
            known.take(decision.changes)
            decisions.append(decision)
        _carry_out(operation.id, "channel", batch, decisions, tools.store, destination)


def _room_documents(
    records: list[Channel], setup: convert_rooms.RoomSetup, destination: Destination
) -> Iterator[Document]:
    yield from destination.find(Lookup.ROOM_IMPORT_ID, [record.id for record in records])
    ids = [convert_rooms.new_id(record, setup) for record in records]
    yield from destination.find(Lookup.ROOM_ID, [*ids, convert_rooms.GENERAL])
    named = [record for record in records if record.type != "d" or record.name]
    wishes = [name for record in named for name in convert_rooms.name_wishes(record)]
    yield from destination.find(Lookup.ROOM_NAME, wishes)
    keys = [
        convert_rooms.members_key(
            user.id for user in map(setup.users.get, record.members) if user is not None and not user.absent
        )
        for record in records
        if record.type == "d"
    ]
    yield from destination.find(Lookup.ROOM_MEMBERS, keys)


def _unselected_channel(record: Channel) -> Decision:
    reason = f"{record.name or record.id} was not selected"
    skipped = problem("channel-not-selected", reason, file=record.file, position=record.position)
    return Decision(outcome=Outcome.SKIPPED, name=record.name, problems=(skipped,))


def _known_rooms(operation: Operation, store: Store) -> dict[str, KnownRoom]:
    rooms: dict[str, KnownRoom] = {}
    for staged in store.staging.records(operation.id, "channel"):
        if staged.document_id:
            rooms[staged.record.id] = KnownRoom(staged.document_id, staged.name)
        else:
            rooms[staged.record.id] = KnownRoom("", staged.record.name, absent=_absence(staged))
    return rooms


# ---------------------------------------------------------------- carrying out decisions


def _carry_out(
    operation_id: str,
    type: Type,
    batch: Sequence[Staged],
    decisions: Sequence[Decision],
    store: Store,
    destination: Destination,
) -> None:
    """Apply the changes of a batch and note what became of each record."""
    changes = [change for decision in decisions for change in decision.changes]
    owners = [place for place, decision in enumerate(decisions) for _ in decision.changes]
    refused: dict[int, Rejection] = {}
    for rejection in destination.apply(changes) if changes else ():
        refused.setdefault(owners[rejection.index], rejection)
    results: list[Result] = []
    phase = problems.USERS if type == "user" else problems.CHANNELS
    with store.transaction():
        for place, (staged, decision) in enumerate(zip(batch, decisions, strict=True)):
            notes = list(decision.problems)
            outcome, id = decision.outcome, decision.id
            if place in refused:
                outcome, id = Outcome.FAILED, ""
                record = staged.record
                reason = refused[place].reason
                notes.append(problem(f"{type}-rejected", reason, file=record.file, position=record.position))
            results.append(Result(staged.number, outcome, id, decision.name))
            if isinstance(staged.record, User) and id and holds_secret(staged.record.avatar_url):
                store.avatar_addresses.put(id, staged.record.avatar_url)
            store.problems.add(operation_id, phase, notes, staged.number * 1000)
        store.staging.decide(operation_id, type, results)


# ---------------------------------------------------------------- messages


def _note_parts(store: Store, operation_id: str, results: Iterable[PartResult]) -> None:
    with store.transaction():
        for result in results:
            result.files.update(store.pending_files.add(operation_id, result.pending))
            phase = problems.PARTS + result.number
            store.problems.clear(operation_id, phase)
            store.problems.add(operation_id, phase, merged(result.problems))
            store.parts.finish(
                operation_id, result.number, {"message": result.messages, "file": result.files}
            )


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
