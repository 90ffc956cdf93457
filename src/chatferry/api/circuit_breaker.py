"""A destination that is away: who finds that waits for it, and then nobody for some seconds."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from chatferry.errors import DestinationError, NoRoomError

PAUSE = 5.0  # seconds


class CircuitBreaker:
    """Remembers for a pause, in seconds, that a destination is away. Any thread may use it."""

    def __init__(self, pause: float = PAUSE, clock: Callable[[], float] = time.monotonic) -> None:
        self._pause = pause
        self._clock = clock
        self._lock = threading.Lock()
        self._error: DestinationError | None = None
        self._until = 0.0

    def check(self) -> None:
        """Refuse at once while the destination is known to be away. After the pause one may look again."""
        with self._lock:
            if self._error is None:
                return
            now = self._clock()
            if now < self._until:
                raise DestinationError(str(self._error))
            self._until = now + self._pause

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Note whether the destination is away or back."""
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
