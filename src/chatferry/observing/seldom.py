"""A rate limit for log lines that anybody can cause: each at most once a minute."""

import logging
import threading
import time

PAUSE = 60.0  # seconds
_MOST = 1000  # remembered lines


class Seldom:
    """A memory of when each line was logged. Thread-safe."""

    def __init__(self, pause: float = PAUSE) -> None:
        self._pause = pause
        self._lock = threading.Lock()
        self._said: dict[str, float] = {}

    def may(self, what: str, now: float) -> bool:
        """Return whether a line may be logged again; if so, record that it was."""
        with self._lock:
            if now < self._said.get(what, now):
                return False
            self._said.pop(what, None)
            if len(self._said) >= _MOST:
                self._said.pop(next(iter(self._said)))
            self._said[what] = now + self._pause
            return True


class SeldomFilter(logging.Filter):
    """A filter that lets each message of a library pass once a minute, whatever its arguments."""

    def __init__(self) -> None:
        super().__init__()
        self._seldom = Seldom()

    def filter(self, record: logging.LogRecord) -> bool:
        kind = record.exc_info[0] if record.exc_info else None
        return self._seldom.may(f"{record.name} {record.msg} {kind}", time.monotonic())
