"""prepare(operation) and run(operation): the only code that knows importer, conversion, destination, store.

It calls them in order and decides nothing. What is done twice, after a crash, gives the same documents.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from chatferry.archive import Archive
from chatferry.clock import now
from chatferry.convert import IdMap
from chatferry.destinations import Destination, Lookup
from chatferry.errors import EmptyArchiveError
from chatferry.importers import Importer
from chatferry.operations import Counts, Operation, Status, advance, may_follow
from chatferry.pipeline.convert_parts import Batch, PartResult, Share, convert_parts
from chatferry.pipeline.linking import Origins, settle_origin
from chatferry.pipeline.parallel import PartWorkers
from chatferry.pipeline.reuse import CacheKeys, cache_keys, imprint, recognised
from chatferry.pipeline.staged import (
    STAGE_BATCH,
    TYPES,
    Work,
    import_channels,
    import_contacts,
    import_users,
    known_rooms,
    known_users,
)
from chatferry.pipeline.write_batches import merged, whole_parts, write_batches
from chatferry.problems import MOST_OF_ARCHIVE, Notes
from chatferry.records import Channel, Contact, Outcome, Part, Problem, User
from chatferry.runtime import peak_memory
from chatferry.store import Store, problems
from chatferry.store.part_cache import CachedPart
from chatferry.store.parts import NumberedPart
from chatferry.store.staging import Record

Check = Callable[[], None]
"""Raises CancelledError when the work is to stop. Called at least after every batch and every file."""
Watch = Callable[[Operation], None]
"""Told of every step of an operation."""
T = TypeVar("T")

STAGE_SECONDS = 0.5  # after which what was read is staged

_PREPARING: dict[type, Status] = {
    User: Status.PREPARING_USERS,
    Contact: Status.PREPARING_CONTACTS,
    Channel: Status.PREPARING_CHANNELS,
    Part: Status.PREPARING_MESSAGES,
}


class Tools(Struct, frozen=True):
    """What an operation is worked on with.

    `start` starts other processes for so many messages, if that is worth it; `clock` counts the seconds of
    work, from wherever. `before_messages` and `after_messages` are called around the writing of messages.
    """

    store: Store
    importer: Importer
    archive: Archive
    check: Check
    watch: Watch
    start: Callable[[int], PartWorkers | None] = lambda messages: None
    clock: Callable[[], float] = time.perf_counter
    before_messages: Callable[[], None] = lambda: None
    after_messages: Callable[[], None] = lambda: None


class _Progress:
    """The operation as it moves on: saves every step."""

    def __init__(self, operation: Operation, tools: Tools) -> None:
        self.operation = operation
        self._tools = tools
        self._since = tools.clock()
        self.others: PartWorkers | None = None

    def go(self, status: Status) -> None:
        if status != self.operation.status:
            self._save(advance(self.operation, status, now()))

    def count(self, counts: Counts) -> None:
        self._save(replace(self.operation, count=counts, updated_at=now()))

    def _save(self, operation: Operation) -> None:
        moment = self._tools.clock()
        memory = peak_memory() + (self.others.peak_memory if self.others else 0)
        self.operation = replace(
            operation, seconds=operation.seconds + moment - self._since, peak_memory=memory
        )
        self._since = moment
        self._tools.store.operations.save(self.operation)
        self._tools.watch(self.operation)


# ---------------------------------------------------------------- prepare


def prepare(operation: Operation, tools: Tools) -> Operation:
    """Read everything but the messages into the store; then the operation waits for its selection.

    Raises ArchiveError if nothing can be read, and what `tools.check` raises.
    """
    store, id = tools.store, operation.id
    stated = tools.importer.origin(tools.archive) if tools.importer.origin else ""
    fingerprint = tools.archive.fingerprint()
    progress = _Progress(replace(operation, fingerprint=fingerprint, stated_origin=stated), tools)
    progress.go(Status.PREPARING)
    store.forget(id)
    found = noted = 0
    notes = Notes(MOST_OF_ARCHIVE)
    for batch in _soon(tools.importer.scan(tools.archive)):
        tools.check()
        for item in batch:
            if isinstance(item, Problem):
                notes.append(item)
        with store.transaction():
            store.problems.add(id, problems.PREPARE, notes[noted:], noted)
            _stage(store, id, batch, found)
        noted, found = len(notes), found + len(batch)
        types = set(map(type, batch))
        for type_, status in _PREPARING.items():
            if type_ in types and may_follow(progress.operation.status, status):
                progress.go(status)
    for index in notes.counting:
        store.problems.add(id, problems.PREPARE, [notes[index]], index)
    counts = _counted(store, id)
    progress.count(counts)
    if not any((counts.users, counts.channels, counts.contacts, counts.messages)):
        raise EmptyArchiveError(
            f"{tools.archive.name}: nothing in it can be read. chatferry report {id} says why for each file."
        )
    progress.go(Status.SELECTION)
    return progress.operation


def _soon(items: Iterable[T]) -> Iterator[list[T]]:
    """The items in batches that are given after a moment, full or not: people see that it goes on."""
    batch: list[T] = []
    end = time.monotonic() + STAGE_SECONDS
    for item in items:
        batch.append(item)
        if len(batch) >= STAGE_BATCH or time.monotonic() > end:
            yield batch
            batch, end = [], time.monotonic() + STAGE_SECONDS
    if batch:
        yield batch


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
    origins = settle_origin(operation, tools.importer, tools.store, destination, now())
    progress.operation = replace(operation, origin=origins.own.name)
    progress.go(Status.IMPORTING)
    progress.others = tools.start(tools.store.parts.messages(operation.id))
    known = _import_staged(progress, tools, origins, destination)
    progress.go(Status.IMPORTING_MESSAGES)
    _import_messages(progress, tools, known, destination)
    progress.go(Status.FINISHING)
    rooms = {room.id for room in known.rooms.values() if not room.absent}
    rooms |= {room["_id"] for room in destination.find(Lookup.ROOM_DEFAULT, ["true"])}
    destination.finish(sorted(rooms))
    tools.store.part_cache.drop_older(operation.id)
    tools.after_messages()
    tools.check()
    _verify(operation, tools.store)
    progress.go(Status.DONE)
    return progress.operation


def _import_staged(progress: _Progress, tools: Tools, origins: Origins, destination: Destination) -> IdMap:
    """Import users, contacts and channels; return what is then known of them."""
    work = Work(progress.operation, origins, tools.store, destination, tools.check, now)
    progress.go(Status.IMPORTING_USERS)
    import_users(work)
    users = known_users(work)
    progress.count(_progressed(progress.operation, tools.store))
    progress.go(Status.IMPORTING_CONTACTS)
    import_contacts(work, users)
    progress.count(_progressed(progress.operation, tools.store))
    progress.go(Status.IMPORTING_CHANNELS)
    import_channels(work, users)
    known = IdMap(users, known_rooms(work), origins.own.scope, progress.operation.rewrite)
    progress.count(_progressed(progress.operation, tools.store))
    return known


def _import_messages(progress: _Progress, tools: Tools, known: IdMap, destination: Destination) -> None:
    store, id = tools.store, progress.operation.id
    mark_of = cache_keys(tools.importer, tools.archive, known.scope)
    if store.part_cache.any() and not known.rewrite:
        for some in recognised(store.parts.undone(id), mark_of, known, store, destination):
            with store.transaction():
                store.part_cache.renew(id, [each.mark for each in some])
                _note_parts(store, id, [each.result for each in some])
            progress.count(_added(progress.operation.count, [each.result for each in some]))
            tools.check()
    if next(store.parts.undone(id), None):
        tools.before_messages()
    taken: dict[int, NumberedPart] = {}
    for results in whole_parts(_written(progress, tools, known, destination, taken)):
        parts = [taken.pop(result.number).part for result in results]
        with store.transaction():
            store.part_cache.add(id, _imprints(parts, results, mark_of, known))
            _note_parts(store, id, results)
        progress.count(_added(progress.operation.count, results))
        tools.check()


def _imprints(
    parts: Iterable[Part], results: Iterable[PartResult], mark_of: CacheKeys, known: IdMap
) -> Iterator[tuple[bytes, str, CachedPart]]:
    """What is kept of parts for the next import."""
    for part, result in zip(parts, results, strict=True):
        if result.trace.ids and result.trace.is_whole and (mark := mark_of(part)):
            yield mark, part.channel, imprint(result, known)


def _written(
    progress: _Progress,
    tools: Tools,
    known: IdMap,
    destination: Destination,
    taken: dict[int, NumberedPart],
) -> Iterator[list[Share]]:
    """What became of the messages, batch by batch. Parts that are being worked on are in `taken`."""

    def undone() -> Iterator[NumberedPart]:
        for numbered in tools.store.parts.undone(progress.operation.id):
            taken[numbered.number] = numbered
            yield numbered

    def convert(parts: Iterable[NumberedPart]) -> Iterator[Batch]:
        return convert_parts(parts, known, tools.importer, tools.archive, destination.pack)

    if progress.others:
        return progress.others.write(undone(), known, destination, tools.check, convert)
    return write_batches(convert(undone()), destination, tools.check)


def _progressed(operation: Operation, store: Store) -> Counts:
    """The counters as the store knows them."""
    ended: Counter[Outcome] = Counter()
    for type in TYPES:
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
    undecided = sum(store.staging.outcomes(operation.id, type).get(None, 0) for type in TYPES)
    read = store.parts.messages(operation.id)
    ended = sum(store.parts.outcomes(operation.id, "message").values())
    if undecided or read != ended:
        raise AssertionError(f"{undecided} records are undecided; {read} messages were read, {ended} ended")


# ---------------------------------------------------------------- messages


def _note_parts(store: Store, operation_id: str, results: Sequence[PartResult]) -> None:
    with store.transaction():
        for result in results:
            if result.pending:
                result.files.update(store.pending_files.add(operation_id, result.pending))
        store.problems.replace(
            operation_id, {problems.PARTS + result.number: merged(result.problems) for result in results}
        )
        store.parts.finish(
            operation_id,
            {result.number: {"message": result.messages, "file": result.files} for result in results},
        )
