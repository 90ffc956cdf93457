"""The steps of operations, as lines in the log."""

import logging

from chatferry.logs import log_event
from chatferry.operations import Operation, Status
from chatferry.pipeline.context import Watch

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
    timed = {**fields, "seconds": round(operation.seconds, 3) or None}
    if operation.status == Status.FAILED:
        log_event(LOG, "operation failed", logging.ERROR, {**fields, "reason": operation.error})
    elif operation.status == Status.DONE:
        memory = round(operation.peak_memory, 1)
        log_event(LOG, "operation done", logging.INFO, {**timed, "peak_memory_mib": memory})
    elif operation.status == Status.CANCELLED:
        log_event(LOG, "operation cancelled", logging.INFO, timed)
    else:
        log_event(LOG, "operation step", logging.INFO, timed)
