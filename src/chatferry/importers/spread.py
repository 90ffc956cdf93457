"""Rocket.Chat keeps milliseconds: messages of one room that would share one follow each other by one each."""

from collections.abc import Iterable

NEIGHBOURS = 1000  # ms; messages further apart are out of order, not crowded


def next_place(time: int, after: int) -> int:
    """The millisecond for a message of `time` (microseconds) that follows one at `after` (milliseconds)."""
    own = time // 1000
    return after + 1 if own <= after < own + NEIGHBOURS else own


def spread(times: Iterable[int], after: int) -> list[tuple[int, int]]:
    """Each time (microseconds, ascending) with the millisecond at which its message is to stand."""
    placed: list[tuple[int, int]] = []
    for time in times:
        after = next_place(time, after)
        placed.append((time, after))
    return placed
