"""Importing what was chosen: users, contacts, channels, then messages.

What is done twice, after a crash, gives the same documents.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from chatferry.clock import now
from chatferry.convert import IdMap
from chatferry.destinations import Lookup
from chatferry.operations import Counts, Operation, Status
from chatferry.pipeline.apply import TYPES, RecordContext
from chatferry.pipeline.channels import import_channels, mapped_rooms
from chatferry.pipeline.contacts import import_contacts
from chatferry.pipeline.context import ImportContext
from chatferry.pipeline.convert_parts import convert_parts
from chatferry.pipeline.linking import Origins, settle_origin
from chatferry.pipeline.parallel import PartsToWrite
from chatferry.pipeline.progress import Progress
from chatferry.pipeline.results import Batch, PartResult, whole_parts
from chatferry.pipeline.reuse import CacheKey, cache_key_of, cached_part, reusable_parts
from chatferry.pipeline.users import import_users, mapped_users
from chatferry.pipeline.write_batches import merged, write_batches
from chatferry.records import Outcome
from chatferry.store import Store, problems
from chatferry.store.part_cache import CachedPart
from chatferry.store.parts import NumberedPart


def run(operation: Operation, context: ImportContext) -> Operation:
    """Import what the operation's selection names. Done a second time it goes on where it stopped."""
    store, destination = context.store, context.destination
    progress = Progress(operation, store, context.watch, context.clock)
    origins = settle_origin(operation, context.importer, store, destination, now())
    progress.operation = replace(operation, origin=origins.own.name)
    progress.go(Status.IMPORTING)
    progress.workers = context.start(store.parts.messages(operation.id))
    id_map = _import_records(progress, context, origins)
    progress.go(Status.IMPORTING_MESSAGES)
    _import_messages(progress, context, id_map)
    progress.go(Status.FINISHING)
    rooms = {room.id for room in id_map.rooms.values() if not room.absent}
    rooms |= {room["_id"] for room in destination.find(Lookup.ROOM_DEFAULT, ["true"])}
    destination.refresh_rooms(sorted(rooms))
    store.part_cache.drop_older(operation.id)
    context.after_messages()
    context.check()
    _verify(operation, store)
    progress.go(Status.DONE)
    return progress.operation


def _import_records(progress: Progress, context: ImportContext, origins: Origins) -> IdMap:
    """Import users, contacts and channels; return what the archive's import ids then stand for."""
    records = RecordContext(progress.operation, origins, context.store, context.destination, context.check)
    progress.go(Status.IMPORTING_USERS)
    import_users(records)
    users = mapped_users(records)
    progress.count(_progressed(progress.operation, context.store))
    progress.go(Status.IMPORTING_CONTACTS)
    import_contacts(records, users)
    progress.count(_progressed(progress.operation, context.store))
    progress.go(Status.IMPORTING_CHANNELS)
    import_channels(records, users)
    id_map = IdMap(users, mapped_rooms(records), origins.own.scope, progress.operation.rewrite)
    progress.count(_progressed(progress.operation, context.store))
    return id_map


def _import_messages(progress: Progress, context: ImportContext, id_map: IdMap) -> None:
    store, destination, id = context.store, context.destination, progress.operation.id
    cache_key = cache_key_of(context.importer, context.archive, id_map.scope)
    if store.part_cache.any() and not id_map.rewrite:
        for parts in reusable_parts(store.parts.undone(id), cache_key, id_map, store, destination):
            results = [result for _, result in parts]
            with store.transaction():
                store.part_cache.renew(id, [key for key, _ in parts])
                _note_parts(store, id, results)
            progress.count(_added(progress.operation.count, results))
            context.check()
    if next(store.parts.undone(id), None):
        context.before_messages()
    for results in whole_parts(_written(progress, context, id_map)):
        with store.transaction():
            store.part_cache.add(id, _cached(results, cache_key, id_map))
            _note_parts(store, id, results)
        progress.count(_added(progress.operation.count, results))
        context.check()


def _cached(
    results: Iterable[PartResult], cache_key: CacheKey, id_map: IdMap
) -> Iterator[tuple[bytes, str, CachedPart]]:
    """Yield what is kept of parts for the next import."""
    for result in results:
        part = result.part.part
        if result.ids and result.is_whole and (key := cache_key(part)):
            yield key, part.channel, cached_part(result, id_map)


def _written(progress: Progress, context: ImportContext, id_map: IdMap) -> Iterator[list[PartResult]]:
    """Yield what became of the messages, batch by batch."""
    destination = context.destination
    parts = context.store.parts.undone(progress.operation.id)

    def convert(parts: Iterable[NumberedPart]) -> Iterator[Batch]:
        return convert_parts(parts, id_map, context.importer, context.archive, destination.pack)

    if progress.workers:
        return progress.workers.write(PartsToWrite(parts, id_map, destination, context.check, convert))
    return write_batches(convert(parts), destination, context.check)


def _progressed(operation: Operation, store: Store) -> Counts:
    """Return the counters as the store knows them."""
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
    """Check that nothing vanished: read = inserted + updated + unchanged + skipped + failed."""
    undecided = sum(store.staging.outcomes(operation.id, type).get(None, 0) for type in TYPES)
    read = store.parts.messages(operation.id)
    ended = sum(store.parts.outcomes(operation.id, "message").values())
    if undecided or read != ended:
        raise AssertionError(f"{undecided} records are undecided; {read} messages were read, {ended} ended")


def _note_parts(store: Store, operation_id: str, results: Sequence[PartResult]) -> None:
    with store.transaction():
        for result in results:
            if result.pending:
                result.files.update(store.pending_files.add(operation_id, result.pending))
        store.problems.replace(
            operation_id, {problems.PARTS + result.part.number: merged(result.problems) for result in results}
        )
        store.parts.finish(
            operation_id,
            {result.part.number: {"message": result.messages, "file": result.files} for result in results},
        )
