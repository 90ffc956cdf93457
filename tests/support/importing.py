"""Imports for tests: the real pipeline, a store and a destination of the test's choice."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from chatferry import accounts
from chatferry.clock import now
from chatferry.destinations import Destination
from chatferry.destinations.memory import MemoryDestination
from chatferry.documents import COLLECTIONS, Date, Document, decode
from chatferry.operations import EVERYTHING, Guests, Operation, Selection, Status
from chatferry.pipeline import commands
from chatferry.pipeline.operation import run_operation
from chatferry.reports import operation as report
from chatferry.settings import Settings
from chatferry.store import Store

ALL = Selection(EVERYTHING, EVERYTHING, EVERYTHING)


class Imported:
    """An operation that has come to its end, with everything around it."""

    def __init__(self, operation: Operation, store: Store, destination: Destination) -> None:
        self.operation = operation
        self.store = store
        self.destination = destination
        self.report: dict[str, Any] = report.as_json(operation, store, every=True)

    def documents(self, collection: str) -> list[Document]:
        return documents_of(self.destination, collection)

    def by_id(self, collection: str) -> dict[str, Document]:
        return {document["_id"]: document for document in self.documents(collection)}

    @property
    def problem_kinds(self) -> list[str]:
        return [problem["kind"] for problem in self.report["problems"]]


def documents_of(destination: Destination, collection: str) -> list[Document]:
    return [decode(line) for line in destination.dump(collection)]


def workspace() -> MemoryDestination:
    """A memory workspace as a new server has it, with an administrator."""
    destination = MemoryDestination()
    accounts.found_workspace(destination, Date.at(now()))
    accounts.ensure_admin(destination, {"ADMIN_PASS": "secret"}, Date.at(now()))
    return destination


def founded(destination: Destination) -> Destination:
    """A workspace with an administrator whose id is the same in every run."""
    accounts.found_workspace(destination, Date.at(now()))
    accounts.add_admin(destination, "admin", "admin", "secret", "", Date.at(now()))
    return destination


def import_archive(
    archive: Path,
    destination: Destination | None = None,
    store: Store | None = None,
    selection: Selection = ALL,
    importer_key: str = "slack",
    settings: Settings | None = None,
    origin: str = "",
    guests: Guests = Guests.USER,
) -> Imported:
    """Prepare and run an import to its end."""
    destination = destination or workspace()
    store = store or Store()
    settings = settings or Settings(data=archive.parent)
    operation = replace(new_operation(archive, destination, importer_key), origin=origin, guests=guests)
    operation = run_operation(commands.begin(store, operation), store, destination, settings)
    if operation.status == Status.SELECTION:
        operation = commands.start(store, replace(operation, selection=selection))
        operation = run_operation(operation, store, destination, settings)
    return Imported(operation, store, destination)


def new_operation(archive: Path, destination: Destination, importer_key: str = "slack") -> Operation:
    admins = [decode(line) for line in destination.dump("users")]
    user = next((admin["_id"] for admin in admins if "admin" in admin["roles"]), "rocket.cat")
    return replace(commands.new_operation(importer_key, user), archive=str(archive))


VOLATILE = {"_updatedAt", "createdAt", "changedAt"}


def lasting(value: Any) -> Any:
    """A document without the times of writing."""
    if isinstance(value, dict):
        return {key: lasting(item) for key, item in value.items() if key not in VOLATILE}
    if isinstance(value, list):
        return [lasting(item) for item in value]
    return value


def write_folder(folder: Path, files: dict[str, Any]) -> Path:
    """An archive as a folder: bytes and strings as they are, everything else as JSON."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            content = content.encode()
        path.write_bytes(content if isinstance(content, bytes) else msgspec.json.encode(content))
    return folder


@contextmanager
def sqlite_workspace(path: Path) -> Iterator[Destination]:
    from chatferry.destinations.sqlite.destination import SqliteDestination

    destination = SqliteDestination(path)
    accounts.found_workspace(destination, Date.at(now()))
    accounts.ensure_admin(destination, {"ADMIN_PASS": "secret"}, Date.at(now()))
    try:
        yield destination
    finally:
        destination.close()


def contents(imported: Imported) -> dict[str, Any]:
    """Return every document and the report, without random and time-dependent values."""
    found: dict[str, Any] = {"problems": sorted(map(str, imported.report["problems"]))}
    found |= {kind: imported.report[kind] for kind in ("users", "rooms", "messages", "files")}
    for collection in COLLECTIONS:
        documents = imported.documents(collection)
        if collection == "rocketchat_subscription":
            documents = [{"rid": one["rid"], "u": one["u"]["username"]} for one in documents]  # no times
        if collection == "users":
            documents = [one for one in documents if one["username"] != "admin"]
        for room in documents if collection == "rocketchat_room" else ():
            room.pop("u", None)
        found[collection] = sorted(msgspec.json.encode(lasting(one), order="sorted") for one in documents)
    return found
