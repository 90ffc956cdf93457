"""The messages of parts: read, converted and written in batches.

Part of the pipeline, the half that is done per message. Whatever is done twice gives the same documents.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from msgspec import Struct, field
from msgspec.structs import replace

from chatferry.archive import Archive
from chatferry.convert import Known, KnownRoom
from chatferry.convert.files import completed, files_of
from chatferry.convert.messages import Converted, PendingFile, convert_message, update_message
from chatferry.destinations import Destination, Lookup, Packed
from chatferry.documents import Document, digest, encode
from chatferry.importers import Importer
from chatferry.problems import problem
from chatferry.records import Effect, Message, Outcome, Part, Problem, RecordType
from chatferry.store.parts import NumberedPart

BATCH = 8 * 1024 * 1024  # bytes of JSON, with an allowance for each message: some 3,500 of them
ALLOWANCE = 2000

Pack = Callable[[Document, bytes, bytes], Packed]


class PartResult(Struct):
    """What became of a part's messages and files."""

    number: int
    messages: Counter[Outcome] = field(default_factory=Counter)
    files: Counter[Outcome] = field(default_factory=Counter)
    problems: list[Problem] = []
    pending: list[PendingFile] = []

    def add(self, other: "PartResult") -> None:
        self.messages.update(other.messages)
        self.files.update(other.files)
        self.problems.extend(other.problems)
        self.pending.extend(other.pending)

    def note(self, note: Problem) -> None:
        """Keep a problem, and count the record that it ended."""
        self.problems.append(note)
        if note.record == "message" and note.effect != Effect.NOTED:
            self.messages[Outcome(note.effect.value)] += note.count


class _Share(Struct):
    """What a batch holds of one part: its messages from place `first` on.

    `noteworthy` are those of them that brought files or problems, with their places.
    """

    first: int
    result: PartResult
    noteworthy: list[tuple[int, Converted]] = []
    is_last: bool = False


class _Batch(Struct):
    """Messages ready to be written, in the order of their parts."""

    shares: list[_Share] = []
    messages: list[Packed] = []
    places: dict[str, int] = {}  # by id
    spots: list[tuple[str, str | int]] = []  # file and position
    size: int = 0

    def open(self, part: int) -> _Share:
        share = _Share(len(self.messages), PartResult(part))
        self.shares.append(share)
        self.size += ALLOWANCE
        return share


def import_parts(
    parts: Iterable[NumberedPart],
    known: Known,
    importer: Importer,
    archive: Archive,
    destination: Destination,
    check: Callable[[], None],
) -> Iterator[list[PartResult]]:
    """Read, convert and write the messages of parts; after each batch, those parts that are now done.

    One batch is written while the next is read and converted: destinations let go of the interpreter while
    they wait for disk or network. `check` raises if the work is to stop.
    """
    halves: dict[int, PartResult] = {}  # of parts that go on in the next batch
    with ThreadPoolExecutor(1, "writer") as writer:
        writing: Future[list[_Share]] | None = None
        for batch in _converted(parts, known, importer, archive, destination.pack):
            check()
            if writing is not None:
                yield _done(writing.result(), halves)
            writing = writer.submit(_write, batch, destination)
        if writing is not None:
            yield _done(writing.result(), halves)


def _done(shares: list[_Share], halves: dict[int, PartResult]) -> list[PartResult]:
    done = []
    for share in shares:
        result = halves.pop(share.result.number, None) or PartResult(share.result.number)
        result.add(share.result)
        if share.is_last:
            done.append(result)
        else:
            halves[result.number] = result
    return done


# ---------------------------------------------------------------- reading and converting


def _converted(
    parts: Iterable[NumberedPart], known: Known, importer: Importer, archive: Archive, pack: Pack
) -> Iterator[_Batch]:
    """Each message is converted as it is read, while it is in the processor's cache."""
    batch = _Batch()
    for numbered in parts:
        share = batch.open(numbered.number)
        room = known.rooms.get(numbered.part.channel)
        if numbered.part.channel and (room is None or room.absent):
            _leave_out(numbered.part, room, share.result)
        else:
            for item in importer.read(archive, numbered.part):
                if batch.size >= BATCH:
                    yield batch
                    batch = _Batch()
                    share = batch.open(numbered.number)
                if isinstance(item, Problem):
                    share.result.note(item)
                else:
                    _add(item, batch, share, known, pack)
        share.is_last = True
        if batch.size >= BATCH:
            yield batch
            batch = _Batch()
    if batch.shares:
        yield batch


def _leave_out(part: Part, room: KnownRoom | None, result: PartResult) -> None:
    is_choice = room is not None and room.absent == "not selected"
    kind = "message-channel-not-selected" if is_choice else "message-channel-failed"
    name = room.name if room and room.name else part.channel
    reason = f"{part.messages} messages of {name}: the channel was not imported"
    result.note(problem(kind, reason, file=name, count=part.messages))


def _add(record: Message, batch: _Batch, share: _Share, known: Known, pack: Pack) -> None:
    """Put a message into the batch, or note why it cannot be imported."""
    made = convert_message(record, known)
    if made.document is None:
        for note in made.problems:
            share.result.note(note)
        share.result.files.update(made.files)
    elif record.id in batch.places:
        reason = f"another message has the same identity, {record.id}"
        twin = problem("message-twice", reason, file=record.file, position=record.position, field="ts")
        share.result.note(twin)
    else:
        try:
            encoded = encode(made.document)
        except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
            reason = f"it cannot be written as JSON: {error}"
            share.result.note(problem("message-rejected", reason, file=record.file, position=record.position))
            share.result.files[Outcome.FAILED] += made.all_files
            return
        place = batch.places[record.id] = len(batch.messages)
        batch.messages.append(pack(made.document, encoded, digest(encoded)))
        batch.spots.append((record.file, record.position))
        batch.size += len(encoded) + ALLOWANCE
        if made.problems or made.files or made.pending or made.links:
            share.noteworthy.append((place, replace(made, document=None)))


# ---------------------------------------------------------------- writing


def _write(batch: _Batch, destination: Destination) -> list[_Share]:
    """Bring a batch into the destination; its shares, with what became of their messages.

    Harmless to repeat.
    """
    existing = destination.digests(batch.places) if batch.messages else {}
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
    share: _Share,
    end: int,
    batch: _Batch,
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
    if existing or refused:
        result.messages.update(outcome(message[0]) for message in batch.messages[share.first : end])
    elif end > share.first:
        result.messages[Outcome.INSERTED] += end - share.first
    for id, reason in refused.items():
        if share.first <= batch.places[id] < end:
            file, position = batch.spots[batch.places[id]]
            result.problems.append(problem("message-rejected", reason, file=file, position=position))
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
