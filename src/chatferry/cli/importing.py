"""`chatferry import` and `chatferry retry`."""

import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from msgspec.structs import replace

from chatferry import logs
from chatferry.archive import Archive, name_of, open_archive
from chatferry.cli import terminal
from chatferry.cli.app import app
from chatferry.cli.conclusion import Printing, conclude, worst
from chatferry.cli.display import Display
from chatferry.cli.options import (
    As,
    AsJson,
    Channels,
    ClusterAddress,
    Data,
    DryRun,
    EveryProblem,
    FormatOfLog,
    GuestsAs,
    LevelOfLog,
    OperationId,
    OriginName,
    Rewrite,
    Short,
    TextIndexAtEnd,
    Users,
    Where,
    Workers,
)
from chatferry.cli.workplace import Workplace, operation_in, place_of, starter_of, workplace
from chatferry.clock import now
from chatferry.destinations import Destination
from chatferry.errors import OriginError, SettingsError
from chatferry.importers import IMPORTERS, Importer, detect, readers
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
from chatferry.records import Channel, Part, User
from chatferry.reports.destination import described_destination
from chatferry.settings import Settings, from_environment
from chatferry.store import Store

KEYS = ", ".join(importer.key for importer in readers())


@app.command("import")
def import_(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[KEY] EXPORT",
            help="The export: a zip or tar file, a folder, or a file of its own kind; or the URL (s3, http, "
            f"https) of such a file. Before it, where chatferry cannot tell, the importer: {KEYS}.",
            show_default=False,
        ),
    ],
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
    files: Annotated[
        bool, typer.Option("--files", envvar="CHATFERRY_FILES", help="Fetch files and avatars afterwards.")
    ] = False,
    as_json: AsJson = False,
    every: EveryProblem = False,
    short: Short = False,
    log_level: LevelOfLog = None,
    log_format: FormatOfLog = LogFormat.TEXT,
) -> None:
    """Import an export, without a server."""
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
    check_name(origin)
    if files and as_json:
        raise SettingsError(
            "--files and --json are two reports. Leave --files out, then: `chatferry files --json`"
        )
    importer, export = _looked_at(words, settings, users, channels)
    printing = Printing(as_json, every, short)
    with workplace(settings, dry_run) as work:
        operation = replace(
            commands.new_operation(importer.key, starter_of(work.destination, as_)),
            file=name_of(export),
            archive=export,
            origin=origin,
            rewrite=rewrite,
            guests=guests,
        )
        operation = work.begin(operation)
        if not dry_run:
            audit.record("import started", operation=operation.id, importer=importer.key, file=export)
        if not (as_json or short):
            url = settings.destination
            into = described_destination(work.destination, url, data, work.is_new)
            terminal.remark(f"{name_of(export)}, {importer.source}, into {into}")
        operation = _imported(operation, work, _chosen(work, importer, users, channels), printing, log_level)
        code = conclude(operation, work.store, work.settings, printing, work.destination)
        if files and operation.status == Status.DONE and not dry_run:
            from chatferry.cli.fetching import fetch_everything

            code = worst(code, fetch_everything(work, operation.user, printing, log_level))
        sys.exit(code)


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
    short: Short = False,
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
    printing = Printing(as_json, every, short)
    with operation_in(operation, data) as (found, _):
        commands.require_failed(found)
    with workplace(settings, is_dry=False) as work:
        again = work.retry(found.id)
        audit.record("import retried", operation=again.id)
        if not (as_json or short):
            into = described_destination(work.destination, settings.destination, data, work.is_new)
            terminal.remark(f"{again.file or again.type}, once more, into {into}")
        choose = _chosen(work, IMPORTERS[again.importer_key], users, channels)
        ended = _imported(again, work, choose, printing, log_level)
        sys.exit(conclude(ended, work.store, work.settings, printing, work.destination))


def _looked_at(
    words: list[str], settings: Settings, users: list[str] | None, channels: list[str] | None
) -> tuple[Importer, str]:
    """Return the importer and the place of an export, once it was looked at. Nothing is made before.

    Raise SettingsError if the export is another importer's, or lacks a user or channel that is wanted.
    """
    *keys, given = words
    if len(keys) > 1:
        raise SettingsError(f"Give one export, and at most one importer before it: {given} is too much.")
    if not keys and given in IMPORTERS:
        raise SettingsError(f"Give the export too: chatferry import {given} EXPORT")
    named = _reader(keys[0]) if keys else None
    export = place_of(given, named.wanted if named else "an export: a zip file or a folder")
    with open_archive(export, settings.limits, single=True, rules=settings.downloads) as archive:
        importer = _fitting(named, archive, given) if named else detect(archive)
        _require_listed(importer, archive, users, "--users")
        _require_listed(importer, archive, channels, "--channels")
    return importer, export


