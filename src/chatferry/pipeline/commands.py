"""The commands on operations: begin, choose and start, pause, resume, retry, fail, clear.

The command line and the API use them. A command judges whether the operation may take it, and stores the
operation as it then is. Work is done elsewhere: see `operation.run_operation`.
"""

from collections.abc import Callable
from typing import TypeVar

from msgspec.structs import replace

from chatferry.clock import now
from chatferry.errors import OperationError, RunningError
from chatferry.ids import new_id
from chatferry.importers import IMPORTERS
from chatferry.operations import (
    AT_REST,
    ENDS,
    Operation,
    Status,
    Summary,
    advance,
    failed,
    may_cancel,
    may_pause,
    may_retry,
    needs_work,
    retried,
)
from chatferry.store import Store

S = TypeVar("S", bound=Summary)
Stop = Callable[[str], None]
"""Told the id of the operation that is being worked on and that another one replaces."""


def new_operation(importer_key: str, user_id: str, status: Status = Status.FILE_LOADED) -> Operation:
    """Return an operation that a user is about to begin. Nothing is stored."""
    moment = now()
    return Operation(
        id=new_id(),
        type=IMPORTERS[importer_key].name,
        importer_key=importer_key,
        ts=moment,
        status=status,
        valid=True,
        user=user_id,
        updated_at=moment,
    )


def begin(
    store: Store, operation: Operation, stop: Stop = lambda id: None, *, may_replace: bool = True
) -> Operation:
    """Store a new operation, which replaces every earlier one; return it as it is stored.

    Raises RunningError if one is running and the new one may not replace it.
    """
    with store.transaction():
        if not may_replace:
            require_none_running(store)
        moment = now()
        operation = replace(operation, ts=_supersede(store, moment, stop), updated_at=moment)
        store.operations.add(operation)
    return operation


def require_none_running(store: Store) -> None:
    """Raise RunningError if there is work on the current operation."""
    last = store.operations.last_summary()
    if last is not None and last.valid and needs_work(last):
        raise RunningError(last.id)


def clear(store: Store, stop: Stop = lambda id: None) -> None:
    """Make every operation invalid; the one that is being worked on stops."""
    with store.transaction():
        _supersede(store, now(), stop)


def _supersede(store: Store, moment: int, stop: Stop) -> int:
    """Make every operation invalid; return the smallest `ts` with which a new one is the current one."""
    last = store.operations.last_summary()
    store.operations.invalidate_all(moment)
    if last is None:
        return moment
    if last.status in AT_REST:
        store.forget(last.id)
    elif last.status not in ENDS:
        stop(last.id)
    return max(moment, last.ts + 1)


def waiting(store: Store) -> Operation:
    """Return the current operation, which waits for its selection. Raises OperationError if it does not."""
    current = store.operations.last()
    return _require(current, lambda one: one.status == Status.SELECTION, f"not at {Status.SELECTION}", _START)


def start(store: Store, operation: Operation) -> Operation:
    """Start the import of what `operation`, the current one, says was chosen; return it as it is stored."""
    with store.transaction():
        current = waiting(store)
        if current.id != operation.id:
            raise OperationError(f"Operation {operation.id} is not valid any more. {_START}")
        chosen = replace(
            current,
            selection=operation.selection,
            starter=operation.starter,
            origin=operation.origin,
            guests=operation.guests,
            only_new=operation.only_new,
        )
        started = advance(chosen, Status.IMPORTING, now())
        store.operations.save(started)
    return started


def cancel(store: Store, operation_id: str, is_worked_on: bool) -> None:
    """Take an operation back that has not ended; where it is being worked on, the work ends by itself.

    Raises OperationError if it has ended.
    """
    with store.transaction():
        operation = store.operations.get(operation_id)
        _require(operation, may_cancel, "it has ended", _CANCEL)
        assert operation is not None
        store.operations.invalidate(operation.id)
        store.pauses.remove(operation.id)
        if operation.status in AT_REST:
            store.forget(operation.id)
        if not is_worked_on or operation.status in AT_REST:
            store.operations.save(advance(operation, Status.CANCELLED, now()))


def pause(store: Store, operation_id: str = "") -> Summary:
    """Let the work on an operation wait; "" stands for the current one. Harmless to repeat."""
    return _done_while_importing(store, operation_id, store.pauses.add)


def resume(store: Store, operation_id: str = "") -> Summary:
    """Let the work on a paused operation go on, as `pause` lets it wait."""
    return _done_while_importing(store, operation_id, store.pauses.remove)


def _done_while_importing(store: Store, operation_id: str, do: Callable[[str], None]) -> Summary:
    with store.transaction():
        found = store.operations.get(operation_id) if operation_id else store.operations.last_summary()
        operation = _require(found, may_pause, "it is not importing", _PAUSE)
        do(operation.id)
    return operation


def retry(store: Store, operation_id: str = "") -> Operation:
    """Take up a failed operation where it stopped; "" stands for the current one. Return it as it then is."""
    with store.transaction():
        operation = store.operations.get(operation_id) if operation_id else store.operations.last()
        again = retried(require_failed(operation), now())
        store.operations.save(again)
    return again


def require_failed(operation: S | None) -> S:
    """Return the operation. Raise OperationError if it cannot be taken up again."""
    return _require(operation, may_retry, "it has not failed", _RETRY)


def fail(store: Store, operation_id: str, error: str) -> None:
    """End an operation in failure, unless it has ended already. `error` says why, for people."""
    with store.transaction():
        operation = store.operations.get(operation_id)
        if operation is not None and operation.status not in ENDS:
            store.operations.save(failed(operation, error, now()))


_START = "Only the current one can be started, when it waits for its selection."
_PAUSE = "Only one that is importing can be paused or resumed."
_CANCEL = "Only one that has not ended can be cancelled."
_RETRY = "Only one that failed can be taken up again."


def _require(operation: S | None, is_possible: Callable[[Summary], bool], why: str, remedy: str) -> S:
    if operation is None:
        raise OperationError(f"There is no operation. {remedy}")
    if not operation.valid:
        reason = "not valid any more: another took its place, or what was kept for it is gone"
        raise OperationError(f"Operation {operation.id} is {reason}. {remedy}")
    if not is_possible(operation):
        raise OperationError(
            f"Operation {operation.id} is {operation.status}. {remedy}", operation.status, why
        )
    return operation
