"""Background work: one operation at a time; start, cancel, and going on after a crash."""

import logging
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue

from msgspec.structs import replace

from chatferry.clock import now
from chatferry.destinations import Destination
from chatferry.disks import outage
from chatferry.errors import CancelledError, DestinationError, ProcessError
from chatferry.logs import event
from chatferry.operations import (
    AT_REST,
    ENDS,
    Operation,
    needs_work,
    place,
)
from chatferry.pipeline.binding import open_bound
from chatferry.pipeline.context import Check, Watch
from chatferry.pipeline.operation import run_operation, run_to_its_end, write_down
from chatferry.pipeline.outage import FIRST_DELAY, LONGEST_DELAY, Outage
from chatferry.pipeline.pause import LOOK, Pause
from chatferry.pipeline.retention import clear_away
from chatferry.pipeline.steps import logged
from chatferry.pipeline.text_index import build_what_is_left
from chatferry.settings import Settings
from chatferry.store import Store

LOG = logging.getLogger("chatferry.worker")
_FAULTS = 10  # in a row, none of them an outage, after which the worker gives up


class BackgroundRunner:
    """Works on operations in a thread of its own. The thread opens its own destination.

    After a fault outside the work on an operation, usually of the store, it tries again and again, so that
    the thread does not end. `give_up` is called if it ends all the same.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        watch: Watch = lambda operation: None,
        give_up: Callable[[], None] = lambda: None,
    ) -> None:
        self._watch = watch
        self._store = store
        self._settings = settings
        self._give_up = give_up
        self._queue: SimpleQueue[str | None] = SimpleQueue()
        self._cancelled: set[str] = set()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)
        self._listener = threading.Thread(target=self._listen, name="handovers", daemon=True)
        self._destination: Destination | None = None
        self._waiting = ("", "")  # an operation, and what it waits for
        self.has_given_up = False
        self._in_hand: str | None = None  # the operation that is worked on, or is to be taken up again

    @property
    def is_alive(self) -> bool:
        """Return whether the thread lives."""
        return self._thread.is_alive()

    @property
    def queue_length(self) -> int:
        """Return how many operations wait for their turn."""
        return self._queue.qsize()

    def start(self) -> None:
        """Begin, with what a crash interrupted."""
        self._thread.start()
        self._listener.start()

    def waiting_for(self, operation_id: str) -> str:
        """Return what an operation waits for, also if that cannot be stored; "" for nothing."""
        id, reason = self._waiting
        return reason if id == operation_id else ""

    def wake(self, operation_id: str) -> None:
        """Say that there is work to do on an operation."""
        self._queue.put(operation_id)

    def cancel(self, operation_id: str) -> None:
        """Stop working on an operation; it ends as cancelled, within a second if it is being worked on."""
        self._cancelled.add(operation_id)
        self._queue.put(operation_id)

    def close(self) -> None:
        """Stop where a restart can go on."""
        self._closing.set()
        self._queue.put(None)
        for thread in (self._listener, self._thread):
            if thread.is_alive():
                thread.join(timeout=30)

    def _listen(self) -> None:
        """Take up what commands in other processes leave to this server."""
        while not self._closing.wait(LOOK):
            try:
                operations = self._store.handovers.take()
            except (DestinationError, OSError, sqlite3.Error):
                continue  # the store is away; the work on an operation says so
            for operation_id in operations:
                self.wake(operation_id)

    def _run(self) -> None:
        try:
            self._work()
        except _Closing:
            pass
        except BaseException:
            write_down(self._settings)
        if self._closing.is_set():
            return
        event(LOG, "the worker has ended, so chatferry ends too", logging.CRITICAL)
        self.has_given_up = True
        self._give_up()

    def _work(self) -> None:
        self._insist(lambda: build_what_is_left(self._settings.destination_url, self._store))
        self._insist(self._take_up)
        while not self._closing.is_set():
            self._insist(self._next)
        if self._destination is not None:
            self._destination.close()

    def _insist(self, work: Callable[[], None]) -> None:
        """Do something until it succeeds; what goes wrong is written down. Raises after many faults."""
        faults, delay = 0, FIRST_DELAY
        while True:
            try:
                return work()
            except (DestinationError, OSError) as error:
                event(LOG, "the worker waits", logging.WARNING, reason=error)
                faults += outage(error) is None
            except Exception:
                write_down(self._settings)
                faults += 1
            if faults >= _FAULTS:
                raise RuntimeError(f"the worker had {faults} faults in a row")
            if self._closing.wait(delay):
                raise _Closing
            delay = min(2 * delay, LONGEST_DELAY)

    def _take_up(self) -> None:
        """Wake the operations that a crash or a stop interrupted; cancel invalid ones."""
        for operation in self._store.operations.unfinished():
            if not needs_work(operation):
                continue
            if operation.valid:
                status = operation.status.value
                event(LOG, "operation goes on after a stop", operation=operation.id, status=status)
                self.wake(operation.id)
            else:  # it was cancelled, and the process died before the work on it took notice
                self.cancel(operation.id)

    def _next(self) -> None:
        """Work on the next operation that needs work."""
        self._in_hand = self._in_hand or self._queue.get()  # kept when a fault makes `_insist` repeat this
        operation = self._store.operations.get(self._in_hand) if self._in_hand else None
        if operation is not None and operation.status not in ENDS | AT_REST:
            self._work_on(operation)
        self._in_hand = None

    def _work_on(self, operation: Operation) -> None:
        def check() -> None:
            if operation.id in self._cancelled:
                raise CancelledError("The operation was cancelled.")
            if self._closing.is_set():
                raise _Closing

        store, settings, watch = self._store, self._settings, logged(operation, self._note)

        def work() -> Operation:
            begun = self._begun(operation)
            return run_operation(begun, store, self._opened(begun, check), settings, check, watch)

        try:
            with suppress(_Closing):  # the operation's status says where to go on
                # What is raised before `run_operation` ends the operation too.
                run_to_its_end(work, operation, store, settings, watch)
        finally:
            store.attempts.end(operation.id)
        if not self._closing.is_set():
            clear_away(store, settings, now())

    def _begun(self, operation: Operation) -> Operation:
        """Return an operation as the work on it begins: it waits for nothing. Raises ProcessError."""
        self._require_survival(operation)
        if not operation.waiting_for:
            return operation
        begun = replace(operation, waiting_for="", updated_at=now())
        self._store.operations.save(begun)
        return begun

    def _require_survival(self, operation: Operation) -> None:
        """Raise ProcessError if the process has died over an operation again and again at the same place."""
        attempts, most = self._store.attempts, self._settings.most_deaths
        if operation.waiting_for or self._store.pauses.has(operation.id):
            attempts.end(operation.id)  # nothing was being done when it died
        deaths = attempts.begin(operation.id, place(operation))
        if deaths >= most:
            ended, total = (operation.count.completed or 0), operation.count.total or 0
            raise ProcessError(
                f"chatferry died {deaths} times in a row at the same place of this operation, at "
                f"{operation.status} with {ended:,} of {total:,} records, mostly for want of memory. What "
                "was imported stays. See why in the system's log (journalctl -k, dmesg). Give chatferry more "
                "memory or less to do at once (CHATFERRY_WORKERS=0), then go on: "
                f"`chatferry retry {operation.id}`, or import.retry."
            )

    def _note(self, operation: Operation) -> None:
        self._waiting = operation.id, operation.waiting_for
        self._watch(operation)

    def _opened(self, operation: Operation, check: Check) -> Destination:
        """Return the destination; the operation waits as long as it is away."""
        if self._destination is None:
            open_ = partial(open_bound, self._settings, self._store)
            pause = Pause(self._store, operation.id, check)
            longest = self._settings.longest_outage
            waiting = Outage(operation, self._store, pause, longest, self._note, lambda: None)
            self._destination = waiting.outlast(lambda operation: open_())
        return self._destination


class _Closing(BaseException):
    """The process is ending. No Exception, so that nothing on the way takes it for a failure."""
