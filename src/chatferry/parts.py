"""The messages of parts: read, converted and written in batches.

Part of the pipeline, the half that is done per message. Whatever is done twice gives the same documents.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from itertools import islice

from msgspec import Struct
from msgspec.structs import replace

from chatferry.archive import Archive
from chatferry.convert import Known, KnownRoom
from chatferry.convert.messages import Converted, PendingFile, convert_message, decide_message
from chatferry.destinations import Destination
from chatferry.documents import Change, Document, Insert, encode
from chatferry.importers import Importer
from chatferry.problems import problem
from chatferry.records import Effect, Message, Outcome, Part, Problem, RecordType

BATCH = 4000  # messages


class PartResult(Struct):
    """What became of a part's messages and files."""

    messages: Counter[Outcome]
    files: Counter[Outcome]
    problems: list[Problem]
    pending: list[PendingFile]

    @staticmethod
    def empty() -> "PartResult":
        return PartResult(Counter(), Counter(), [], [])

    def add(self, other: "PartResult") -> None:
        self.messages.update(other.messages)
        self.files.update(other.files)
        self.problems.extend(other.problems)
        self.pending.extend(other.pending)


class _Batch(Struct, frozen=True):
    """Converted messages: as documents and as JSON, by their ids; and what is known of them already."""

    records: dict[str, Message]
    documents: list[Document]
    encoded: list[bytes]
    noteworthy: list[tuple[Message, Converted]]
    result: PartResult


def import_part(
    part: Part,
    known: Known,
    importer: Importer,
    archive: Archive,
    destination: Destination,
    check: Callable[[], None],
) -> PartResult:
    """Read, convert and write the messages of a part. `check` raises if the work is to stop."""
    room = known.rooms.get(part.channel)
    if part.channel and (room is None or room.absent):
        return _left_out(part, room)
    result = PartResult.empty()
    records = importer.read(archive, part)
    while batch := _convert_batch(islice(records, BATCH), known):
        check()
        _write_batch(batch, destination)
        result.add(batch.result)
    return result


def _left_out(part: Part, room: KnownRoom | None) -> PartResult:
    is_choice = room is not None and room.absent == "not selected"
    kind = "message-channel-not-selected" if is_choice else "message-channel-failed"
    name = room.name if room and room.name else part.channel
    reason = f"{part.messages} messages of {name}: the channel was not imported"
    note = problem(kind, reason, file=name, count=part.messages)
    outcome = Outcome.SKIPPED if is_choice else Outcome.FAILED
    return PartResult(Counter({outcome: part.messages}), Counter(), [note], [])


def _convert_batch(items: Iterable[Message | Problem], known: Known) -> _Batch | None:
    """Convert messages as they are read, while they are in the processor's cache; None if there are none."""
    batch = _Batch({}, [], [], [], PartResult.empty())
    result, records = batch.result, batch.records
    add_document, add_encoded = batch.documents.append, batch.encoded.append
    found = False
    for item in items:
        found = True
        if isinstance(item, Problem):
            _note(item, result)
            continue
        made = convert_message(item, known)
        document = made.document
        if document is None:
            result.files.update(made.files)
            for note in made.problems:
                _note(note, result)
        elif item.id in records:
            reason = f"another message has the same identity, {item.id}"
            twin = problem("message-twice", reason, file=item.file, position=item.position, field="ts")
            _note(twin, result)
        else:
            records[item.id] = item
            add_document(document)
            add_encoded(_encoded(document))
            if made.problems or made.pending or made.files or made.links:
                batch.noteworthy.append((item, made))
    return batch if found else None


def _write_batch(batch: _Batch, destination: Destination) -> None:
    """Bring a batch into the destination, and add what became of it to its result. Harmless to repeat."""
    result = batch.result
    written = _write(batch, destination)
    refused = written.refused
    for id, reason in refused.items():
        record = batch.records[id]
        _note(problem("message-rejected", reason, file=record.file, position=record.position), result)
        result.files[Outcome.FAILED] += len(record.files)
    for record, made in batch.noteworthy:
        if record.id not in refused:
            result.problems.extend(made.problems)
            result.files.update(made.files)
            if made.links:
                result.files[written.outcome(record.id)] += made.links
            result.pending.extend(made.pending)


class _Written(Struct, frozen=True):
    """What became of a batch of documents."""

    changed: Collection[str]
    existing: Collection[str]
    refused: dict[str, str]

    def outcome(self, id: str) -> Outcome:
        if id not in self.existing:
            return Outcome.INSERTED
        return Outcome.UPDATED if id in self.changed else Outcome.UNCHANGED


def _write(batch: _Batch, destination: Destination) -> _Written:
    """Bring documents into the destination, and count what became of them."""
    result = batch.result
    existing = destination.digests(batch.records.keys()) if batch.records else {}
    changes = [
        change
        for id, document, encoded in zip(batch.records, batch.documents, batch.encoded, strict=True)
        if (change := decide_message(document, encoded, existing.get(id)))
    ]
    rejections = destination.apply(changes) if changes else ()
    refused = {_id(changes[rejection.index]): rejection.reason for rejection in rejections}
    carried_out = [change for change in changes if _id(change) not in refused] if refused else changes
    inserted = sum([isinstance(change, Insert) for change in carried_out])
    result.messages[Outcome.INSERTED] += inserted
    result.messages[Outcome.UPDATED] += len(carried_out) - inserted
    result.messages[Outcome.UNCHANGED] += len(batch.documents) - len(changes)
    changed = {_id(change) for change in changes} if existing else ()  # else all is new
    return _Written(changed, existing.keys(), refused)


def _encoded(document: Document) -> bytes:
    """The document as JSON; b"" for one that cannot be: its destination will say why."""
    try:
        return encode(document)
    except (ValueError, TypeError, ArithmeticError, RecursionError):
        return b""


def _id(change: Change) -> str:
    return str(change.document["_id"]) if isinstance(change, Insert) else change.id


def _note(note: Problem, result: PartResult) -> None:
    """Keep a problem, and count the record that it ended."""
    result.problems.append(note)
    if note.record == "message" and note.effect != Effect.NOTED:
        result.messages[Outcome(note.effect.value)] += note.count


def merged(notes: Iterable[Problem]) -> list[Problem]:
    """Problems, with those that left out records of one file for one reason put together."""
    together: dict[tuple[str, str, str, RecordType] | int, Problem] = {}
    for number, note in enumerate(notes):
        key = number if note.effect == Effect.NOTED else (note.kind, note.file, note.reason, note.record)
        first = together.get(key)
        together[key] = note if first is None else replace(first, count=first.count + note.count)
    return list(together.values())
