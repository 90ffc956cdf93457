"""What becomes of parts, and the batches in which their messages are written.

All are plain values: they can be sent to another process.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from msgspec import Struct, field

from chatferry.convert import LoggedIdMap
from chatferry.convert.messages import Converted
from chatferry.destinations import Packed
from chatferry.records import Effect, Outcome, PendingFile, Problem
from chatferry.store.parts import NumberedPart

ALLOWANCE = 2000  # bytes that a message or a part counts beside its JSON


class PartResult(Struct):
    """What became of a part, or of the messages of it that one batch holds.

    messages, files  how many have which outcome
    pending          files that are still to be fetched
    users, rooms     the import ids that were looked up
    ids, digests     of the messages that are stored now, in their order
    is_whole         whether the destination refused none of them
    first            the place of the first message in its batch
    noteworthy       messages that brought files or problems, with their places in the batch
    is_last          whether the part ends with this batch
    """

    part: NumberedPart
    messages: Counter[Outcome] = field(default_factory=Counter)
    files: Counter[Outcome] = field(default_factory=Counter)
    problems: list[Problem] = []
    pending: list[PendingFile] = []
    users: set[str] = set()
    rooms: set[str] = set()
    ids: list[str] = []
    digests: list[bytes] = []
    is_whole: bool = True
    first: int = 0
    noteworthy: list[tuple[int, Converted]] = []
    is_last: bool = False

    def add(self, later: "PartResult") -> None:
        """Add what became of further messages of the part."""
        self.messages.update(later.messages)
        self.files.update(later.files)
        self.problems.extend(later.problems)
        self.pending.extend(later.pending)
        self.users |= later.users
        self.rooms |= later.rooms
        self.ids += later.ids
        self.digests += later.digests
        self.is_whole = self.is_whole and later.is_whole
        self.is_last = later.is_last

    def note(self, problem: Problem) -> None:
        """Keep a problem, and count the message that it ended."""
        self.problems.append(problem)
        if problem.record == "message" and problem.effect != Effect.NOTED:
            self.messages[Outcome(problem.effect.value)] += problem.count

    def log(self, id_map: LoggedIdMap) -> None:
        """Keep which import ids were looked up."""
        self.users.update(id_map.users)
        self.rooms.update(id_map.rooms)


class Batch(Struct):
    """Messages ready to be written, in the order of their parts.

    files, positions  where each message stands in the archive
    size              bytes of JSON, with an allowance for each message
    rewrite           whether messages that people have edited are overwritten too
    placeholders      ids of messages that stand for missing ones
    """

    parts: list[PartResult] = []
    messages: list[Packed] = []
    files: list[str] = []
    positions: list[str | int] = []
    size: int = 0
    rewrite: bool = False
    placeholders: set[str] = set()


def whole_parts(written: Iterable[list[PartResult]]) -> Iterator[list[PartResult]]:
    """Yield after each batch the parts that are done with it."""
    begun: dict[int, PartResult] = {}  # parts that go on in the next batch
    for results in written:
        done: list[PartResult] = []
        for result in results:
            earlier = begun.pop(result.part.number, None)
            if earlier is not None:
                earlier.add(result)
                result = earlier
            if result.is_last:
                done.append(result)
            else:
                begun[result.part.number] = result
        yield done
