"""Times: each message of a room has a place, and its time follows from the place alone.

So a thread's root can name its replies, and a channel its pins, long before they are written.
"""

import random
from bisect import bisect_right
from datetime import date, timedelta

FIRST_DAY = date(2023, 1, 2)
_EPOCH = date(1970, 1, 1)
_DAY = 86_400_000_000
_ZONE = 3_600_000_000  # the workspace lives at UTC+1: Slack cuts its day files in the workspace's zone
_OPENS = 8 * 3_600_000_000
_HOURS = 12 * 3_600_000_000
_MIX = 0x9E3779B97F4A7C15  # golden-ratio hashing
_BURST = 4  # so many neighbours share a millisecond, now and then


def day_name(day: int) -> str:
    return (FIRST_DAY + timedelta(days=day)).isoformat()


def day_start(day: int) -> int:
    """Local midnight of the export's n-th day (negative: before it), in microseconds since the epoch."""
    return ((FIRST_DAY - _EPOCH).days + day) * _DAY - _ZONE


def slack_ts(micros: int) -> str:
    digits = str(micros)
    return digits[:-6] + "." + digits[-6:]


class Clock:
    """Spreads the places 0..size-1 over some days, in order, no two at the same microsecond."""

    def __init__(self, size: int, days: list[int], rng: random.Random, bursts: bool) -> None:
        self.size = size
        self._key = rng.getrandbits(40)
        self._bursts = bursts
        self.days: list[int] = []
        self._first: list[int] = []
        self._start: list[int] = []
        self._step: list[int] = []
        for day, first, last in _spread(size, days, rng):
            self.days.append(day)
            self._first.append(first)
            self._start.append(day_start(day) + _OPENS)
            self._step.append(_HOURS // (last - first))

    def places(self, index: int) -> range:
        """The places of the index-th day."""
        last = self._first[index + 1] if index + 1 < len(self._first) else self.size
        return range(self._first[index], last)

    def micros(self, place: int) -> int:
        index = bisect_right(self._first, place) - 1
        offset = place - self._first[index]
        within = 0
        if self._bursts and (((place - offset % _BURST) + self._key) * _MIX >> 24) & 63 == 0:
            within = offset % _BURST
        step = self._step[index]
        mixed = ((place - within + self._key) * _MIX >> 16) & 0xFFFFFFFFFF
        at = self._start[index] + (offset - within) * step + mixed % (step - 3000)
        return at - at % 1000 + mixed % 250 + within * 200


def _spread(size: int, days: list[int], rng: random.Random) -> list[tuple[int, int, int]]:
    """Cut the places into days of uneven length; a day without any is left out, as Slack does."""
    weights = [0.4 + rng.random() for _ in days]
    total, reached, cuts = sum(weights), 0.0, [0]
    for weight in weights:
        reached += weight
        cuts.append(round(size * reached / total))
    cuts[-1] = size
    return [(day, a, b) for day, a, b in zip(days, cuts, cuts[1:], strict=False) if b > a]
