"""Reading an archive for the first time: everything but its messages goes into the store."""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from msgspec.structs import replace

from chatferry.errors import EmptyArchiveError
from chatferry.operations import Counts, Operation, Status, may_follow
from chatferry.pipeline.apply import STAGE_BATCH
from chatferry.pipeline.context import ImportContext
from chatferry.pipeline.progress import Progress
from chatferry.problems import MOST_OF_ARCHIVE, Notes
from chatferry.records import Channel, Contact, Part, Problem, User
from chatferry.store import Store, problems
from chatferry.store.staging import Record

T = TypeVar("T")

STAGE_SECONDS = 0.5  # after which what was read is staged

_PREPARING: dict[type, Status] = {
    User: Status.PREPARING_USERS,
    Contact: Status.PREPARING_CONTACTS,
    Channel: Status.PREPARING_CHANNELS,
    Part: Status.PREPARING_MESSAGES,
}


def prepare(operation: Operation, context: ImportContext) -> Operation:
    """Read everything but the messages into the store; then the operation waits for its selection."""
    store, id = context.store, operation.id
    stated = context.importer.origin(context.archive) if context.importer.origin else ""
    fingerprint = context.archive.fingerprint()
    progress = Progress(
        replace(operation, fingerprint=fingerprint, stated_origin=stated), store, context.watch, context.clock
    )
    progress.go(Status.PREPARING)
    store.forget(id)
    found = noted = 0
    notes = Notes(MOST_OF_ARCHIVE)
    for batch in _soon(context.importer.scan(context.archive)):
        context.check()
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
            f"{context.archive.name}: nothing in it can be read. "
            f"`chatferry report {id}` says why for each file."
        )
    progress.go(Status.SELECTION)
    return progress.operation


def _soon(items: Iterable[T]) -> Iterator[list[T]]:
    """Yield items in batches, full or not after a moment: people see that it goes on."""
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
