"""Beside a server: a command leaves the work to the server of its data directory, and watches."""

import time
from contextlib import suppress

from msgspec.structs import replace

from chatferry.cli.lock import is_served
from chatferry.cli.workplace import Workplace
from chatferry.errors import DestinationError, OperationError
from chatferry.operations import AT_REST, ENDS, Operation, Status
from chatferry.pipeline import commands, handing_over
from chatferry.pipeline.context import Check, Watch
from chatferry.pipeline.parallel.pools import Pools

_LOOK = 0.2  # seconds between two looks at the operation
_RETURN = 60.0  # seconds for a server to come back: systemd starts it again after 30


class Beside(Workplace):
    """The store and the destination of the server, which does the work."""

    def begin(self, operation: Operation) -> Operation:
        return handing_over.begin(self.store, operation)

    def start(self, operation: Operation) -> Operation:
        return handing_over.start(self.store, operation)

    def retry(self, operation_id: str) -> Operation:
        return handing_over.retry(self.store, operation_id)

    def work(
        self,
        operation: Operation,
        watch: Watch,
        check: Check = lambda: None,
        pools: Pools | None = None,
    ) -> Operation:
        """Watch the server's work on an operation to its next rest. The first Ctrl-C lets the server stop."""
        try:
            return self._watched(operation, watch, check)
        except KeyboardInterrupt:
            with suppress(OperationError):  # it has ended meanwhile
                commands.cancel(self.store, operation.id, is_served(self.settings))
        stopping = "the server stops it; Ctrl-C again leaves without waiting"
        ended = self._watched(operation, lambda one: watch(replace(one, waiting_for=stopping)), check)
        if ended.status == Status.CANCELLED:
            raise KeyboardInterrupt
        return ended

    def _watched(self, operation: Operation, watch: Watch, check: Check) -> Operation:
        seen = time.monotonic()
        while operation.status not in ENDS | AT_REST:
            watch(operation if time.monotonic() - seen < 2 else replace(operation, waiting_for=self._away))
            time.sleep(_LOOK)
            check()
            if is_served(self.settings):
                seen = time.monotonic()
            elif time.monotonic() - seen > _RETURN:
                raise DestinationError(
                    f"{self._away}. Operation {operation.id} goes on with `chatferry serve`."
                )
            operation = self.store.operations.get(operation.id) or operation
        watch(operation)
        return operation

    @property
    def _away(self) -> str:
        return f"The server of {self.settings.data} has ended"
