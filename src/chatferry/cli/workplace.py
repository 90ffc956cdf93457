"""Where commands work: a data directory, its store, and the destination."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path

from msgspec.structs import replace

from chatferry import accounts
from chatferry.archive import is_url
from chatferry.cli import terminal
from chatferry.cli.lock import is_served, only_worker
from chatferry.clock import now
from chatferry.destinations import Destination
from chatferry.destinations.memory import MemoryDestination
from chatferry.documents import Date
from chatferry.errors import SettingsError
from chatferry.observing import audit
from chatferry.operations import (
    Operation,
)
from chatferry.pipeline import commands
from chatferry.pipeline.binding import open_bound, open_to_look
from chatferry.pipeline.context import Check, Watch
from chatferry.pipeline.operation import run_operation
from chatferry.pipeline.parallel.pools import Pools
from chatferry.pipeline.retention import clear_away
from chatferry.pipeline.text_index import build_what_is_left
from chatferry.reports.destination import NO_DESTINATION
from chatferry.settings import Settings, from_environment
from chatferry.store import Store
from chatferry.store.binding import Binding


class Workplace:
    """Where a command works: this process does the work.

    settings  of the command; of a dry run with the folder that keeps its report as the data directory
    is_new    whether the destination is made for the command
    """

    def __init__(
        self, settings: Settings, store: Store, destination: Destination, is_new: bool = False
    ) -> None:
        self.settings = settings
        self.store = store
        self.destination = destination
        self.is_new = is_new

    def begin(self, operation: Operation) -> Operation:
        """Store a new operation; return it as it is stored."""
        return commands.begin(self.store, operation)

    def start(self, operation: Operation) -> Operation:
        """Start the import of what `operation` says was chosen; return it as it is stored."""
        return commands.start(self.store, operation)

    def retry(self, operation_id: str) -> Operation:
        """Take up a failed operation where it stopped; return it as it is stored."""
        return commands.retry(self.store, operation_id)

    def work(
        self,
        operation: Operation,
        watch: Watch,
        check: Check = lambda: None,
        pools: Pools | None = None,
    ) -> Operation:
        """Work on an operation to its next rest; return it as it then is. `check` is called now and then."""
        return run_operation(operation, self.store, self.destination, self.settings, check, watch, pools)


@contextmanager
def workplace(settings: Settings, is_dry: bool) -> Iterator[Workplace]:
    """Yield the store and the destination of an import; for a dry run in memory, laid over what is there."""
    exists = bool(settings.destination) or settings.workspace_path.exists()
    if is_dry:
        base = open_to_look(settings) if exists else None
        with _dry_store() as (store, folder), closing(base) if base else nullcontext():
            laid_over: Destination = MemoryDestination(base, keep_messages=False)
            open_workspace(laid_over, settings)
            yield Workplace(replace(settings, data=folder), store, laid_over, not exists)
        return
    if is_served(settings):
        from chatferry.cli.beside import Beside

        terminal.say_who_works(settings.data)
        audit.set_up(settings.audit_log)
        with Store(settings.store_path) as store, closing(open_to_look(settings)) as looked_at:
            yield Beside(settings, store, looked_at)
        return
    with only_worker(settings), Store(settings.store_path) as store:
        workspace = open_bound(settings, store)
        try:
            terminal.welcome(open_workspace(workspace, settings), settings.data)
            build_what_is_left(settings.destination_url, store)
            clear_away(store, settings, now(), is_idle=True)
            yield Workplace(settings, store, workspace, not exists)
        finally:
            clear_away(store, settings, now(), is_idle=True)
            workspace.close()


@contextmanager
def _dry_store() -> Iterator[tuple[Store, Path]]:
    """Yield the store of a dry run and its folder, which stays if there are problems to be looked at."""
    folder = Path(tempfile.mkdtemp(prefix="chatferry-dry-run-"))
    is_kept = False
    try:
        with Store(Settings(data=folder).store_path) as store:
            store.binding.put(Binding("", NO_DESTINATION, True))
            try:
                yield store, folder
            finally:
                for operation in store.operations.valid():
                    store.staging.reduce(operation.id)
                    is_kept = any(True for _ in store.problems.all(operation.id))
    finally:
        if not is_kept:
            shutil.rmtree(folder, ignore_errors=True)


def open_workspace(workspace: Destination, settings: Settings) -> tuple[str, str] | None:
    """Make sure that there is a workspace to import into, as `accounts.open_workspace` does."""
    return accounts.open_workspace(workspace, settings.server_database, os.environ, Date.at(now()))


def place_of(export: str, wanted: str) -> str:
    """Return an archive's URL, or its path from the root, which is the same for other processes."""
    if is_url(export):
        return export
    if not Path(export).exists():
        raise SettingsError(f"{export} does not exist. Give the path of {wanted}.")
    return str(Path(export).resolve())


def starter_of(workspace: Destination, username: str) -> str:
    """Return the id of the account that the command line works for; "" stands for the first administrator."""
    if username:
        return str(accounts.starter_named(workspace, username)["_id"])
    first = accounts.first_administrator(workspace)
    if first is None:
        raise SettingsError("This workspace has no active administrator. Give --as the name of a user.")
    return str(first["_id"])


@contextmanager
def store_in(data: Path) -> Iterator[Store]:
    """Yield the store of a data directory, also while another process works there."""
    path = from_environment(data=data).store_path
    if not path.exists():
        raise SettingsError(f"{data} holds no operations. Give the directory of the import with --data.")
    with Store(path) as store:
        yield store


@contextmanager
def operation_in(id: str, data: Path) -> Iterator[tuple[Operation, Store]]:
    """Yield an operation of a data directory, the last one for "", and its store."""
    with store_in(data) as store:
        found = store.operations.get(id) if id else store.operations.last()
        if found is None:
            raise SettingsError(
                f"There is no operation {id} in {data}. `chatferry operations` lists them."
                if id
                else "Nothing was imported yet."
            )
        yield found, store
