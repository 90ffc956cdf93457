"""The steps of operations, as lines in the log."""

import logging

from chatferry.observing.logs import event
from chatferry.operations import Operation, Status
from chatferry.pipeline import Watch

LOG = logging.getLogger("chatferry.operations")


def logged(operation: Operation, watch: Watch) -> Watch:
    """Return a watch that logs every new status of the operation before it tells `watch`."""
    last = operation.status

    def told(operation: Operation) -> None:
        nonlocal last
        if operation.status != last:
            last = operation.status
            log_step(operation)
        watch(operation)

    return told


def log_step(operation: Operation) -> None:
    """Log where an operation stands now."""
    count = operation.count
    fields: dict[str, object] = {
        "operation": operation.id,
        "importer": operation.importer_key,
        "status": operation.status.value,
        "total": count.total,
        "completed": count.completed,
        "failed": count.error,
    }
    seconds = round(operation.seconds, 3) or None
    if operation.status == Status.FAILED:
        event(LOG, "operation failed", logging.ERROR, **fields, reason=operation.error)
    elif operation.status == Status.DONE:
        memory = round(operation.peak_memory, 1)
        event(LOG, "operation done", **fields, seconds=seconds, peak_memory_mib=memory)
    elif operation.status == Status.CANCELLED:
        event(LOG, "operation cancelled", **fields, seconds=seconds)
    else:
        event(LOG, "operation step", **fields, seconds=seconds)
