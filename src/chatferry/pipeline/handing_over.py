"""Commands on operations that the server of the same data directory works on, given by another process.

Each stores the operation as `commands` does, and that the server is to work on it, together.
"""

from chatferry.errors import OperationError
from chatferry.operations import ENDS, Operation, needs_work
from chatferry.pipeline import commands
from chatferry.store import Store


def begin(store: Store, operation: Operation) -> Operation:
    """Store a new operation for the server to work on. Raises OperationError if it works on another one."""
    with store.transaction():
        current = store.operations.last_summary()
        if current is not None and current.valid and needs_work(current):
            raise OperationError(
                f"The server works on operation {current.id}, at {current.status}. Wait until it has ended: "
                f"`chatferry report {current.id}` says how far it is. Then give this command again."
            )
        return _left_to_server(store, commands.begin(store, operation))


def start(store: Store, operation: Operation) -> Operation:
    """Start the import of what was chosen. Raises what `commands.start` raises."""
    with store.transaction():
        return _left_to_server(store, commands.start(store, operation))


def retry(store: Store, operation_id: str) -> Operation:
    """Take up a failed operation where it stopped. Raises what `commands.retry` raises."""
    with store.transaction():
        return _left_to_server(store, commands.retry(store, operation_id))


def _left_to_server(store: Store, operation: Operation) -> Operation:
    if operation.status not in ENDS:
        store.handovers.put(operation.id)
    return operation
