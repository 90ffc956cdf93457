"""Reading and converting parts: batches that are ready to be written."""

from collections.abc import Callable, Iterable, Iterator

from msgspec.structs import replace

from chatferry.archive import Archive
from chatferry.convert import IdMap, MappedRoom
from chatferry.convert.messages import convert_message
from chatferry.destinations import Packed
from chatferry.documents import Document, digest, encode_into
from chatferry.importers import Importer
from chatferry.pipeline.results import ALLOWANCE, Batch, PartResult
from chatferry.problems import about, problem
from chatferry.records import Message, Outcome, Part, Problem
from chatferry.store.parts import NumberedPart

BATCH = 8 * 1024 * 1024  # bytes of JSON, with an allowance for each message: some 3,500 messages
PROBLEM = 500  # bytes

Pack = Callable[[Document, bytearray, bytes], Packed]
"""`Destination.pack`."""


def convert_parts(
    parts: Iterable[NumberedPart],
    id_map: IdMap,
    importer: Importer,
    archive: Archive,
    pack: Pack,
    size: int = BATCH,
) -> Iterator[Batch]:
    """Yield parts in batches of `size`.

    Each message is converted as it is read: it is in the processor's cache.
    """
    builder = _BatchBuilder(id_map, pack)
    for part in parts:
        builder.begin(part)
        for item in builder.records(part.part, importer, archive):
            if builder.batch.size >= size:
                yield builder.flush()
                builder.begin(part)
            if isinstance(item, Problem):
                builder.result.note(item)
            else:
                builder.add(item)
        builder.end()
        if builder.batch.size >= size:
            yield builder.flush()
    if builder.batch.parts:
        yield builder.flush()


class _BatchBuilder:
    """Converts messages and puts them into `batch`. `result` is what becomes of the part at hand."""

    batch: Batch
    result: PartResult

    def __init__(self, id_map: IdMap, pack: Pack) -> None:
        self._id_map = id_map
        self._pack = pack
        self._encoded = bytearray()
        self._renew()

    def begin(self, part: NumberedPart) -> None:
        """Begin a part, or go on with it in the next batch."""
        self.result = PartResult(part, first=len(self.batch.messages))
        self.batch.parts.append(self.result)
        self.batch.size += ALLOWANCE
        self._logged = self._id_map.logged_map()

    def records(self, part: Part, importer: Importer, archive: Archive) -> Iterable[Message | Problem]:
        """Return the records of a part; the problem that says why, if its channel was not imported."""
        room = self._logged.rooms[part.channel]
        if part.channel and (room is None or room.absent):
            return (_left_out(part, room),)
        return importer.read(archive, part)

    def add(self, message: Message) -> None:
        """Convert a message and add it to the batch, or note why it cannot be imported."""
        batch, result, encoded = self.batch, self.result, self._encoded
        made = convert_message(message, self._logged)
        if made.document is None:
            for note in made.problems:
                result.note(note)
            result.files.update(made.files)
            return
        if message.id in self._seen:
            reason = f"another message has the same identity, {message.id}"
            result.note(about(message, "message-twice", reason, "ts"))
            return
        try:
            encode_into(made.document, encoded)
        except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
            result.note(about(message, "message-rejected", f"it cannot be written as JSON: {error}"))
            result.files[Outcome.FAILED] += made.all_files
            return
        self._seen.add(message.id)
        if made.problems or made.pending or made.files or made.links:
            result.noteworthy.append((len(batch.messages), replace(made, document=None)))
            batch.size += PROBLEM * len(made.problems)
        if made.placeholder:
            batch.placeholders.add(made.document["_id"])
        batch.messages.append(self._pack(made.document, encoded, digest(encoded)))
        batch.files.append(message.file)
        batch.positions.append(message.position)
        batch.size += len(encoded) + ALLOWANCE

    def end(self) -> None:
        """End the part at hand."""
        self.result.log(self._logged)
        self.result.is_last = True

    def flush(self) -> Batch:
        """Return the batch, and begin another."""
        if not self.result.is_last:
            self.result.log(self._logged)
        batch = self.batch
        self._renew()
        return batch

    def _renew(self) -> None:
        self.batch = Batch(rewrite=self._id_map.rewrite)
        self._seen: set[str] = set()  # the ids of the batch's messages


def _left_out(part: Part, room: MappedRoom | None) -> Problem:
    is_choice = room is not None and room.absent == "not selected"
    kind = "message-channel-not-selected" if is_choice else "message-channel-failed"
    name = room.name if room and room.name else part.channel
    reason = f"{part.messages} messages of {name}: the channel was not imported"
    return problem(kind, reason, file=name, count=part.messages)
