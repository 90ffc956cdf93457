"""An operation as it moves on."""

from collections.abc import Callable

from msgspec.structs import replace

from chatferry.clock import now
from chatferry.operations import Counts, Operation, Status, advance
from chatferry.pipeline.context import Watch
from chatferry.pipeline.parallel import PartWorkers
from chatferry.runtime import peak_memory
from chatferry.store import Store


class Progress:
    """Stores every step of an operation, with the seconds and the memory it took, and tells `watch`."""

    def __init__(self, operation: Operation, store: Store, watch: Watch, clock: Callable[[], float]) -> None:
        self.operation = operation
        self.workers: PartWorkers | None = None
        self._store = store
        self._watch = watch
        self._clock = clock
        self._since = clock()

    def go(self, status: Status) -> None:
        """Bring the operation to a status, unless it is there."""
        if status != self.operation.status:
            self._save(advance(self.operation, status, now()))

    def count(self, counts: Counts) -> None:
        """Give the operation other counts."""
        self._save(replace(self.operation, count=counts, updated_at=now()))

    def _save(self, operation: Operation) -> None:
        moment = self._clock()
        memory = peak_memory() + (self.workers.peak_memory if self.workers else 0)
        self.operation = replace(
            operation, seconds=operation.seconds + moment - self._since, peak_memory=memory
        )
        self._since = moment
        self._store.operations.save(self.operation)
        self._watch(self.operation)
