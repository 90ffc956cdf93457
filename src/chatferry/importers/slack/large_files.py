"""Day files that are too large to be read at once, divided into sections, and the order of their messages.

Memory: some numbers for each message of the one file that is being read, never a message.
"""

from array import array
from bisect import bisect_left
from collections.abc import Container, Iterator
from heapq import merge

from msgspec import Struct, field

from chatferry.importers.reading.json_list import Broken, Flaw
from chatferry.importers.reading.json_stream import CHUNK, Chunk, ElementRange
from chatferry.importers.reading.timeline import placed
from chatferry.importers.slack.ordering import NO_TIME, times_of
from chatferry.importers.slack.schema import Envelope

_SORTED_AT_ONCE = 1 << 13


class Sizes(Struct, frozen=True):
    """How much is read at once.

    whole             bytes of a day file up to which it is read whole, and never divided
    objects           objects in a day file up to which it is read whole
    chunk             bytes of a larger file that are decoded together
    messages, bytes   what a part holds, about
    first             bytes of day files that one task of the first pass reads
    """

    whole: int = 4 << 20
    objects: int = 200_000
    chunk: int = CHUNK
    messages: int = 1000
    bytes: int = 8 << 20
    first: int = 4 << 20


class FileSection(ElementRange, frozen=True, array_like=True):
    """Elements of a large day file that follow each other.

    moved          times (ms) of messages that would share one with another, by their numbers
    duplicates     numbers of messages that have the time of an earlier message, with the number of that one,
                   None if it is in another file
    lost           why nothing can be read after them
    """

    moved: dict[int, int] = field(default_factory=dict)
    duplicates: dict[int, int | None] = field(default_factory=dict)
    lost: Flaw | None = None

    @property
    def messages(self) -> int:
        """How many messages it has; what cannot be read counts as one."""
        return self.count + (self.lost is not None)


class SortedTimes:
    """Times in ascending order, in eight bytes each."""

    def __init__(self) -> None:
        self._times = array("q")

    @property
    def last(self) -> int:
        return self._times[-1] if self._times else NO_TIME

    def add(self, time: int) -> None:
        self._times.append(time)

    def __contains__(self, time: object) -> bool:
        if not isinstance(time, int) or time > self.last:
            return False
        return self._times[bisect_left(self._times, time)] == time


class LargeFile:
    """A day file whose chunks come in order. `times` are complete once the sections are made."""

    def __init__(self, sizes: Sizes) -> None:
        self.times = SortedTimes()
        self._sizes = sizes
        self._bounds: list[tuple[int, int, int]] = []  # start, end, first
        self._times = array("q")  # of every element
        self._rises = True
        self.highest = NO_TIME  # the latest time so far
        self._lost: Flaw | None = None
        self._is_full = True

    @property
    def elements(self) -> int:
        return len(self._times) + (self._lost is not None)

    def add(self, chunk: Chunk[Envelope]) -> None:
        times = times_of(chunk.values)
        known = [time for time in times if time != NO_TIME]
        if known:
            self._rises = self._rises and self.highest < known[0] and known == sorted(set(known))
            self.highest = max(self.highest, *known)
        self._times.extend(times)
        start, first = chunk.start, chunk.first
        if self._bounds and not self._is_full:
            start, _, first = self._bounds.pop()
        self._bounds.append((start, chunk.end, first))
        self._is_full = (
            len(self._times) - first >= self._sizes.messages or chunk.end - start >= self._sizes.bytes
        )

    def end(self, broken: Broken) -> None:
        """Note that nothing more can be read, or nothing at all."""
        position = "" if broken.is_damage else f"$[{len(self._times)}]"
        self._lost = Flaw(position, "", broken.reason, lost=True)

    def sections(self, after: int, before: Container[int]) -> Iterator[FileSection]:
        """Yield the sections of the file.

        `after` is the time of the last message before the file (ms), `before` the times of the file before.
        """
        moved, duplicates = self._placed(after, before)
        bounds = self._bounds or [(0, 0, 0)]
        for number, (start, end, first) in enumerate(bounds, 1):
            is_last = number == len(bounds)
            numbers = range(first, len(self._times) if is_last else bounds[number][2])
            yield FileSection(
                start,
                end,
                first,
                len(numbers),
                {n: moved[n] for n in numbers if n in moved},
                {n: duplicates[n] for n in numbers if n in duplicates},
                self._lost if is_last else None,
            )

    def _placed(self, after: int, before: Container[int]) -> tuple[dict[int, int], dict[int, int | None]]:
        """Return what `FileSection` calls `moved` and `duplicates`, of the whole file."""
        moved: dict[int, int] = {}
        duplicates: dict[int, int | None] = {}
        first, last = -1, NO_TIME
        for n in self._in_order():
            time = self._times[n]
            if time == NO_TIME:
                continue
            is_again = time == last
            if not is_again:
                first, last = n, time
                self.times.add(time)
            if time in before:
                duplicates[n] = None
            elif is_again:
                duplicates[n] = first
            else:
                after = placed(time // 1000, after)
                if after != time // 1000:
                    moved[n] = after
        return moved, duplicates

    def _in_order(self) -> Iterator[int]:
        """Yield the numbers of the elements in order of time; elements of one time keep their order."""
        time = self._times.__getitem__
        total = len(self._times)
        if self._rises:
            return iter(range(total))
        # Numbers of Python's own take 36 bytes each: they are sorted some at a time.
        sorted_ones = [
            array("q", sorted(range(start, min(start + _SORTED_AT_ONCE, total)), key=time))
            for start in range(0, total, _SORTED_AT_ONCE)
        ]
        return merge(*sorted_ones, key=time)
