"""`chatferry files`."""

import sys
from pathlib import Path
from typing import Any

from chatferry import logs
from chatferry.cli import terminal
from chatferry.cli.app import app
from chatferry.cli.conclusion import DONE, FAILED, PARTLY, exit_code, print_json, print_report
from chatferry.cli.options import (
    As,
    AsJson,
    Data,
    EveryProblem,
    FormatOfLog,
    LevelOfLog,
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
    log_level: LevelOfLog = None,
    log_format: FormatOfLog = LogFormat.TEXT,
) -> None:
    """Fetch the files and avatars that imports have left to be fetched."""
    logs.set_up(log_level or LogLevel.WARNING, log_format)
    settings = from_environment(data=data, destination=bound_destination(data, destination))
    if not settings.store_path.exists():
        raise SettingsError(f"{data} holds no operations. Give the directory of the import with --data.")
    with workplace(settings, dry_run=False) as place:
        found: dict[str, dict[str, Any]] = {}
        code = DONE
        store, starter = place.store, starter_of(place.destination, as_)
        for name, key in (("files", PENDING_FILES), ("avatars", PENDING_AVATARS)):
            operation = _fetched(key, starter, place, as_json, log_level)
            found[name] = report.as_json(operation, store, every)
            if operation.count.total and not as_json:
                print_report(found[name], operation, store, every, False)
            if operation.error and as_json:
                terminal.complain(operation.error)
            code = max(code, exit_code(operation, found[name]), key=(DONE, PARTLY, FAILED).index)
    if as_json:
        print_json(found)
    elif not any(part["files"]["read"] for part in found.values()):
        terminal.say("Nothing is pending.")
    sys.exit(code)


def _fetched(key: str, starter: str, place: Workplace, quiet: bool, log_level: LogLevel | None) -> Operation:
    """A new operation that fetched what is pending; one that was interrupted first takes its end."""
    from chatferry.pipeline.fetching.fetch_pending import pending_operation

    operation = place.begin(pending_operation(key, starter, place.store, place.destination))
    audit.record("import started", operation=operation.id, importer=key)
    if operation.status == Status.DONE:
        return operation
    with terminal.Display(quiet=quiet) as display:
        watch = logged(operation, display.show) if log_level else display.show
        return place.work(operation, watch)
