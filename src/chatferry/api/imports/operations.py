"""Endpoints of operations. Each takes a checked call and returns the JSON of its answer."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from msgspec.structs import replace

from chatferry.api import schemas, validation, wire
from chatferry.api.services import Call, OperationAnswer, Services
from chatferry.clock import now
from chatferry.documents import OPERATIONS
from chatferry.errors import OperationError, OriginError, RequestError, RunningError
from chatferry.importers import IMPORTERS, Importer, listed
from chatferry.observing import audit
from chatferry.operations import (
    ENDS,
    Guests,
    Operation,
    Status,
    Summary,
    is_importing,
    is_preparing,
    state,
)
from chatferry.origins import check_name
from chatferry.pipeline import commands
from chatferry.pipeline.linking import settle_origin
from chatferry.pipeline.retention import clear_away
from chatferry.records import Channel, Contact, User
from chatferry.reports.operation import is_paused, waiting_for
from chatferry.reports.operation_json import operation_json, recorded_operation_json
from chatferry.reports.states import Circumstances, state_in_words

LATEST = 20
_AWAY = "The destination cannot be used just now. The server's log says why, and so does `chatferry report`."


def get_latest_import_operations(call: Call) -> list[wire.JSON]:
    """List the 20 operations that changed last, newest first."""
    own = call.services.store.operations.latest(LATEST, call.services.unlisted)
    with call.services.reading() as destination:
        recorded = destination.server_documents(OPERATIONS, LATEST - len(own)) if len(own) < LATEST else []
    return [*map(operation_json, own), *map(recorded_operation_json, recorded)]


def get_current_import_operation(call: Call) -> wire.JSON:
    """Return the latest operation, if there is one."""
    operation = call.services.store.operations.last_summary()
    return (
        {"success": True} if operation is None else {"success": True, "operation": operation_json(operation)}
    )


def importers_list(call: Call) -> list[wire.JSON]:
    """List the formats that can be imported."""
    return [{"key": importer.key, "name": importer.name} for importer in listed()]


def get_import_file_data(call: Call) -> wire.JSON:
    """Return the users, channels and contacts to choose from, or that they are still being read."""
    operation = _last(call.services, "getImportFileData")
    importer = importer_of(operation.importer_key, "getImportFileData")
    is_read = is_preparing(operation.status) and operation.archive != ""
    if is_read and not operation.valid:
        raise RequestError(
            "Invalid Import Operation", code="error-import-operation-invalid", details="getImportFileData"
        )
    if is_read or is_importing(operation.status):
        return {"waiting": True}
    if operation.status == Status.FAILED:
        raise RequestError(operation.error or "The import failed.")
    staging = call.services.store.staging
    users = (staged.record for staged in staging.records(operation.id, "user"))
    channels = (staged.record for staged in staging.records(operation.id, "channel"))
    contacts = (staged.record for staged in staging.records(operation.id, "contact"))
    return wire.selection(
        importer.name,
        (record for record in users if isinstance(record, User)),
        (record for record in channels if isinstance(record, Channel)),
        (record for record in contacts if isinstance(record, Contact)),
        call.services.store.parts.messages(operation.id),
    )


def start_import(call: Call) -> OperationAnswer:
    """Import the chosen users, channels and contacts."""
    services = call.services
    body: Any = call.body
    operation = _waiting_for_selection(services)
    operation = replace(operation, starter=str(call.user["_id"]))
    guests = _guests(body["input"].get("guests", Guests.USER))
    origin = _origin(services, operation, body["input"].get("origin") or operation.origin)
    chosen = replace(operation, selection=wire.chosen(body["input"]), origin=origin, guests=guests)
    with _refusals("startImport"):
        started = commands.start(services.store, chosen)
    audit.record("import started", operation=started.id)
    services.worker.wake(started.id)
    return OperationAnswer({}, started.id)


def _waiting_for_selection(services: Services) -> Operation:
    """Return the current operation if it can be started."""
    operation = services.store.operations.last()
    if operation is None:
        raise _not_found("startImport")
    importer_of(operation.importer_key, "startImport")
    with _refusals("startImport"):
        return commands.waiting(services.store)


def _guests(given: str) -> Guests:
    try:
        return Guests(given)
    except ValueError as error:
        reason = f'"guests" in "input" must be one of {", ".join(Guests)}.'
        raise RequestError(reason, code="error-import-guests", details="startImport") from error


def _origin(services: Services, operation: Operation, given: str) -> str:
    """Return the name of the origin that an operation's archive comes from."""
    named = replace(operation, origin=origin_name(given, "startImport"))
    try:
        with services.destination() as destination:
            importer = IMPORTERS[operation.importer_key]
            return settle_origin(named, importer, services.store, destination, now()).own.name
    except OriginError as error:
        raise RequestError(
            f'{error} Send it as "origin" in "input".', code="error-import-origin", details="startImport"
        ) from error


def origin_name(given: str, method: str) -> str:
    """Return the name of an origin in a call, or refuse an invalid one."""
    try:
        return check_name(given)
    except OriginError as error:
        raise RequestError(str(error), code="error-import-origin", details=method) from error


