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
    count, is_failed = operation.count, operation.status == Status.FAILED
    fields: dict[str, object] = {
        "operation": operation.id,
        "importer": operation.importer_key,
        "status": operation.status.value,
        "total": count.total,
        "completed": count.completed,
        "failed": count.error,
        "reason": operation.error if is_failed else None,
        "seconds": None if is_failed else round(operation.seconds, 3) or None,
        "peak_memory_mib": round(operation.peak_memory, 1) if operation.status == Status.DONE else None,
    }
    text = _ENDED.get(operation.status, "operation step")
    log_event(LOG, text, logging.ERROR if is_failed else logging.INFO, fields)


_ENDED = {
    Status.FAILED: "operation failed",
    Status.DONE: "operation done",
    Status.CANCELLED: "operation cancelled",
}
