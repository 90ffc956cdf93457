"""When to try again."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from chatferry.downloads import Rules
from chatferry.sizes import MIB

_ENOUGH = 1 * MIB


def count_failures(failures: int, gained: int) -> int:
    """Return how many attempts have failed in a row since one that brought a good piece of the file."""
    return 1 if gained >= _ENOUGH else failures + 1


def pause_before(failures: int, asked: float, rules: Rules, dice: float) -> float:
    """Return seconds to wait after so many failures: twice as long each time, by a half more or less.

    Never less than the host asked for, never more than the rules allow. `dice` is from 0 to 1.
    """
    doubled = rules.first_wait * 2.0 ** min(failures - 1, 30)
    return min(max(doubled * (0.5 + dice), asked), rules.longest_wait)


def retry_after(value: str | None, now: float) -> float:
    """Return the seconds that the header Retry-After asks for, as a number or a date; 0 if it is unusable."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment: datetime = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return 0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.fromtimestamp(now, UTC)).total_seconds())
