"""A destination that is written slowly, so that people who use it meanwhile notice nothing."""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from msgspec import Struct

from chatferry.destinations.protocol import Destination, Packed, Rejection
from chatferry.documents import MESSAGES, Change

SLICE = 100  # messages or changes at once: the primary has time for others in between
LONGEST = 30.0  # seconds without a write, however slow the primary was
_LOOK = 0.2  # seconds between two questions whether to go on

T = TypeVar("T")


class Pace(Struct, frozen=True):
    """How fast to write at most. 0: as fast as it goes.

    `latency`: the seconds that a write of `SLICE` documents may take before the primary counts as busy.
    """

    messages_per_second: float = 0
    latency: float = 0

    @property
    def is_limited(self) -> bool:
        return self.messages_per_second > 0 or self.latency > 0

    @property
    def at_once(self) -> int:
        """Return the most documents in a write: of messages no more than a second's."""
        rate = self.messages_per_second
        return min(SLICE, max(1, int(rate))) if rate else SLICE


class TimedWrite(Struct, frozen=True):
    """A finished write: of all `documents` so many are `messages`; times in seconds of one clock."""

    documents: int
    messages: int
    began: float
    ended: float


def next_write(pace: Pace, write: TimedWrite) -> float:
    """Return when the next write may begin.

    Messages: so that each takes its time at the rate. Latency: a primary that took n times longer than it
    should rests n times as long as it worked.
    """
    due = write.ended
    if pace.messages_per_second:
        due = max(due, write.began + write.messages / pace.messages_per_second)
    took = write.ended - write.began
    slowness = took * min(1, SLICE / max(write.documents, 1)) / pace.latency if pace.latency else 0
    if slowness > 1:
        due = max(due, write.ended + min(LONGEST, took * slowness))
    return due


class Throttled:
    """A destination behind a pace: before a write it waits until the write may begin.

    While it waits it calls `check`, which raises if the work is to stop. A call of `apply` or `insert`
    becomes several transactions. Everything else is the destination's own.
    """

    address = ""  # a pace is kept where one process writes

    def __init__(self, destination: Destination, pace: Pace, check: Callable[[], None]) -> None:
        self._pace = pace
        self._check = check
        self._due = 0.0
        self._to = destination
        self.unique_id = destination.unique_id
        self.settings = destination.settings
        self.find = destination.find
        self.digests = destination.digests
        self.pack = destination.pack
        self.unpack = destination.unpack
        self.put_file = destination.put_file
        self.read_file = destination.read_file
        self.refresh_rooms = destination.refresh_rooms
        self.dump = destination.dump
        self.count = destination.count
        self.server_documents = destination.server_documents
        self.close = destination.close

    def apply(self, changes: Sequence[Change]) -> list[Rejection]:
        return self._in_slices(
            self._to.apply, changes, lambda some: sum(change.collection == MESSAGES for change in some)
        )

    def insert(self, messages: Sequence[Packed]) -> list[Rejection]:
        return self._in_slices(self._to.insert, messages, len)

    def _in_slices(
        self,
        write: Callable[[Sequence[T]], list[Rejection]],
        items: Sequence[T],
        messages: Callable[[Sequence[T]], int],
    ) -> list[Rejection]:
        rejections: list[Rejection] = []
        for first in range(0, len(items), self._pace.at_once):
            some = items[first : first + self._pace.at_once]
            self._wait()
            began = time.monotonic()
            refused = write(some)
            done = TimedWrite(len(some), messages(some), began, time.monotonic())
            self._due = next_write(self._pace, done)
            rejections += [Rejection(first + one.index, one.reason) for one in refused]
        return rejections

    def _wait(self) -> None:
        self._check()
        while (left := self._due - time.monotonic()) > 0:
            time.sleep(min(left, _LOOK))
            self._check()


def throttled(destination: Destination, pace: Pace, check: Callable[[], None]) -> Destination:
    """Return the destination at this pace."""
    return Throttled(destination, pace, check) if pace.is_limited else destination
