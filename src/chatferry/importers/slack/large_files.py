"""Day files that are too large to be read at once: which of their elements make a part, and in which order
they stand.

Memory: some numbers for each message of the one file that is being read, never a message.
"""

from array import array
from bisect import bisect_left
from collections.abc import Container, Iterator, Sequence
from heapq import merge

from msgspec import Struct

from chatferry.importers.reading.json_list import Broken, Flaw
from chatferry.importers.reading.json_stream import CHUNK, Chunk
from chatferry.importers.reading.timeline import placed
from chatferry.importers.slack.ordering import NO_TIME, times_of
from chatferry.importers.slack.schema import Envelope

_SORTED_AT_ONCE = 1 << 13


class Sizes(Struct, frozen=True):
    """How much is read at once.

    whole      bytes of a day file up to which it is read whole, and never divided
    objects    objects in a day file up to which that is so
    piece      bytes that are looked at together in a larger one
    messages, bytes   what a part holds, about
    first    bytes of day files that are read for the first time together
    """

    whole: int = 4 << 20
    objects: int = 200_000
    chunk: int = CHUNK
    messages: int = 1000
    bytes: int = 8 << 20
    first: int = 4 << 20


class Run(Struct, frozen=True, array_like=True):
    """Elements of a day file that follow each other: their bytes, the number of the first and how many.

    `moved` has the times (ms) of messages that would share one with another, by their numbers; `twins` the
    numbers of messages whose time another has that goes before, and that one's number; None if it stands in
    another file. `lost`: why nothing can be read after them.
    """

    start: int
    end: int
    first: int
    count: int
    moved: dict[int, int] = {}
    twins: dict[int, int | None] = {}
    lost: Flaw | None = None


class Times:
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


class LongFile:
    """Takes the pieces of a day file in order."""

    def __init__(self, sizes: Sizes) -> None:
        self.times = Times()  # once there are runs
        self._sizes = sizes
        self._bounds: list[tuple[int, int, int]] = []  # start, end, first
        self._times = array("q")  # of every element
        self._rises = True
        self._highest = NO_TIME
        self._lost: Flaw | None = None
        self._is_full = True

    @property
    def highest(self) -> int:
        """The last time so far; NO_TIME for none."""
        return self._highest

    @property
    def elements(self) -> int:
        return len(self._times) + (self._lost is not None)

    def add(self, chunk: Chunk[Envelope]) -> None:
        times = times_of(chunk.values)
        known = [time for time in times if time != NO_TIME]
        if known:
            self._rises = self._rises and self._highest < known[0] and known == sorted(set(known))
            self._highest = max(self._highest, *known)
        self._times.extend(times)
        start, first = chunk.start, chunk.first
        if self._bounds and not self._is_full:
            start, _, first = self._bounds.pop()
        self._bounds.append((start, chunk.end, first))
        self._is_full = (
            len(self._times) - first >= self._sizes.messages or chunk.end - start >= self._sizes.bytes
        )

    def end(self, broken: Broken) -> None:
        """Nothing more can be read, or nothing at all."""
        position = "" if broken.is_damage else f"$[{len(self._times)}]"
        self._lost = Flaw(position, "", broken.reason, lost=True)

    def runs(self, after: int, before: Container[int]) -> Iterator[Run]:
        """The file, divided. `after`: the last message before it (ms); `before`: times in the file before."""
        stands = self._stands(after, before)
        bounds = self._bounds or [(0, 0, 0)]
        for number, (start, end, first) in enumerate(bounds, 1):
            is_last = number == len(bounds)
            stop = len(self._times) if is_last else bounds[number][2]
            placed_here = zip(stands[first:stop], self._times[first:stop], strict=True)
            odd = [n for n, (stand, time) in enumerate(placed_here, first) if stand != time // 1000]
            yield Run(
                start,
                end,
                first,
                stop - first,
                {n: stands[n] for n in odd if stands[n] >= 0},
                {n: _twin(stands[n]) for n in odd if stands[n] < 0},
                self._lost if is_last else None,
            )

    def _stands(self, after: int, before: Container[int]) -> Sequence[int]:
        """Where each element stands: a millisecond; _NOWHERE; or less, see `_twin`."""
        stands = array("q", [_NOWHERE]) * len(self._times)
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
                stands[n] = _ELSEWHERE
            elif is_again:
                stands[n] = _ELSEWHERE - 1 - first
            else:
                stands[n] = after = placed(time // 1000, after)
        return stands

    def _in_order(self) -> Iterator[int]:
        """The numbers of the elements in order of time, and as they stand where times are equal."""
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


_NOWHERE = NO_TIME // 1000
_ELSEWHERE = -2


def _twin(stand: int) -> int | None:
    """The number of the message that goes before; None if it stands in another file."""
    return None if stand == _ELSEWHERE else _ELSEWHERE - 1 - stand
