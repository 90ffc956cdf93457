"""Messages of parts, read and converted: batches that are ready to be written.

A batch holds nothing but plain values: it can be sent to another process.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from msgspec import Struct, field
from msgspec.structs import replace

from chatferry.archive import Archive
from chatferry.convert import IdMap, LoggedIdMap, MappedRoom
from chatferry.convert.messages import Converted, convert_message
from chatferry.destinations import Packed
from chatferry.documents import Document, digest, encode_into
from chatferry.importers import Importer
from chatferry.problems import problem
from chatferry.records import Effect, Message, Outcome, Part, PendingFile, Problem
from chatferry.store.parts import NumberedPart

BATCH = 8 * 1024 * 1024  # bytes of JSON, with an allowance for each message: some 3,500 of them
ALLOWANCE = 2000
PROBLEM = 500  # bytes

Pack = Callable[[Document, bytearray, bytes], Packed]
"""`Destination.pack`."""


class Trace(Struct):
    """What the import of a part's messages depended on, and what it left: see `unchanged`.

    `users` and `rooms` are the import ids that were looked up. `is_whole` unless a message was refused.
    """

    users: set[str] = set()
    rooms: set[str] = set()
    ids: list[str] = []
    digests: list[bytes] = []
    is_whole: bool = True

    def looked_up(self, noted: LoggedIdMap) -> None:
        self.users.update(noted.users)
        self.rooms.update(noted.rooms)

    def add(self, other: "Trace") -> None:
        self.users |= other.users
        self.rooms |= other.rooms
        self.ids += other.ids
        self.digests += other.digests
        self.is_whole = self.is_whole and other.is_whole


class PartResult(Struct):
    """What became of a part's messages and files, and its trace."""

    number: int
    messages: Counter[Outcome] = field(default_factory=Counter)
    files: Counter[Outcome] = field(default_factory=Counter)
    problems: list[Problem] = []
    pending: list[PendingFile] = []
    trace: Trace = field(default_factory=Trace)

    def add(self, other: "PartResult") -> None:
        self.messages.update(other.messages)
        self.files.update(other.files)
        self.problems.extend(other.problems)
        self.pending.extend(other.pending)
        self.trace.add(other.trace)

    def note(self, note: Problem) -> None:
        """Keep a problem, and count the record that it ended."""
        self.problems.append(note)
        if note.record == "message" and note.effect != Effect.NOTED:
            self.messages[Outcome(note.effect.value)] += note.count


class Share(Struct):
    """What a batch holds of one part: its messages from place `first` on.

    `noteworthy` are those of them that brought files or problems, with their places.
    """

    first: int
    result: PartResult
    noteworthy: list[tuple[int, Converted]] = []
    is_last: bool = False


class Batch(Struct):
    """Messages ready to be written, in the order of their parts, and where each one stands.

    `rewrite`: what people have edited is overwritten too. `placeholders` are ids of messages that stand for
    others.
    """

    shares: list[Share] = []
    messages: list[Packed] = []
    files: list[str] = []
    positions: list[str | int] = []
    size: int = 0
    rewrite: bool = False
    placeholders: set[str] = set()

    def open(self, part: int) -> Share:
        share = Share(len(self.messages), PartResult(part))
        self.shares.append(share)
        self.size += ALLOWANCE
        return share


def convert_parts(
    parts: Iterable[NumberedPart],
    known: IdMap,
    importer: Importer,
    archive: Archive,
    pack: Pack,
    size: int = BATCH,
) -> Iterator[Batch]:
    """Parts in batches of `size`. Each message is converted as it is read: it is in the processor's cache."""
    batch = Batch(rewrite=known.rewrite)
    seen: set[str] = set()  # the ids of the batch's messages
    encoded = bytearray()
    for numbered in parts:
        share = batch.open(numbered.number)
        noted = known.logged_map()
        room = noted.rooms[numbered.part.channel]
        if numbered.part.channel and (room is None or room.absent):
            _leave_out(numbered.part, room, share.result)
        else:
            for item in importer.read(archive, numbered.part):
                if batch.size >= size:
                    share.result.trace.looked_up(noted)
                    yield batch
                    batch, seen = Batch(rewrite=known.rewrite), set()
                    share = batch.open(numbered.number)
                    noted = known.logged_map()
                if isinstance(item, Problem):
                    share.result.note(item)
                elif (made := _made(item, noted, seen, encoded, share.result)) and made.document:
                    if made.problems or made.pending or made.files or made.links:
                        share.noteworthy.append((len(batch.messages), replace(made, document=None)))
                        batch.size += PROBLEM * len(made.problems)
                    if made.placeholder:
                        batch.placeholders.add(made.document["_id"])
                    batch.messages.append(pack(made.document, encoded, digest(encoded)))
                    batch.files.append(item.file)
                    batch.positions.append(item.position)
                    batch.size += len(encoded) + ALLOWANCE
        share.result.trace.looked_up(noted)
        share.is_last = True
        if batch.size >= size:
            yield batch
            batch, seen = Batch(rewrite=known.rewrite), set()
    if batch.shares:
        yield batch


def _leave_out(part: Part, room: MappedRoom | None, result: PartResult) -> None:
    is_choice = room is not None and room.absent == "not selected"
    kind = "message-channel-not-selected" if is_choice else "message-channel-failed"
    name = room.name if room and room.name else part.channel
    reason = f"{part.messages} messages of {name}: the channel was not imported"
    result.note(problem(kind, reason, file=name, count=part.messages))


def _made(
    record: Message, known: LoggedIdMap, seen: set[str], encoded: bytearray, result: PartResult
) -> Converted | None:
    """What a message becomes, its document in `encoded`; None if it cannot be imported, which is noted."""
    made = convert_message(record, known)
    if made.document is None:
        for note in made.problems:
            result.note(note)
        result.files.update(made.files)
        return None
    if record.id in seen:
        reason = f"another message has the same identity, {record.id}"
        twin = problem("message-twice", reason, file=record.file, position=record.position, field="ts")
        result.note(twin)
        return None
    try:
        encode_into(made.document, encoded)
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
        reason = f"it cannot be written as JSON: {error}"
        result.note(problem("message-rejected", reason, file=record.file, position=record.position))
        result.files[Outcome.FAILED] += made.all_files
        return None
    seen.add(record.id)
    return made