def _reader(key: str) -> Importer:
    found = IMPORTERS.get(key)
    if found is None or not found.source:
        raise SettingsError(f"There is no importer {key}. Choose one of: {KEYS}; or leave it out.")
    return found


def _fitting(importer: Importer, archive: Archive, export: str) -> Importer:
    """Return the importer, unless the archive is certainly another one's."""
    if (importer.single or not archive.is_single) and importer.matches(archive):
        return importer
    others = [one for one in readers() if (one.single or not archive.is_single) and one.matches(archive)]
    if len(others) == 1:
        raise SettingsError(
            f"{archive.name} is not {importer.source}, it is {others[0].source}: "
            f"`chatferry import {others[0].key} {shlex.quote(export)}`"
        )
    if archive.is_single and not importer.single:
        raise SettingsError(f"{archive.name} is neither a zip nor a tar. Give the path of {importer.wanted}.")
    return importer


def _require_listed(importer: Importer, archive: Archive, wishes: list[str] | None, option: str) -> None:
    """Raise SettingsError if a wanted user or channel is certainly not in an archive.

    Importers yield people and rooms before the parts with messages, but for rooms that only have a folder.
    """
    missing = _wanted(wishes) - {DIRECT_MESSAGES} if wishes is not None else set()
    if not missing:
        return
    missing -= {name.partition("/")[0] for name in archive.names()}
    for item in importer.scan(archive):
        if isinstance(item, Part) or not missing:
            break
        if isinstance(item, User if option == "--users" else Channel):
            missing -= {item.id, item.username if isinstance(item, User) else item.name}
    if missing:
        raise _not_listed(option, missing)


def _not_listed(option: str, missing: set[str]) -> SettingsError:
    kind = "users" if option == "--users" else "channels"
    return SettingsError(
        f"{option}: the export has no {', '.join(sorted(missing))}. "
        f"`chatferry inspect EXPORT --{kind}` lists what it has."
    )


def _imported(
    operation: Operation,
    work: Workplace,
    choose: Callable[[Operation], Operation],
    printing: Printing,
    log_level: LogLevel | None,
) -> Operation:
    """Run an operation to its end and return it; `choose` starts it once the archive is read."""
    pools = Pools(work.settings, imports_at_once=True)
    with Display(quiet=printing.as_json or printing.is_short) as display, pools:
        watch = logged(operation, display.show) if log_level else display.show
        check = partial(display.look, partial(work.store.pauses.has, operation.id))
        operation = work.work(operation, watch, check, pools)
        if operation.status == Status.SELECTION:
            operation = work.work(choose(operation), watch, check, pools)
    return operation


def _chosen(
    work: Workplace, importer: Importer, users: list[str] | None, channels: list[str] | None
) -> Callable[[Operation], Operation]:
    """Return what starts an operation with the chosen users and channels once its archive is read."""

    def choose(read: Operation) -> Operation:
        _settle_origin(read, importer, work.store, work.destination)
        selection = Selection(
            users=_choice(users, "--users", work.store, read),
            channels=_choice(channels, "--channels", work.store, read),
            contacts=EVERYTHING,
        )
        return work.start(replace(read, selection=selection))

    return choose


def _settle_origin(operation: Operation, importer: Importer, store: Store, workspace: Destination) -> None:
    """Refuse an export if it is not certain which workspace it comes from."""
    try:
        settle_origin(operation, importer, store, workspace, now())
    except OriginError as error:
        raise SettingsError(f"{error} Give it with --origin.") from error


def _wanted(wishes: list[str]) -> set[str]:
    return {wish for entry in wishes for wish in entry.split(",") if wish}


def _choice(wishes: list[str] | None, option: str, store: Store, operation: Operation) -> Choice:
    """Return the ids behind a list of ids and names."""
    if wishes is None:
        return EVERYTHING
    wanted = _wanted(wishes)
    known: dict[str, str] = {DIRECT_MESSAGES: DIRECT_MESSAGES}
    for staged in store.staging.records(operation.id, "user" if option == "--users" else "channel"):
        record = staged.record
        if name := record.username if isinstance(record, User) else record.name:
            known.setdefault(name, record.id)
        known[record.id] = record.id
    if missing := wanted - known.keys():
        raise _not_listed(option, missing)
    return Choice(list=frozenset(known[wish] for wish in wanted))
