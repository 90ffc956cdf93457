"""The messages of parts, written in batches.

Part of the pipeline, the half that is done per message. Whatever is done twice gives the same documents.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from msgspec.structs import replace

from chatferry.batches import Batch, PartResult, Share
from chatferry.convert.files import completed, files_of
from chatferry.convert.messages import update_message
from chatferry.destinations import Destination, Lookup
from chatferry.documents import Document
from chatferry.problems import problem
from chatferry.records import Effect, Outcome, Problem, RecordType


def write_batches(
    batches: Iterable[Batch], destination: Destination, check: Callable[[], None]
) -> Iterator[list[Share]]:
    """Write batches; what became of each. `check` raises if the work is to stop.

    One batch is written while the next is made: destinations let go of the interpreter while they wait for
    disk or network.
    """
    with ThreadPoolExecutor(1, "writer") as writer:
        writing: Future[list[Share]] | None = None
        for batch in batches:
            check()
            if writing is not None:
                yield writing.result()
            writing = writer.submit(write_batch, batch, destination)
        if writing is not None:
            yield writing.result()


def whole_parts(written: Iterable[list[Share]]) -> Iterator[list[PartResult]]:
    """After each batch, the parts that are now done."""
    halves: dict[int, PartResult] = {}  # of parts that go on in the next batch
    for shares in written:
        done = []
        for share in shares:
            result = halves.pop(share.result.number, None) or PartResult(share.result.number)
            result.add(share.result)
            if share.is_last:
                done.append(result)
            else:
                halves[result.number] = result
        yield done


def write_batch(batch: Batch, destination: Destination) -> list[Share]:
    """Bring a batch into the destination; its shares, with what became of their messages.

    Harmless to repeat.
    """
    existing = destination.digests([message[0] for message in batch.messages]) if batch.messages else {}
    if existing:
        new = [message for message in batch.messages if message[0] not in existing]
        changed = [
            message for message in batch.messages if existing.get(message[0], message[1]) != message[1]
        ]
    else:
        new, changed = batch.messages, []
    documents = _with_files([destination.unpack(packed) for packed in changed], destination)
    updates = [
        update_message(document, packed[1]) for document, packed in zip(documents, changed, strict=True)
    ]
    refused = {new[one.index][0]: one.reason for one in (destination.insert(new) if new else ())}
    refused |= {updates[one.index].id: one.reason for one in (destination.apply(updates) if updates else ())}
    updated = {update.id for update in updates}
    ends = [share.first for share in batch.shares[1:]] + [len(batch.messages)]
    for share, end in zip(batch.shares, ends, strict=True):
        _settle(share, end, batch, existing, updated, refused)
    return batch.shares


def _with_files(messages: list[Document], destination: Destination) -> list[Document]:
    """The messages, showing those of their files whose bytes are stored."""
    wanted = {id for message in messages for id in files_of(message)}
    found = destination.find(Lookup.UPLOAD_ID, wanted) if wanted else []
    stored = {upload["_id"]: upload for upload in found}
    return [message | completed(message, stored) for message in messages]


def _settle(
    share: Share,
    end: int,
    batch: Batch,
    existing: dict[str, bytes],
    updated: set[str],
    refused: dict[str, str],
) -> None:
    """Add to a share's result what became of its messages, which end before `end`, and of their files."""

    def outcome(id: str) -> Outcome:
        if id in refused:
            return Outcome.FAILED
        if id not in existing:
            return Outcome.INSERTED
        return Outcome.UPDATED if id in updated else Outcome.UNCHANGED

    result = share.result
    ids = [message[0] for message in batch.messages[share.first : end]]
    result.trace.ids += ids
    result.trace.digests += [message[1] for message in batch.messages[share.first : end]]
    result.trace.is_whole = refused.keys().isdisjoint(ids)
    if existing or refused:
        result.messages.update(map(outcome, ids))
        for place, id in enumerate(ids, share.first):
            if id in refused:
                file, position = batch.files[place], batch.positions[place]
                note = problem("message-rejected", refused[id], file=file, position=position)
                result.problems.append(note)
    elif end > share.first:
        result.messages[Outcome.INSERTED] += end - share.first
    for place, made in share.noteworthy:
        fate = outcome(batch.messages[place][0])
        if fate == Outcome.FAILED:
            result.files[fate] += made.all_files
            continue
        result.problems.extend(made.problems)
        result.files.update(made.files)
        result.pending.extend(made.pending)
        if made.links:
            result.files[fate] += made.links


def merged(notes: Iterable[Problem]) -> list[Problem]:
    """Problems, with those that left out records of one file for one reason put together."""
    together: dict[tuple[str, str, str, RecordType] | int, Problem] = {}
    for number, note in enumerate(notes):
        key = number if note.effect == Effect.NOTED else (note.kind, note.file, note.reason, note.record)
        first = together.get(key)
        together[key] = note if first is None else replace(first, count=first.count + note.count)
    return list(together.values())
