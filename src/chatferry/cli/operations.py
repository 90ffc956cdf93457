"""Commands on operations: report, operations, pause, resume, cancel, purge."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from chatferry.cli import terminal
from chatferry.cli.app import app
from chatferry.cli.conclusion import Printing, conclude, print_json
from chatferry.cli.lock import is_worked_in, only_worker
from chatferry.cli.options import (
    AsJson,
    Data,
    DryRun,
    EveryProblem,
    OperationId,
    Short,
)
from chatferry.cli.workplace import operation_in, store_in
from chatferry.clock import now
from chatferry.errors import SettingsError
from chatferry.observing import audit
from chatferry.operations import Summary
from chatferry.pipeline import commands
from chatferry.pipeline.operation import shown_name
from chatferry.pipeline.retention import described, leftovers, remove
from chatferry.reports import operation as report
from chatferry.reports.states import Circumstances, state_in_words
from chatferry.settings import Settings, from_environment
from chatferry.store import Store


@app.command("operations")
def operations_(
    data: Data = Path("data"),
    most: Annotated[int, typer.Option("--count", min=1, help="How many to list.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List imports, the latest first: when they began, what they read, and where they stand."""
    with store_in(data) as store:
        found = store.operations.latest(most)
        if as_json:
            print_json([report.counts(operation, store) for operation in found])
            return
        for operation in found:
            began = datetime.fromtimestamp(operation.ts / 1000).strftime("%Y-%m-%d %H:%M")
            what = operation.type + (
                f", {shown_name(operation)}" if operation.archive or operation.file else ""
            )
            state = state_in_words(operation, _around(operation, store, data))
            terminal.quote(f"{operation.id}  {began}  {what}: {state}")
        if not found:
            terminal.say("Nothing was imported yet.")


@app.command("report")
def report_(
    operation: OperationId = "",
    data: Data = Path("data"),
    as_json: AsJson = False,
    every: EveryProblem = False,
    short: Short = False,
) -> None:
    """Show the counts and the problems of an operation, one problem per cause."""
    with operation_in(operation, data) as (found, store):
        settings = Settings(data=data)
        conclude(found, store, settings, Printing(as_json, every, short), around=_around(found, store, data))


def _around(operation: Summary, store: Store, data: Path) -> Circumstances:
    return Circumstances(
        is_paused=store.pauses.has(operation.id),
        is_worked_on=is_worked_in(data),
        successor="" if operation.valid else store.operations.after(operation),
    )


@app.command()
def pause(operation: OperationId = "", data: Data = Path("data")) -> None:
    """Let a running import wait, whether a server or a command runs it. Harmless to repeat."""
    with operation_in(operation, data) as (found, store):
        commands.pause(store, found.id)
        _record("import paused", found, data)
        terminal.say(f"Operation {found.id} is paused. It goes on with `chatferry resume {found.id}`")


@app.command()
def resume(operation: OperationId = "", data: Data = Path("data")) -> None:
    """Let a paused import go on. Harmless to repeat."""
    with operation_in(operation, data) as (found, store):
        commands.resume(store, found.id)
        _record("import resumed", found, data)
        if is_worked_in(data):
            terminal.say(f"Operation {found.id} goes on.")
        else:
            terminal.say(
                f"Operation {found.id} is not paused any more, but no process works on it. "
                "`chatferry serve` goes on with it."
            )


@app.command()
def cancel(operation: OperationId = "", data: Data = Path("data")) -> None:
    """Take an import back, whether a server or a command runs it. What it has imported stays."""
    with operation_in(operation, data) as (found, store):
        is_running = is_worked_in(data)
        commands.cancel(store, found.id, is_running)
        _record("import cancelled", found, data)
        stops = "stops within seconds" if is_running else "is cancelled"
        terminal.say(f"Operation {found.id} {stops}. What it has imported stays.")


def _record(what: str, operation: Summary, data: Path) -> None:
    audit.set_up(Settings(data=data).audit_log)
    audit.record(what, operation=operation.id)


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
