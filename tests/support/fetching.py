"""Pending files and avatars, fetched as the program does it."""

from chatferry.destinations import Destination
from chatferry.importers import PENDING_FILES
from chatferry.operations import Operation, Status
from chatferry.pipeline.fetching.fetch_pending import pending_operation
from chatferry.pipeline.operation import run_operation
from chatferry.settings import Settings
from chatferry.store import Store
from tests.support.importing import Imported


def fetch(imported: Imported, settings: Settings, key: str = PENDING_FILES) -> Imported:
    """Fetch what an import has left."""
    store, destination = imported.store, imported.destination
    operation = begin(store, destination, key)
    if operation.status != Status.DONE:
        operation = run_operation(operation, store, destination, settings)
    return Imported(operation, store, destination)


def begin(store: Store, destination: Destination, key: str = PENDING_FILES) -> Operation:
    operation = pending_operation(key, "rocket.cat", store, destination)
    store.operations.add(operation)
    return operation


def files_of(imported: Imported) -> dict[str, int]:
    return {name: count for name, count in imported.report["files"].items() if count}
