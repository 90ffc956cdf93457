"""Endpoints that fetch pending files and avatars."""

from chatferry.api.imports.operations import take_over
from chatferry.api.services import Call, OperationAnswer
from chatferry.importers import PENDING_AVATARS, PENDING_FILES
from chatferry.pipeline.fetching.fetch_pending import pending_operation


def download_pending_files(call: Call) -> OperationAnswer:
    """Fetch the files of imported messages that are not stored yet."""
    return _begin(call, PENDING_FILES)


def download_pending_avatars(call: Call) -> OperationAnswer:
    """Fetch the avatars of imported users that are not stored yet."""
    return _begin(call, PENDING_AVATARS)


def _begin(call: Call, key: str) -> OperationAnswer:
    services = call.services
    with services.destination() as destination:
        operation = pending_operation(key, str(call.user["_id"]), services.store, destination)
    operation = take_over(services, operation)
    services.worker.wake(operation.id)
    return OperationAnswer({"count": operation.count.total or 0}, operation.id)
