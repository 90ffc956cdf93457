"""Where commands work: a data directory, its store, and the destination."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path

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
from chatferry.pipeline.context import Watch
from chatferry.pipeline.operation import run_operation
from chatferry.pipeline.parallel.pools import Pools
from chatferry.pipeline.retention import clear_away
from chatferry.pipeline.text_index import build_what_is_left
from chatferry.settings import Settings, from_environment
from chatferry.store import Store


class Workplace:
    """Where a command works: this process does the work."""

    def __init__(self, settings: Settings, store: Store, destination: Destination) -> None:
        self.settings = settings
        self.store = store
        self.destination = destination

    def begin(self, operation: Operation) -> Operation:
        """Store a new operation; return it as it is stored."""
        return commands.begin(self.store, operation)

    def start(self, operation: Operation) -> Operation:
        """Start the import of what `operation` says was chosen; return it as it is stored."""
        return commands.start(self.store, operation)

    def retry(self, operation_id: str) -> Operation:
        """Take up a failed operation where it stopped; return it as it is stored."""
        return commands.retry(self.store, operation_id)

    def work(self, operation: Operation, watch: Watch, pools: Pools | None = None) -> Operation:
        """Work on an operation to its next rest; return it as it then is."""
        store, destination = self.store, self.destination
        return run_operation(operation, store, destination, self.settings, watch=watch, pools=pools)


@contextmanager
def workplace(settings: Settings, dry_run: bool) -> Iterator[Workplace]:
    """Yield the store and the destination of an import; for a dry run in memory, laid over what is there."""
    if dry_run:
        exists = settings.destination or settings.workspace_path.exists()
        base = open_to_look(settings) if exists else None
        with Store() as store, closing(base) if base else nullcontext():
            laid_over: Destination = MemoryDestination(base, keep_messages=False)
            open_workspace(laid_over, settings)
            yield Workplace(settings, store, laid_over)
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
            yield Workplace(settings, store, workspace)
        finally:
            clear_away(store, settings, now(), is_idle=True)
            workspace.close()


def open_workspace(workspace: Destination, settings: Settings) -> tuple[str, str] | None:
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
def operation_in(id: str, data: Path) -> Iterator[tuple[Operation, Store]]:
    """Yield an operation of a data directory and its store, also while another process works there."""
    settings = from_environment(data=data)
    if not settings.store_path.exists():
        raise SettingsError(f"{data} holds no operations. Give the directory of the import with --data.")
    with Store(settings.store_path) as store:
        found = store.operations.get(id) if id else store.operations.last()
        if found is None:
            raise SettingsError(
                f"There is no operation {id} in {data}." if id else "Nothing was imported yet."
            )
        yield found, store
