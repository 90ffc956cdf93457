"""`chatferry files`."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

from chatferry import logs
from chatferry.cli import terminal
from chatferry.cli.app import app
from chatferry.cli.conclusion import DONE, Printing, conclude, exit_code, print_json, worst
from chatferry.cli.display import Display
from chatferry.cli.options import (
    As,
    AsJson,
    Data,
    EveryProblem,
    FormatOfLog,
    LevelOfLog,
    Short,
    Where,
)
from chatferry.cli.workplace import Workplace, starter_of, workplace
from chatferry.errors import SettingsError
from chatferry.importers import PENDING_AVATARS, PENDING_FILES
from chatferry.logs import LogFormat, LogLevel
from chatferry.observing import audit
from chatferry.operations import (
    Operation,
    Status,
)
from chatferry.pipeline.binding import bound_destination
from chatferry.pipeline.steps import logged
from chatferry.reports import operation as report
from chatferry.settings import from_environment


@app.command("files")
def files_(
    data: Data = Path("data"),
    destination: Where = "",
    as_: As = "",
    as_json: AsJson = False,
    every: EveryProblem = False,
    short: Short = False,
    log_level: LevelOfLog = None,
    log_format: FormatOfLog = LogFormat.TEXT,
) -> None:
    """Fetch the files and avatars that imports have left to be fetched."""
    logs.set_up(log_level or LogLevel.WARNING, log_format)
    settings = from_environment(data=data, destination=bound_destination(data, destination))
    if not settings.store_path.exists():
        raise SettingsError(f"{data} holds no operations. Give the directory of the import with --data.")
    with workplace(settings, is_dry=False) as work:
        sys.exit(
            fetch_everything(
                work, starter_of(work.destination, as_), Printing(as_json, every, short), log_level
            )
        )


def fetch_everything(work: Workplace, starter: str, printing: Printing, log_level: LogLevel | None) -> int:
    """Fetch files and avatars, print what became of them, and return the exit code."""
    found: dict[str, dict[str, Any]] = {}
    code = DONE
    store = work.store
    for name, key in (("files", PENDING_FILES), ("avatars", PENDING_AVATARS)):
        operation = _fetched(key, starter, work, printing, log_level)
        found[name] = report.as_json(operation, store, printing.is_long)
        if operation.count.total and not printing.as_json:
            conclude(operation, store, work.settings, printing)
        if operation.error and printing.as_json:
            terminal.complain(operation.error)
        code = worst(code, exit_code(operation, found[name]))
    if printing.as_json:
        print_json(found)
    elif not any(part["files"]["read"] for part in found.values()):
        terminal.say("Nothing is pending.")
    return code


def _fetched(
    key: str, starter: str, work: Workplace, printing: Printing, log_level: LogLevel | None
) -> Operation:
    """Return a new operation that fetched what is pending; one that was interrupted first takes its end."""
    from chatferry.pipeline.fetching.fetch_pending import pending_operation

    operation = work.begin(pending_operation(key, starter, work.store, work.destination))
    audit.record("import started", operation=operation.id, importer=key)
    if operation.status == Status.DONE:
        return operation
    with Display(quiet=printing.as_json or printing.is_short) as display:
        watch = logged(operation, display.show) if log_level else display.show
        check = partial(display.look, partial(work.store.pauses.has, operation.id))
        return work.work(operation, watch, check)
