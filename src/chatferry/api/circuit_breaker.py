"""Refusals without a wait while a destination is away: one call waits for it, later ones do not."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from chatferry.errors import DestinationError, NoRoomError

PAUSE = 5.0  # seconds


class CircuitBreaker:
    """A memory, for `pause` seconds, that a destination is away. Thread-safe."""

    def __init__(self, pause: float = PAUSE, clock: Callable[[], float] = time.monotonic) -> None:
        self._pause = pause
        self._clock = clock
        self._lock = threading.Lock()
        self._error: DestinationError | None = None
        self._until = 0.0

    def check(self) -> None:
        """Raise at once while the destination is away. After each pause one caller may try it."""
        with self._lock:
            if self._error is None:
                return
            now = self._clock()
            if now < self._until:
                raise DestinationError(str(self._error))
            self._until = now + self._pause

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Record whether the destination is away or back."""
        try:
            yield
        except NoRoomError:
            raise
        except DestinationError as error:
            with self._lock:
                self._error, self._until = error, self._clock() + self._pause
            raise
        with self._lock:
            self._error = None
