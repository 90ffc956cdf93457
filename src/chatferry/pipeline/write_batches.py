"""The messages of parts, written in batches. Whatever is done twice gives the same documents."""

from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from msgspec import Struct
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
    """Bring a batch into the destination; return its parts, with what became of their messages."""
    existing = destination.digests([message[0] for message in batch.messages]) if batch.messages else {}
    new = (
        [message for message in batch.messages if message[0] not in existing] if existing else batch.messages
    )
    updates, edited = _updates(batch, existing, destination) if existing else ([], set())
    refused = {new[one.index][0]: one.reason for one in (destination.insert(new) if new else ())}
    refused |= {updates[one.index].id: one.reason for one in (destination.apply(updates) if updates else ())}
    written = _Written(existing, {update.id for update in updates}, refused)
    ends = [result.first for result in batch.parts[1:]] + [len(batch.messages)]
    for result, end in zip(batch.parts, ends, strict=True):
        _settle(result, end, batch, written)
        if edited:
            _note_edited(result, end, batch, edited)
    return batch.parts


def _updates(
    batch: Batch, existing: dict[str, bytes], destination: Destination
) -> tuple[list[Update], set[str]]:
    """Return updates of messages that are converted differently now, and ids of messages left to people.

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
        id_, digest = packed[0], packed[1]
        if id_ not in stored:
            updates.append(update_message(shown, digest))
        elif update := renewal(stored[id_], existing[id_], document, shown, digest):
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
    """Return the messages; they show the files whose bytes are stored."""
    wanted = {id for message in messages for id in files_of(message)}
    found = destination.find(Lookup.UPLOAD_ID, wanted) if wanted else []
    stored = {upload["_id"]: upload for upload in found}
    return [message | completed(message, stored) for message in messages]


class _Written(Struct):
    """What the destination made of a batch's messages, by their ids.

    existing  the digests of the messages that were there before
    updated   messages that were there and have changed
    refused   why the destination did not take a message
    """

    existing: dict[str, bytes]
    updated: set[str]
    refused: dict[str, str]

    def outcome(self, id: str) -> Outcome:
        """Return what became of a message."""
        if id in self.refused:
            return Outcome.FAILED
        if id not in self.existing:
            return Outcome.INSERTED
        return Outcome.UPDATED if id in self.updated else Outcome.UNCHANGED

    def digest(self, id: str, converted: bytes) -> bytes:
        """Return the digest that is stored of a message; a message that was left alone keeps its own."""
        return converted if id in self.updated else self.existing.get(id, converted)


def _settle(result: PartResult, end: int, batch: Batch, written: _Written) -> None:
    """Add to a result what became of its messages, which end before place `end`, and of their files."""
    messages = batch.messages[result.first : end]
    ids = [message[0] for message in messages]
    result.ids += ids
    if written.existing:
        result.digests += [written.digest(message[0], message[1]) for message in messages]
    else:
        result.digests += [message[1] for message in messages]
    result.is_whole = written.refused.keys().isdisjoint(ids)
    if written.existing or written.refused:
        result.messages.update(map(written.outcome, ids))
        for place, id in enumerate(ids, result.first):
            if id in written.refused:
                file, position = batch.files[place], batch.positions[place]
                note = problem("message-rejected", written.refused[id], file=file, position=position)
                result.problems.append(note)
    elif messages:
        result.messages[Outcome.INSERTED] += len(messages)
    _settle_files(result, batch, written)
    if len(result.problems) > MOST_OF_PART:
        result.problems = merged(result.problems)


def _settle_files(result: PartResult, batch: Batch, written: _Written) -> None:
    """Add to a result the files and problems of its messages."""
    for place, made in result.noteworthy:
        outcome = written.outcome(batch.messages[place][0])
        if outcome == Outcome.FAILED:
            result.files[outcome] += made.all_files
            continue
        result.problems.extend(made.problems)
        result.files.update(made.files)
        result.pending.extend(made.pending)
        if made.links:
            result.files[outcome] += made.links
    result.noteworthy = []


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
