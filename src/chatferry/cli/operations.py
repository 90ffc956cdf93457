"""Commands on operations: report, pause, resume, purge."""

from pathlib import Path
from typing import Annotated

import typer

from chatferry.cli import terminal
from chatferry.cli.app import app
from chatferry.cli.conclusion import conclude
from chatferry.cli.lock import only_worker
from chatferry.cli.options import (
    AsJson,
    Data,
    DryRun,
    EveryProblem,
    OperationId,
)
from chatferry.cli.workplace import operation_in
from chatferry.clock import now
from chatferry.errors import SettingsError
from chatferry.observing import audit
from chatferry.pipeline import commands
from chatferry.pipeline.retention import described, leftovers, remove
from chatferry.settings import Settings, from_environment
from chatferry.store import Store


@app.command("report")
def report_(
    operation: OperationId = "",
    data: Data = Path("data"),
    as_json: AsJson = False,
    every: EveryProblem = False,
) -> None:
    """Show the counts and the problems of an operation, one problem per cause."""
    with operation_in(operation, data) as (found, store):
        conclude(found, store, as_json, every, dry_run=False)


@app.command()
def pause(operation: OperationId = "", data: Data = Path("data")) -> None:
    """Let a running import wait, whether a server or a command runs it. Harmless to repeat."""
    with operation_in(operation, data) as (found, store):
        commands.pause(store, found.id)
        audit.set_up(Settings(data=data).audit_log)
        audit.record("import paused", operation=found.id)
        terminal.say(f"Operation {found.id} is paused. Go on with: chatferry resume {found.id}")


@app.command()
def resume(operation: OperationId = "", data: Data = Path("data")) -> None:
    """Let a paused import go on. Harmless to repeat."""
    with operation_in(operation, data) as (found, store):
        commands.resume(store, found.id)
        audit.set_up(Settings(data=data).audit_log)
        audit.record("import resumed", operation=found.id)
        terminal.say(f"Operation {found.id} goes on.")


@app.command()
def purge(
    data: Data = Path("data"),
    pending_: Annotated[
        bool,
        typer.Option("--pending", help="Give up files and avatars that are still to be fetched, too."),
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Delete what imports that are over have left: archives, staged people, secret addresses."""
    settings = from_environment(data=data)
    if not settings.store_path.exists():
        raise SettingsError(f"{data} holds no operations. Give the directory of the imports with --data.")
    with only_worker(settings), Store(settings.store_path) as store:
        found = leftovers(store, settings, now(), is_idle=True, at_once=True, pending=pending_)
        for line in described(found, store):
            terminal.say(f"{'Would delete' if dry_run else 'Deleting'} {line}")
        if not found:
            terminal.say("There is nothing to delete.")
        if not dry_run:
            remove(store, found)
            store.compact()
            audit.record("purged", pending=pending_)
