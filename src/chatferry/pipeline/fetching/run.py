"""An operation that fetches bytes, and its progress."""

import logging

from msgspec.structs import replace

from chatferry.destinations import Destination
from chatferry.logs import event
from chatferry.operations import Operation, Status
from chatferry.pipeline.context import Watch
from chatferry.pipeline.pause import Pause
from chatferry.pipeline.progress import Progress
from chatferry.records import Outcome, Problem
from chatferry.settings import Settings
from chatferry.store import Store, problems

LOG = logging.getLogger("chatferry.files")


class FetchRun:
    """An operation that fetches bytes. The outcome of each file is in the store at once, with the operation.

    `check` may wait, while the operation is paused; `stop` never does, and is for code that holds a lock.
    """

    def __init__(
        self,
        operation: Operation,
        store: Store,
        destination: Destination,
        settings: Settings,
        pause: Pause,
        watch: Watch,
    ) -> None:
        self.progress = Progress(operation, store, watch, pause.clock)
        self.store = store
        self.destination = destination
        self.settings = settings
        self.check, self.stop = pause.check, pause.stop
        self._ended = store.fetches.outcomes(operation.id)

    @property
    def operation(self) -> Operation:
        """Return the operation as it is now."""
        return self.progress.operation

    def expect(self, left: int) -> None:
        """Note that so many files are still to be dealt with."""
        total = left + sum(self._ended.values())
        self.progress.count(replace(self.operation.count, messages=total, total=total))

    def settle(self, outcome: Outcome, ids: list[tuple[str, str]], note: Problem | None = None) -> None:
        """Note what became of files, each given by its id and its message's, and the problem with them."""
        if note is not None and outcome == Outcome.FAILED:
            event(
                LOG,
                "a file did not come",
                operation=self.operation.id,
                file=note.file,
                message=note.position or None,
                kind=note.kind,
                reason=note.reason,
            )
        with self.store.transaction():
            if note is not None:
                first = sum(self._ended.values())
                note = replace(note, count=len(ids))
                self.store.problems.add(self.operation.id, problems.FILES, [note], first)
            for id, message_id in ids:
                self.store.fetches.note(self.operation.id, outcome, id, message_id)
                if outcome == Outcome.INSERTED:
                    self._forget_address(id, message_id)
            self._ended[outcome] = self._ended.get(outcome, 0) + len(ids)
            failed = self._ended.get(Outcome.FAILED, 0)
            completed = sum(self._ended.values()) - failed
            self.progress.count(replace(self.operation.count, completed=completed, error=failed))

    def _forget_address(self, id: str, message_id: str) -> None:
        if message_id:
            self.store.pending_files.forget_address(id, message_id)
        else:
            self.store.avatar_addresses.remove(id)

    def finish(self) -> Operation:
        """Check that every pending file has ended, and end the operation."""
        ended = sum(self.store.fetches.outcomes(self.operation.id).values())
        if ended != self.operation.count.total:
            raise AssertionError(f"{self.operation.count.total} files were pending, {ended} ended")
        self.progress.go(Status.DONE)
        return self.operation
