"""Waiting while a destination, the store or a disk is away."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import TypeVar

from msgspec.structs import replace

from chatferry.clock import now
from chatferry.disks import outage
from chatferry.errors import DestinationError
from chatferry.logs import event
from chatferry.operations import ENDS, Operation, ended_records
from chatferry.pipeline.context import Watch
from chatferry.pipeline.pause import LOOK, Pause
from chatferry.store import Store

LOG = logging.getLogger("chatferry.worker")
FIRST_DELAY, LONGEST_DELAY = 1.0, 30.0  # seconds between two looks whether it is back
T = TypeVar("T")


class Outage:
    """Lets the work on an operation wait for something that is away and may come back.

    It waits and shows what for, looks again and again with `probe`, and then the work is done again from
    where it stopped. After `longest` seconds in which no record ended the error is raised.
    """

    def __init__(
        self,
        operation: Operation,
        store: Store,
        pause: Pause,
        longest: float,
        watch: Watch,
        probe: Callable[[], object],
    ) -> None:
        self._operation = operation
        self._store = store
        self._pause = pause
        self._longest = longest
        self._watch = watch
        self._probe = probe
        self._since: float | None = None
        self._delay = FIRST_DELAY
        self._ended = 0  # records, when the work was hindered

    def watch(self, operation: Operation) -> None:
        """Take note of a step; the outage is over once more records have ended."""
        self._operation = operation
        if self._since is not None and ended_records(operation) > self._ended:
            self._since, self._delay = None, FIRST_DELAY
        self._watch(operation)

    def outlast(self, work: Callable[[Operation], T]) -> T:
        """Return what the work gives, done again after each outage."""
        while True:
            try:
                return work(self._operation)
            except (DestinationError, OSError) as error:
                if (trouble := outage(error)) is None:
                    raise
            self._wait(trouble)

    def _wait(self, trouble: DestinationError) -> None:
        if self._since is None:
            self._since, self._ended = time.monotonic(), ended_records(self._operation)
        while True:
            self._tell(str(trouble))
            if time.monotonic() - self._since >= self._longest:
                raise trouble
            self._pause.sleep(self._delay)
            self._delay = min(2 * self._delay, LONGEST_DELAY)
            try:
                self._pause.check()
                began = time.perf_counter()
                _in_a_thread(self._probe, self._pause.stop)
                self._pause.count(began)
            except (DestinationError, OSError) as error:
                if (again := outage(error)) is None:
                    raise
                trouble = again
            else:
                self._tell("")
                return

    def _tell(self, reason: str) -> None:
        """Show what the operation waits for, if it is news."""
        if reason == self._operation.waiting_for:
            return
        self._operation = replace(self._operation, waiting_for=reason, updated_at=now())
        with suppress(DestinationError):  # the store itself may be away
            stored = self._store.operations.get(self._operation.id)
            if stored is not None and stored.status not in ENDS:
                self._operation = replace(stored, waiting_for=reason, updated_at=now())
                self._store.operations.save(self._operation)
        level = logging.WARNING if reason else logging.INFO
        text = "operation waits" if reason else "operation goes on after an outage"
        event(LOG, text, level, operation=self._operation.id, reason=reason or None)
        self._watch(self._operation)


def _in_a_thread(work: Callable[[], object], stop: Callable[[], None]) -> None:
    """Do something that may take long; `stop` raises if it is not waited for any more."""
    done: Future[None] = Future()

    def run() -> None:
        try:
            work()
        except BaseException as error:
            done.set_exception(error)
        else:
            done.set_result(None)

    threading.Thread(target=run, name="probe", daemon=True).start()
    while not wait([done], LOOK).done:
        stop()
    done.result()
