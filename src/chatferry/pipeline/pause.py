"""Waiting while an operation is paused, the time that does not count as work, and noticing a cancellation."""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress

from chatferry.errors import CancelledError, DestinationError
from chatferry.logs import event
from chatferry.store import Store

LOG = logging.getLogger("chatferry.worker")
LOOK = 0.2  # seconds between two looks into the store


class Pause:
    """Lets the work on an operation wait while it is paused, and end once it is cancelled.

    The work asks `check` again and again. `stop` raises if the work is to end; it never waits. `rest` is what
    is to be so while the work waits. `look` raises if something hinders the work; it is called now and then.
    Any thread may ask. Between two questions the work holds no lock and no transaction.
    """

    def __init__(
        self,
        store: Store,
        operation_id: str,
        stop: Callable[[], None],
        rest: Callable[[], AbstractContextManager[None]] = nullcontext,
        look: Callable[[], None] = lambda: None,
    ) -> None:
        self.stop = stop
        self._rest = rest
        self._look = look
        self._store = store
        self._operation_id = operation_id
        self._lock = threading.Lock()
        self._next_look = 0.0
        self._waited = 0.0

    def check(self) -> None:
        """Raise CancelledError and what `stop` and `look` raise; wait as long as the operation is paused."""
        self.stop()
        if time.perf_counter() < self._next_look:
            return
        with self._lock:  # the threads that ask meanwhile wait here
            began = time.perf_counter()
            self._require_valid()
            if self._store.pauses.has(self._operation_id):
                event(LOG, "operation waits, it is paused", operation=self._operation_id)
                with self._rest():
                    while self._store.pauses.has(self._operation_id):
                        time.sleep(LOOK)
                        began = self.count(began)
                        self.stop()
                        self._require_valid()
                began = self.count(began)
                event(LOG, "operation goes on after a pause", operation=self._operation_id)
            self._look()
            self._next_look = began + LOOK

    def _require_valid(self) -> None:
        """Raise CancelledError if the operation was made invalid, by this process or another one."""
        if self._store.operations.is_cancelled(self._operation_id):
            raise CancelledError("The operation was cancelled.")

    def sleep(self, seconds: float) -> None:
        """Wait so long; raise CancelledError, or what `stop` raises."""
        began = time.perf_counter()
        end = began + seconds
        while began < end:
            time.sleep(min(LOOK, end - began))
            began = self.count(began)
            self.stop()
            with suppress(DestinationError):  # the store itself may be away
                self._require_valid()

    def count(self, since: float) -> float:
        """Count the time since then as waited; what time it is."""
        moment = time.perf_counter()
        self._waited += moment - since
        return moment

    def clock(self) -> float:
        """Return seconds of a clock that stops during pauses."""
        return time.perf_counter() - self._waited
