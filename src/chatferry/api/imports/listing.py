"""Endpoints that list operations, and show one."""

from chatferry.api import wire
from chatferry.api.imports.operations import waiting
from chatferry.api.schemas import DEFAULT_COUNT, MOST_OPERATIONS
from chatferry.api.services import Call, Services
from chatferry.errors import RequestError
from chatferry.operations import Summary, state
from chatferry.reports.operation import is_paused
from chatferry.reports.operation_json import operation_json


def import_operations(call: Call) -> wire.JSON:
    """List all operations in pages, the one that began last first."""
    offset, count = wire.page(call.query, DEFAULT_COUNT, MOST_OPERATIONS)
    operations = call.services.store.operations
    listed = [described(call.services, operation) for operation in operations.page(offset, count)]
    return {"operations": listed, "count": len(listed), "offset": offset, "total": operations.total()}


def import_operation(call: Call) -> wire.JSON:
    """Return an operation by its id."""
    return {"operation": described(call.services, asked_for(call.services, call.path["id"]))}


def asked_for(services: Services, id: str = "") -> Summary:
    """Return the operation with this id, or the one that began last; refuse the call if there is none."""
    operations = services.store.operations
    operation = operations.get(id) if id else operations.last_summary()
    if operation is None:
        raise RequestError(
            "Import Operation Not Found", code="error-operation-not-found", details=id, status=404
        )
    return operation


def described(services: Services, operation: Summary) -> wire.JSON:
    """Return an operation with its state in one word, and the reasons why it does not go on, if any."""
    error = {"error": operation.error} if operation.error else {}
    paused = {"paused": True} if is_paused(operation, services.store) else {}
    return {
        **operation_json(operation),
        "state": state(operation),
        **error,
        **paused,
        **waiting(services, operation),
    }
