"""`chatferry import` and `chatferry retry`."""

import sys
from collections.abc import Callable
from pathlib import Path

import typer
from msgspec.structs import replace

from chatferry import logs
from chatferry.archive import name_of
from chatferry.cli import terminal
from chatferry.cli.app import app
from chatferry.cli.conclusion import conclude
from chatferry.cli.options import (
    As,
    AsJson,
    Channels,
    ClusterAddress,
    Data,
    DryRun,
    EveryProblem,
    Export,
    FormatOfLog,
    GuestsAs,
    LevelOfLog,
    OperationId,
    OriginName,
    Rewrite,
    TextIndexAtEnd,
    Users,
    Where,
    Workers,
)
from chatferry.cli.workplace import Workplace, operation_in, place_of, starter_of, workplace
from chatferry.clock import now
from chatferry.errors import OriginError, SettingsError
from chatferry.importers import IMPORTERS, Importer, readers
from chatferry.logs import LogFormat, LogLevel
from chatferry.observing import audit
from chatferry.operations import (
    DIRECT_MESSAGES,
    EVERYTHING,
    Choice,
    Guests,
    Operation,
    Selection,
    Status,
)
from chatferry.origins import check_name
from chatferry.pipeline import commands
from chatferry.pipeline.binding import bound_destination
from chatferry.pipeline.linking import settle_origin
from chatferry.pipeline.parallel.pools import Pools
from chatferry.pipeline.steps import logged
from chatferry.records import User
from chatferry.settings import from_environment
from chatferry.store import Store

imports = typer.Typer(help="Import an export without a server.", no_args_is_help=True)
app.add_typer(imports, name="import")


def _add_import(importer: Importer) -> None:
    """Add the command that imports with an importer."""

    @imports.command(importer.key, help=f"Import {importer.wanted}.")
    def command(
        export: Export,
        data: Data = Path("data"),
        destination: Where = "",
        as_: As = "",
        users: Users = None,
        channels: Channels = None,
        origin: OriginName = "",
        guests: GuestsAs = Guests.USER,
        workers: Workers = None,
        cluster: ClusterAddress = "",
        text_index_last: TextIndexAtEnd = False,
        rewrite: Rewrite = False,
        dry_run: DryRun = False,
        as_json: AsJson = False,
        every: EveryProblem = False,
        log_level: LevelOfLog = None,
        log_format: FormatOfLog = LogFormat.TEXT,
    ) -> None:
        logs.set_up(log_level or LogLevel.WARNING, log_format)
        if dry_run:  # it keeps everything in the memory of one process
            workers, cluster, text_index_last = 0, "", False
        settings = from_environment(
            data=data,
            destination=bound_destination(data, destination),
            workers=workers,
            cluster=cluster,
            text_index_last=text_index_last,
        )
        export = place_of(export, importer.wanted)
        with workplace(settings, dry_run) as place:
            operation = replace(
                commands.new_operation(importer.key, starter_of(place.destination, as_)),
                file=name_of(export),
                archive=export,
                origin=check_name(origin),
                rewrite=rewrite,
                guests=guests,
            )
            operation = place.begin(operation)
            if not dry_run:
                audit.record("import started", operation=operation.id, importer=importer.key, file=export)

            def choose(read: Operation) -> Operation:
                _settle_origin(read, importer, place)
                return _select(read, place, users, channels)

            operation = _imported(operation, place, choose, as_json, log_level)
            sys.exit(conclude(operation, place.store, as_json, every, dry_run))


for each in readers():
    _add_import(each)


@app.command()
def retry(
    operation: OperationId = "",
    data: Data = Path("data"),
    destination: Where = "",
    users: Users = None,
    channels: Channels = None,
    workers: Workers = None,
    cluster: ClusterAddress = "",
    text_index_last: TextIndexAtEnd = False,
    as_json: AsJson = False,
    every: EveryProblem = False,
    log_level: LevelOfLog = None,
    log_format: FormatOfLog = LogFormat.TEXT,
) -> None:
    """Go on with an import that failed. --users and --channels count if nothing was chosen yet."""
    logs.set_up(log_level or LogLevel.WARNING, log_format)
    settings = from_environment(
        data=data,
        destination=bound_destination(data, destination),
        workers=workers,
        cluster=cluster,
        text_index_last=text_index_last,
    )
    with operation_in(operation, data) as (found, _):
        commands.require_failed(found)
    with workplace(settings, dry_run=False) as place:
        again = place.retry(found.id)
        audit.record("import retried", operation=again.id)

        def choose(read: Operation) -> Operation:
            _settle_origin(read, IMPORTERS[read.importer_key], place)
            return _select(read, place, users, channels)

        ended = _imported(again, place, choose, as_json, log_level)
        sys.exit(conclude(ended, place.store, as_json, every, False))


def _imported(
    operation: Operation,
    place: Workplace,
    choose: Callable[[Operation], Operation],
    quiet: bool,
    log_level: LogLevel | None,
) -> Operation:
    """Run an operation to its end and return it; `choose` starts it once the archive is read."""
    pools = Pools(place.settings, imports_at_once=True)
    with terminal.Display(quiet=quiet) as display, pools:
        watch = logged(operation, display.show) if log_level else display.show
        operation = place.work(operation, watch, pools)
        if operation.status == Status.SELECTION:
            operation = place.work(choose(operation), watch, pools)
    return operation


def _settle_origin(operation: Operation, importer: Importer, place: Workplace) -> None:
    """Refuse an export if it is not certain which workspace it comes from."""
    try:
        settle_origin(operation, importer, place.store, place.destination, now())
    except OriginError as error:
        raise SettingsError(f"{error} Give it with --origin.") from error


def _select(
    operation: Operation, place: Workplace, users: list[str] | None, channels: list[str] | None
) -> Operation:
    selection = Selection(
        users=_choice(users, "--users", place.store, operation),
        channels=_choice(channels, "--channels", place.store, operation),
        contacts=EVERYTHING,
    )
    return place.start(replace(operation, selection=selection))


def _choice(wishes: list[str] | None, option: str, store: Store, operation: Operation) -> Choice:
    """Return the ids behind a list of ids and names."""
    if wishes is None:
        return EVERYTHING
    wanted = {wish for entry in wishes for wish in entry.split(",") if wish}
    known: dict[str, str] = {DIRECT_MESSAGES: DIRECT_MESSAGES}
    for staged in store.staging.records(operation.id, "user" if option == "--users" else "channel"):
        record = staged.record
        if name := record.username if isinstance(record, User) else record.name:
            known.setdefault(name, record.id)
        known[record.id] = record.id
    if missing := sorted(wanted - known.keys()):
        raise SettingsError(f"{option}: the export has no {', '.join(missing)}. See chatferry inspect.")
    return Choice(list=frozenset(known[wish] for wish in wanted))
