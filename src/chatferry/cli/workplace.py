"""Where commands work: a data directory, its lock, its store, and the destination."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path

from chatferry import accounts, private
from chatferry.archive import is_url
from chatferry.cli import terminal
from chatferry.clock import now
from chatferry.destinations import Destination
from chatferry.destinations.memory import MemoryDestination
from chatferry.documents import Date
from chatferry.errors import SettingsError
from chatferry.observing import audit
from chatferry.operations import (
    Operation,
)
from chatferry.pipeline.binding import open_bound, open_to_look
from chatferry.pipeline.retention import clear_away
from chatferry.pipeline.text_index import build_what_is_left
from chatferry.settings import Settings, from_environment
from chatferry.store import Store


@contextmanager
def only_worker(settings: Settings) -> Iterator[None]:
    """Hold the lock of a data directory: one process at a time works in it."""
    private.make_folder(settings.data)
    with open(settings.data / "lock", "w", opener=private.opener) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SettingsError(
                f"Another chatferry works in {settings.data}. Wait for it, upload to the one that serves, "
                "or give another directory with --data."
            ) from error
        terminal.warn_of_readers(
            settings.data, private.is_open(settings.data), private.tighten(settings.data)
        )
        audit.set_up(settings.audit_log)
        yield


@contextmanager
def workplace(settings: Settings, dry_run: bool) -> Iterator[tuple[Store, Destination]]:
    """Yield the store and the destination of an import; for a dry run in memory, laid over what is there."""
    if dry_run:
        exists = settings.destination or settings.workspace_path.exists()
        base = open_to_look(settings) if exists else None
        with Store() as store, closing(base) if base else nullcontext():
            laid_over: Destination = MemoryDestination(base, keep_messages=False)
            open_workspace(laid_over, settings)
            yield store, laid_over
        return
    with only_worker(settings), Store(settings.store_path) as store:
        workspace = open_bound(settings, store)
        try:
            terminal.welcome(open_workspace(workspace, settings), settings.data)
            build_what_is_left(settings.destination_url, store)
            clear_away(store, settings, now(), is_idle=True)
            yield store, workspace
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
