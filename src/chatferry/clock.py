"""The time, as documents and operations keep it."""

import time


def now() -> int:
    """Return the milliseconds since the epoch."""
    return time.time_ns() // 1_000_000
