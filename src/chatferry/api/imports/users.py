"""Users that are sent over the API: a new operation, its users, and its start."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from msgspec.structs import replace

from chatferry import accounts
from chatferry.api import wire
from chatferry.api.imports.operations import take_over
from chatferry.api.services import Call, OperationAnswer, Services
from chatferry.clock import now
from chatferry.convert.users import may_grant
from chatferry.errors import OperationError, RequestError
from chatferry.importers import IMPORTERS
from chatferry.observing import audit
from chatferry.operations import EVERYTHING, Operation, Selection, Status, advance, state
from chatferry.pipeline import commands
from chatferry.records import Problem, User
from chatferry.reports.operation_json import operation_json
from chatferry.store import problems

MOST_PASSWORDS = 500  # in one request: each takes some hundredths of a second to hash
_NO_NEW_DATA = {
    "loading": "The current import operation can not receive new data.",
    "importing": "The current import operation can not receive new data.",
    "done": "The current import operation is already finished.",
    "error": "The current import operation is already finished.",
    "canceled": "The current import operation is already finished.",
}


def import_new(call: Call) -> OperationAnswer:
    """Begin an import of users that are sent over the API. It replaces every earlier operation."""
    operation = replace(commands.new_operation("api", str(call.user["_id"]), Status.NEW), type="api")
    begun = take_over(call.services, operation)
    return OperationAnswer({"operation": operation_json(begun)}, begun.id)


def import_add_users(call: Call) -> wire.JSON:
    """Add users to the current operation: all of them, or none if one is invalid."""
    items: list[wire.JSON] = call.body["users"]  # type: ignore[assignment]  # the schema says so
    services = call.services
    _receiving(services)
    if not all(any(item["emails"]) and any(item["importIds"]) for item in items):
        raise RequestError("Users are missing required data.")
    _require_known_roles(items, call)
    hashes = _hashes([item.get("password") or "" for item in items])
    own = accounts.roles_of(call.user)
    with services.store.transaction():
        operation = _receiving(services)  # hashing takes time
        first = services.store.staging.next_number(operation.id)
        users: list[User] = []
        notes: list[Problem] = []
        for number, (item, password) in enumerate(zip(items, hashes, strict=True), first):
            granted = tuple(role for role in _roles(item) if may_grant(own, role))
            user, dropped = wire.added_user(item, number, granted, password)
            users.append(user)
            notes += dropped
        _stage(services, operation, first, users, notes)
    audit.record("users added", operation=operation.id, users=len(users))
    return {}


def _receiving(services: Services) -> Operation:
    """Return the current operation if users can be added to it."""
    operation = services.store.operations.last()
    if operation is None or not operation.valid:
        raise RequestError("Import operation not initialized.")
    if reason := _NO_NEW_DATA.get(state(operation)):
        raise RequestError(reason)
    return operation


def _require_known_roles(items: Sequence[wire.JSON], call: Call) -> None:
    named = {role for item in items for role in _roles(item)} - accounts.roles_of(call.user)
    with call.services.destination() as destination:
        if named and not named <= accounts.existing_roles(destination):
            raise RequestError("One or more of the users have been assigned invalid roles.")


def _roles(item: wire.JSON) -> list[str]:
    return list(dict.fromkeys(item.get("roles") or ()))


def _hashes(passwords: Sequence[str]) -> list[str]:
    """Return the hash of each password, "" for none. bcrypt releases the lock: threads hash in parallel."""
    given = [password for password in passwords if password]
    if len(given) > MOST_PASSWORDS:
        raise RequestError(
            f"There are more than {MOST_PASSWORDS} passwords in this request. Send the users in several."
        )
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        hashed = threads.map(accounts.hash_password, given)
        return [next(hashed) if password else "" for password in passwords]


def _stage(
    services: Services, operation: Operation, first: int, users: Sequence[User], notes: Sequence[Problem]
) -> None:
    if not users:
        return
    store = services.store
    store.staging.add(operation.id, enumerate(users, first))
    place = store.problems.next_number(operation.id, problems.PREPARE)
    store.problems.add(operation.id, problems.PREPARE, notes, place)
    total, added = (operation.count.total or 0) + len(users), (operation.count.users or 0) + len(users)
    grown = replace(operation, count=replace(operation.count, total=total, users=added))
    store.operations.save(advance(grown, Status.SELECTION, now()))


def import_run(call: Call) -> OperationAnswer:
    """Import all users of the current operation; existing accounts do not change."""
    services = call.services
    try:
        operation = commands.waiting(services.store)
        if operation.importer_key not in IMPORTERS:
            raise RequestError("error-importer-not-defined")
        everybody, starter = Selection(users=EVERYTHING), str(call.user["_id"])
        commands.start(
            services.store, replace(operation, selection=everybody, only_new=True, starter=starter)
        )
    except OperationError as error:
        known = "error-invalid-operation-status" if error.status else "error-operation-not-found"
        raise RequestError(known) from error
    audit.record("import started", operation=operation.id)
    services.worker.wake(operation.id)
    return OperationAnswer({}, operation.id)
