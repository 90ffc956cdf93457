"""Rocket.Chat keeps milliseconds: messages of one room that would share one follow each other by one each."""

from collections.abc import Iterable, Iterator

NEIGHBOURS = 1000  # ms; messages further apart are out of order, not crowded


def placed(own: int, after: int) -> int:
    """Return the millisecond for a message of the millisecond `own` that follows one at `after`."""
    return after + 1 if own <= after < own + NEIGHBOURS else own


def spread(times: Iterable[int], after: int) -> Iterator[int]:
    """Yield the millisecond of each message, from times in microseconds, ascending."""
    for time in times:
        after = placed(time // 1000, after)
        yield after
