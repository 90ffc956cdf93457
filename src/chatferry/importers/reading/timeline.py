"""Times of messages.

Rocket.Chat keeps milliseconds: messages of one room that would share one follow each other by one each.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

NEIGHBOURS = 1000  # ms; messages further apart are out of order, not crowded


def iso_micros(text: str) -> int | None:
    """Return an ISO 8601 time (UTC if it names no zone) as microseconds since the epoch; None if invalid."""
    try:
        moment = datetime.fromisoformat(text)
        since = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH
    except (ValueError, OverflowError):
        return None
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def placed(own: int, after: int) -> int:
    """Return the millisecond for a message of the millisecond `own` that follows one at `after`."""
    return after + 1 if own <= after < own + NEIGHBOURS else own


def spread(times: Iterable[int], after: int) -> Iterator[int]:
    """Yield the millisecond of each message, from times in microseconds, ascending."""
    for time in times:
        after = placed(time // 1000, after)
        yield after
