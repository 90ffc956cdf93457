"""Log lines that strangers can cause: the same one at most once a minute."""

import logging
import threading
import time

PAUSE = 60.0  # seconds
_MOST = 1000  # different ones that are remembered


class Seldom:
    """Remembers what was said when. Any thread may use it."""

    def __init__(self, pause: float = PAUSE) -> None:
        self._pause = pause
        self._lock = threading.Lock()
        self._said: dict[str, float] = {}

    def may(self, what: str, now: float) -> bool:
        """Return whether it is time to say this again, and take it for said then."""
        with self._lock:
            if now < self._said.get(what, now):
                return False
            self._said.pop(what, None)
            if len(self._said) >= _MOST:
                self._said.pop(next(iter(self._said)))
            self._said[what] = now + self._pause
            return True


class SeldomFilter(logging.Filter):
    """Lets the same words of a library pass once a minute, whatever they are about."""

    def __init__(self) -> None:
        super().__init__()
        self._seldom = Seldom()

    def filter(self, record: logging.LogRecord) -> bool:
        kind = record.exc_info[0] if record.exc_info else None
        return self._seldom.may(f"{record.name} {record.msg} {kind}", time.monotonic())
