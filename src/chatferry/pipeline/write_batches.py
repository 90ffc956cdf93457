"""The messages of parts, written in batches.

Part of the pipeline, the half that is done per message. Whatever is done twice gives the same documents.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from msgspec.structs import replace

from chatferry.convert.edits import renewal
from chatferry.convert.files import completed, files_of
from chatferry.convert.messages import update_message
from chatferry.destinations import Destination, Lookup
from chatferry.documents import Document, Update, has_format, is_alike
from chatferry.pipeline.results import Batch, PartResult
from chatferry.problems import MOST_OF_PART, Notes, problem
from chatferry.records import ROCKET_CAT, Effect, Outcome, Problem


def write_batches(
    batches: Iterable[Batch], destination: Destination, check: Callable[[], None]
) -> Iterator[list[PartResult]]:
    """Write batches; what became of each. `check` raises if the work is to stop.

    One batch is written while the next is made: destinations let go of the interpreter while they wait for
    disk or network.
    """
    with ThreadPoolExecutor(1, "writer") as writer:
        writing: Future[list[PartResult]] | None = None
        for batch in batches:
            check()
            if writing is not None:
                yield writing.result()
            writing = writer.submit(write_batch, batch, destination)
        if writing is not None:
            yield writing.result()


def write_batch(batch: Batch, destination: Destination) -> list[PartResult]:
    """Bring a batch into the destination; return its parts, with what became of their messages.

    Harmless to repeat.
    """
    existing = destination.digests([message[0] for message in batch.messages]) if batch.messages else {}
    new = (
        [message for message in batch.messages if message[0] not in existing] if existing else batch.messages
    )
    updates, edited = _updates(batch, existing, destination) if existing else ([], set())
    refused = {new[one.index][0]: one.reason for one in (destination.insert(new) if new else ())}
    refused |= {updates[one.index].id: one.reason for one in (destination.apply(updates) if updates else ())}
    updated = {update.id for update in updates}
    ends = [result.first for result in batch.parts[1:]] + [len(batch.messages)]
    for result, end in zip(batch.parts, ends, strict=True):
        _settle(result, end, batch, existing, updated, refused)
        if edited:
            _note_edited(result, end, batch, edited)
    return batch.parts


def _updates(
    batch: Batch, existing: dict[str, bytes], destination: Destination
) -> tuple[list[Update], set[str]]:
    """The updates of messages that are not as they are converted now, and the ids of those left to people.

    A digest of the same format says that the source has changed, which counts more than what people did. With
    any other it may be chatferry alone that has changed: then nothing is done to what people have edited.
    """
    changed = [
        message
        for message in batch.messages
        if existing.get(message[0], message[1]) != message[1]
        and not is_alike(existing[message[0]], message[1])
    ]
    if batch.placeholders:
        kept = _held(batch.placeholders.intersection(id for id, *_ in changed), destination)
        changed = [message for message in changed if message[0] not in kept]
    made = [destination.unpack(packed) for packed in changed]
    doubtful = [id for id, *_ in changed if not batch.rewrite and not has_format(existing[id])]
    found = destination.find(Lookup.MESSAGE_ID, doubtful) if doubtful else []
    stored = {document["_id"]: document for document in found}
    updates: list[Update] = []
    edited: set[str] = set()
    for packed, document, shown in zip(changed, made, _with_files(made, destination), strict=True):
        id_, mark = packed[0], packed[1]
        if id_ not in stored:
            updates.append(update_message(shown, mark))
        elif update := renewal(stored[id_], existing[id_], document, shown, mark):
            updates.append(update)
        else:
            edited.add(id_)
    return updates, edited


def _held(ids: Collection[str], destination: Destination) -> set[str]:
    """Return which of the messages an import has brought, so that no placeholder is to stand for them."""
    found = destination.find(Lookup.MESSAGE_ID, ids) if ids else []
    return {
        message["_id"] for message in found if (message.get("t"), message["u"]["_id"]) != ("rm", ROCKET_CAT)
    }


def _note_edited(result: PartResult, end: int, batch: Batch, edited: set[str]) -> None:
    """Note which messages of a part were left as people have made them, together for each file."""
    by_file: dict[str, list[str | int]] = {}
    for place in range(result.first, end):
        if batch.messages[place][0] in edited:
            by_file.setdefault(batch.files[place], []).append(batch.positions[place])
    reason = "it was edited after its import, and would now be imported differently; it was left as it is"
    for file, positions in by_file.items():
        note = problem("message-edited", reason, file=file, position=positions[0], count=len(positions))
        result.problems.append(note)


def _with_files(messages: list[Document], destination: Destination) -> list[Document]:
    """The messages, showing those of their files whose bytes are stored."""
    wanted = {id for message in messages for id in files_of(message)}
    found = destination.find(Lookup.UPLOAD_ID, wanted) if wanted else []
    stored = {upload["_id"]: upload for upload in found}
    return [message | completed(message, stored) for message in messages]


def _settle(
    result: PartResult,
    end: int,
    batch: Batch,
    existing: dict[str, bytes],
    updated: set[str],
    refused: dict[str, str],
) -> None:
    """Add to a result what became of its messages, which end before place `end`, and of their files."""

    def outcome(id: str) -> Outcome:
        if id in refused:
            return Outcome.FAILED
        if id not in existing:
            return Outcome.INSERTED
        return Outcome.UPDATED if id in updated else Outcome.UNCHANGED

    ids = [message[0] for message in batch.messages[result.first : end]]
    result.ids += ids
    digests = [message[1] for message in batch.messages[result.first : end]]
    if existing:  # what was left alone keeps the digest that it had
        digests = [
            new if id in updated else existing.get(id, new) for id, new in zip(ids, digests, strict=True)
        ]
    result.digests += digests
    result.is_whole = refused.keys().isdisjoint(ids)
    if existing or refused:
        result.messages.update(map(outcome, ids))
        for place, id in enumerate(ids, result.first):
            if id in refused:
                file, position = batch.files[place], batch.positions[place]
                note = problem("message-rejected", refused[id], file=file, position=position)
                result.problems.append(note)
    elif end > result.first:
        result.messages[Outcome.INSERTED] += end - result.first
    for place, made in result.noteworthy:
        fate = outcome(batch.messages[place][0])
        if fate == Outcome.FAILED:
            result.files[fate] += made.all_files
            continue
        result.problems.extend(made.problems)
        result.files.update(made.files)
        result.pending.extend(made.pending)
        if made.links:
            result.files[fate] += made.links
    result.noteworthy = []
    if len(result.problems) > MOST_OF_PART:
        result.problems = merged(result.problems)


def merged(notes: Iterable[Problem]) -> list[Problem]:
    """Return problems, as many of each kind as are listed one by one.

    Messages of one file that were skipped for one reason are one problem.
    """
    together: dict[tuple[str, str, str] | int, Problem] = {}
    for number, note in enumerate(notes):
        is_skipped = note.record == "message" and note.effect == Effect.SKIPPED
        key = (note.kind, note.file, note.reason) if is_skipped else number
        first = together.get(key)
        together[key] = note if first is None else replace(first, count=first.count + note.count)
    return Notes(MOST_OF_PART, together.values())