def get_import_progress(call: Call) -> wire.JSON:
    """Return the progress of the current operation."""
    operation = _last(call.services, "getImportProgress")
    importer = importer_of(operation.importer_key, "getImportProgress")
    return {**wire.progress(operation, importer.name), **waiting(call.services, operation)}


def import_status(call: Call) -> wire.JSON:
    """Return the current operation, and its state in one word."""
    operation = call.services.store.operations.last_summary()
    if operation is None:
        return {"state": state(None)}
    answer = {
        "state": state(operation),
        "operation": operation_json(operation),
        **waiting(call.services, operation),
    }
    return {**answer, "paused": True} if is_paused(operation, call.services.store) else answer


def waiting(services: Services, operation: Summary) -> wire.JSON:
    """Return what an operation waits for, without the address of what is away; nothing if it works."""
    reason = waiting_for(operation) or services.worker.waiting_for(operation.id)
    if not reason or operation.status in ENDS:
        return {}
    return {"waitingFor": _AWAY if "://" in reason else reason}


def import_pause(call: Call) -> wire.JSON:
    """Pause the running import; calling it twice changes nothing. The import stops within a second."""
    with _refusals("import.pause"):
        operation = commands.pause(call.services.store)
    audit.record("import paused", operation=operation.id)
    return {"paused": True}


def import_resume(call: Call) -> wire.JSON:
    """Resume the paused import; calling it twice changes nothing."""
    with _refusals("import.resume"):
        operation = commands.resume(call.services.store)
    audit.record("import resumed", operation=operation.id)
    return {"paused": False}


def import_retry(call: Call) -> OperationAnswer:
    """Continue the latest failed import where it stopped."""
    services = call.services
    with _refusals("import.retry"):
        again = commands.retry(services.store)
    audit.record("import retried", operation=again.id)
    services.worker.wake(again.id)
    return OperationAnswer({"operation": operation_json(again)}, again.id)


def import_clear(call: Call) -> wire.JSON:
    """Cancel every operation, and stop the running one."""
    commands.clear(call.services.store, call.services.worker.cancel)
    audit.record("imports cleared")
    clear_away(call.services.store, call.services.settings, now())
    return {}


def begin(services: Services, operation: Operation, *, may_replace: bool = True) -> Operation:
    """Begin an operation and read its archive in the background; return it as it is stored."""
    operation = take_over(services, operation, may_replace=may_replace)
    services.worker.wake(operation.id)
    return operation


def take_over(services: Services, operation: Operation, *, may_replace: bool = True) -> Operation:
    """Store a new operation, which replaces every earlier one; return it as it is stored.

    Rocket.Chat's own endpoints may replace a running one; others refuse the call unless it says so.
    """
    with _room_for_one(services):
        operation = commands.begin(services.store, operation, services.worker.cancel, may_replace=may_replace)
    audit.record(
        "operation begun", operation=operation.id, importer=operation.importer_key, file=operation.file
    )
    clear_away(services.store, services.settings, now())
    return operation


def may_replace(query: Mapping[str, str]) -> bool:
    """Return whether a call says that its operation may replace a running one."""
    return bool(validation.check_query(schemas.REPLACE_QUERY, query).get("replace"))


def check_room(services: Services, may_replace: bool) -> None:
    """Refuse a new operation, before its file arrives, if one is running that it may not replace."""
    if not may_replace:
        with _room_for_one(services):
            commands.require_none_running(services.store)


@contextmanager
def _room_for_one(services: Services) -> Iterator[None]:
    """Turn a RunningError into a refusal that says what is running."""
    try:
        yield
    except RunningError as error:
        running = services.store.operations.get(error.operation_id)
        assert running is not None
        around = Circumstances(is_paused=is_paused(running, services.store), is_worked_on=True)
        words = state_in_words(running, around)
        raise RequestError(
            f"Operation {running.id} has not ended ({words}). Wait until it has, or send replace=true in the "
            "query: then it is cancelled.",
            code="error-import-running",
            details={"operation": running.id, "state": words},
            status=409,
        ) from error


@contextmanager
def _refusals(method: str) -> Iterator[None]:
    """Turn an OperationError into Rocket.Chat's refusal."""
    try:
        yield
    except OperationError as error:
        if not error.status:
            raise _not_found(method) from error
        raise RequestError(
            f"The import operation is at {error.status}, {error.why}",
            code="error-invalid-operation-status",
            details=method,
        ) from error


def _last(services: Services, method: str) -> Summary:
    operation = services.store.operations.last_summary()
    if operation is None:
        raise _not_found(method)
    return operation


def _not_found(method: str) -> RequestError:
    return RequestError("Import Operation Not Found", code="error-operation-not-found", details=method)


def importer_of(key: str, method: str) -> Importer:
    """Return the importer that a call of this method names, or refuse an unknown one."""
    importer = IMPORTERS.get(key)
    if importer is None:
        raise RequestError(
            f"The importer ({key}) has no import class defined.",
            code="error-importer-not-defined",
            details=method,
        )
    return importer
