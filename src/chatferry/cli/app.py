"""The command line: thin, every command calls the pipeline, the store or the server."""

import fcntl
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from msgspec.structs import replace

from chatferry import accounts, logs, private
from chatferry.archive import is_url, name_of, open_archive
from chatferry.cli import terminal
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
    TlsCertificate,
    TlsKey,
    Users,
    Where,
    Workers,
)
from chatferry.clock import now
from chatferry.destinations import Destination
from chatferry.destinations.memory import MemoryDestination
from chatferry.disks import is_away
from chatferry.documents import COLLECTIONS, Date
from chatferry.errors import ChatferryError, DestinationError, OriginError, SettingsError
from chatferry.ids import new_id
from chatferry.importers import IMPORTERS, PENDING_AVATARS, PENDING_FILES, Importer, detect, readers
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
    advance,
    may_pause,
    may_retry,
    retried,
)
from chatferry.origins import check_name
from chatferry.pipeline.background import run_operation
from chatferry.pipeline.binding import bound_destination, open_bound, open_to_look
from chatferry.pipeline.linking import settle_origin
from chatferry.pipeline.parallel.pools import Pools
from chatferry.pipeline.retention import clear_away, described, leftovers, remove
from chatferry.pipeline.steps import logged
from chatferry.pipeline.text_index import build_what_is_left
from chatferry.records import User
from chatferry.reports import operation as report
from chatferry.reports.inspection import inspect_archive
from chatferry.runtime import collect_rarely
from chatferry.settings import Settings, from_environment, is_loopback
from chatferry.store import Store

DONE, FAILED, USAGE, PARTLY, AWAY = 0, 1, 2, 3, 4
INTERRUPTED = 130  # by Ctrl-C, as Typer has it

app = typer.Typer(
    name="chatferry",
    help="Brings chat history into Rocket.Chat through Rocket.Chat's own import API.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
imports = typer.Typer(help="Import an export without a server.", no_args_is_help=True)
app.add_typer(imports, name="import")


def main() -> None:
    """Run a command; every error becomes a sentence and an exit code."""
    collect_rarely()
    logs.set_up(LogLevel.WARNING, LogFormat.TEXT)  # until a command's options say otherwise
    private.for_one_alone()
    try:
        app()
    except ChatferryError as error:
        terminal.complain(str(error))
        sys.exit(_exit_code(error))
    except SystemExit as end:
        if end.code == INTERRUPTED:
            terminal.complain("Stopped. The same command goes on where it was.")
        raise
    except OSError as error:
        terminal.complain(f"{error.filename or 'The system'}: {error.strerror or error}.")
        sys.exit(AWAY if is_away(error) else FAILED)


def _exit_code(error: ChatferryError) -> int:
    if isinstance(error, DestinationError):
        return AWAY
    return USAGE if isinstance(error, SettingsError | OriginError) else FAILED


# ---------------------------------------------------------------- serve


@app.command()
def serve(
    data: Data = Path("data"),
    host: Annotated[
        str, typer.Option("--host", envvar="CHATFERRY_HOST", help="Address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option("--port", envvar="CHATFERRY_PORT", help="Port; 0 picks a free one.", min=0, max=65535),
    ] = 3000,
    destination: Where = "",
    workers: Workers = None,
    cluster: ClusterAddress = "",
    text_index_last: TextIndexAtEnd = False,
    tls_cert: TlsCertificate = None,
    tls_key: TlsKey = None,
    log_level: LevelOfLog = None,
    log_format: FormatOfLog = LogFormat.TEXT,
    demo_: Annotated[
        bool,
        typer.Option(
            "--demo",
            envvar="CHATFERRY_DEMO",
            help="A throw-away workspace with the user, token and operations of Rocket.Chat's documentation.",
        ),
    ] = False,
) -> None:
    """Serve Rocket.Chat's import API."""
    from chatferry.cli.serve import serve_http

    logs.set_up(log_level or LogLevel.INFO, log_format)
    if demo_:
        if not is_loopback(host):
            raise SettingsError(f"--demo has a token that everybody knows: it cannot listen on {host}.")
        with tempfile.TemporaryDirectory(prefix="chatferry-demo-") as folder:
            settings = from_environment(
                data=Path(folder), host=host, port=port, tls_cert=tls_cert, tls_key=tls_key
            )
            serve_http(settings, is_demo=True)
        return
    settings = from_environment(
        data=data,
        host=host,
        port=port,
        destination=bound_destination(data, destination),
        workers=workers,
        cluster=cluster,
        text_index_last=text_index_last,
        tls_cert=tls_cert,
        tls_key=tls_key,
    )
    with _only_worker(settings):
        serve_http(settings, is_demo=False)


@contextmanager
def _only_worker(settings: Settings) -> Iterator[None]:
    """One process at a time works in a data directory."""
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


# ---------------------------------------------------------------- import


def _add_import(importer: Importer) -> None:
    """The command that imports with this importer."""

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
        export = _place(export, importer.wanted)
        with _workplace(settings, dry_run) as (store, workspace):
            operation = replace(
                _new_operation(importer, export, _starter(workspace, as_)),
                origin=check_name(origin),
                rewrite=rewrite,
                guests=guests,
            )
            store.operations.invalidate_all(operation.ts)
            store.operations.add(operation)
            if not dry_run:
                audit.record("import started", operation=operation.id, importer=importer.key, file=export)

            def choose(read: Operation) -> Operation:
                _settle_origin(read, importer, store, workspace)
                return _select(read, store, users, channels)

            operation = _imported(operation, store, workspace, settings, choose, as_json, log_level)
            sys.exit(_conclude(operation, store, as_json, every, dry_run))


for each in readers():
    _add_import(each)


def _imported(
    operation: Operation,
    store: Store,
    workspace: Destination,
    settings: Settings,
    choose: Callable[[Operation], Operation],
    quiet: bool,
    log_level: LogLevel | None,
) -> Operation:
    """The operation at its end; `choose` says what to import as soon as that is known."""
    helpers = Pools(settings, imports_at_once=True)
    with terminal.Display(quiet=quiet) as display, helpers:
        watch = logged(operation, display.show) if log_level else display.show
        work = partial(run_operation, watch=watch, helpers=helpers)
        operation = work(operation, store, workspace, settings)
        if operation.status == Status.SELECTION:
            operation = work(choose(operation), store, workspace, settings)
    return operation


@contextmanager
def _workplace(settings: Settings, dry_run: bool) -> Iterator[tuple[Store, Destination]]:
    """Where an import works: on the data directory, or, for a dry run, in memory laid over it."""
    if dry_run:
        exists = settings.destination or settings.workspace_path.exists()
        base = open_to_look(settings) if exists else None
        with Store() as store, closing(base) if base else nullcontext():
            laid_over: Destination = MemoryDestination(base, keep_messages=False)
            _open(laid_over, settings)
            yield store, laid_over
        return
    with _only_worker(settings), Store(settings.store_path) as store:
        workspace = open_bound(settings, store)
        try:
            terminal.welcome(_open(workspace, settings), settings.data)
            build_what_is_left(settings.destination_url, store)
            clear_away(store, settings, now(), is_idle=True)
            yield store, workspace
        finally:
            clear_away(store, settings, now(), is_idle=True)
            workspace.close()


def _open(workspace: Destination, settings: Settings) -> tuple[str, str] | None:
    return accounts.open_workspace(workspace, settings.server_database, os.environ, Date.at(now()))


def _place(export: str, wanted: str) -> str:
    """An archive's URL, or its path from the root, which is the same for other processes."""
    if is_url(export):
        return export
    if not Path(export).exists():
        raise SettingsError(f"{export} does not exist. Give the path of {wanted}.")
    return str(Path(export).resolve())


def _new_operation(importer: Importer, export: str, starter: str) -> Operation:
    moment = now()
    return Operation(
        id=new_id(),
        type=importer.name,
        importer_key=importer.key,
        ts=moment,
        status=Status.FILE_LOADED,
        valid=True,
        user=starter,
        updated_at=moment,
        file=name_of(export),
        archive=export,
    )


def _starter(workspace: Destination, username: str) -> str:
    """The id of the account in whose name the command line works; "" stands for the first administrator."""
    if username:
        return str(accounts.starter_named(workspace, username)["_id"])
    first = accounts.first_administrator(workspace)
    if first is None:
        raise SettingsError("This workspace has no active administrator. Give --as the name of a user.")
    return str(first["_id"])


def _settle_origin(operation: Operation, importer: Importer, store: Store, workspace: Destination) -> None:
    """Refuse an export of which it cannot be told where it comes from."""
    try:
        settle_origin(operation, importer, store, workspace, now())
    except OriginError as error:
        raise SettingsError(f"{error} Give it with --origin.") from error


def _select(
    operation: Operation, store: Store, users: list[str] | None, channels: list[str] | None
) -> Operation:
    selection = Selection(
        users=_choice(users, "--users", store, operation),
        channels=_choice(channels, "--channels", store, operation),
        contacts=EVERYTHING,
    )
    started = advance(replace(operation, selection=selection), Status.IMPORTING, now())
    store.operations.save(started)
    return started


def _choice(wishes: list[str] | None, option: str, store: Store, operation: Operation) -> Choice:
    """The ids behind a list of ids and names."""
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


def _conclude(operation: Operation, store: Store, as_json: bool, every: bool, dry_run: bool) -> int:
    found = report.counts(operation, store)
    if as_json:
        terminal.print_raw(report.as_text(operation, store, every))
        if operation.error:
            terminal.complain(operation.error)
    else:
        _print_report(found, operation, store, every, dry_run)
    return exit_code(operation, found)


def _print_report(
    found: dict[str, Any], operation: Operation, store: Store, every: bool, dry_run: bool
) -> None:
    listed = store.problems.all(operation.id) if every else None
    terminal.print_report(found, store.problems.all(operation.id), listed, operation, dry_run)


def exit_code(operation: Operation, found: dict[str, Any]) -> int:
    if operation.status != Status.DONE:
        return AWAY if operation.waiting_for else FAILED
    kinds = ("users", "contacts", "rooms", "messages", "files")
    return PARTLY if any(found[kind]["failed"] for kind in kinds) else DONE


def print_json(value: object) -> None:
    terminal.print_raw([json.dumps(value, ensure_ascii=False, indent=2) + "\n"])


# ---------------------------------------------------------------- files


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
    with _workplace(settings, dry_run=False) as (store, workspace):
        found: dict[str, dict[str, Any]] = {}
        code = DONE
        starter = _starter(workspace, as_)
        for name, key in (("files", PENDING_FILES), ("avatars", PENDING_AVATARS)):
            operation = _fetched(key, starter, store, workspace, settings, as_json, log_level)
            found[name] = report.as_json(operation, store, every)
            if operation.count.total and not as_json:
                _print_report(found[name], operation, store, every, False)
            if operation.error and as_json:
                terminal.complain(operation.error)
            code = max(code, exit_code(operation, found[name]), key=(DONE, PARTLY, FAILED).index)
    if as_json:
        print_json(found)
    elif not any(part["files"]["read"] for part in found.values()):
        terminal.say("Nothing is pending.")
    sys.exit(code)


def _fetched(
    key: str,
    starter: str,
    store: Store,
    workspace: Destination,
    settings: Settings,
    quiet: bool,
    log_level: LogLevel | None,
) -> Operation:
    """A new operation that fetched what is pending; one that was interrupted first takes its end."""
    from chatferry.pipeline.fetching.fetch_pending import new_operation

    operation = new_operation(key, new_id(), starter, store, workspace)
    store.operations.invalidate_all(operation.ts)
    store.operations.add(operation)
    audit.record("import started", operation=operation.id, importer=key)
    if operation.status == Status.DONE:
        return operation
    with terminal.Display(quiet=quiet) as display:
        watch = logged(operation, display.show) if log_level else display.show
        return run_operation(operation, store, workspace, settings, watch=watch)


# ---------------------------------------------------------------- purge


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
    with _only_worker(settings), Store(settings.store_path) as store:
        found = leftovers(store, settings, now(), is_idle=True, at_once=True, pending=pending_)
        for line in described(found, store):
            terminal.say(f"{'Would delete' if dry_run else 'Deleting'} {line}")
        if not found:
            terminal.say("There is nothing to delete.")
        if not dry_run:
            remove(store, found)
            store.compact()
            audit.record("purged", pending=pending_)


# ---------------------------------------------------------------- backup


@app.command("backup")
def backup_(
    folder: Annotated[Path, typer.Argument(help="The directory for the backup: a new one, or an empty one.")],
    data: Data = Path("data"),
) -> None:
    """Back up a data directory, also while a server or an import works there."""
    from chatferry.cli.backup import make_backup

    settings = from_environment(data=data)
    found = make_backup(settings, folder)
    audit.set_up(settings.audit_log)
    audit.record("backed up", to=folder.resolve())
    terminal.say(f"{folder} holds {found}, copied and checked.")
    if found.elsewhere:
        terminal.say(f"The documents are in {found.elsewhere}. Back that database up now.")


@app.command("restore")
def restore_(
    folder: Annotated[Path, typer.Argument(help="The directory of a backup.")],
    data: Data = Path("data"),
) -> None:
    """Bring a backup into an empty data directory."""
    from chatferry.cli import backup

    settings = from_environment(data=data)
    found = backup.restore(folder, settings)
    audit.set_up(settings.audit_log)
    audit.record("restored", of=folder.resolve())
    terminal.say(f"{data} holds {found}, copied and checked.")
    if found.elsewhere:
        terminal.say(f"The documents are in {found.elsewhere}: restore that database too, if need be.")


# ---------------------------------------------------------------- looking


@app.command()
def inspect(export: Export, as_json: AsJson = False) -> None:
    """Say what is inside an export and what of it would be lost, without writing anything."""
    settings = from_environment()
    place = _place(export, "an export: a zip file or a folder")
    with open_archive(place, settings.limits, single=True, rules=settings.downloads) as archive:
        found = inspect_archive(detect(archive), archive)
    if as_json:
        print_json(found.as_json())
    else:
        terminal.print_inspection(found)


@contextmanager
def _operation(id: str, data: Path) -> Iterator[tuple[Operation, Store]]:
    """An operation of a data directory, also while a server or another command works there."""
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


@app.command("report")
def report_(
    operation: OperationId = "",
    data: Data = Path("data"),
    as_json: AsJson = False,
    every: EveryProblem = False,
) -> None:
    """Show the counts and the problems of an operation, one problem per cause."""
    with _operation(operation, data) as (found, store):
        _conclude(found, store, as_json, every, dry_run=False)


@app.command()
def pause(operation: OperationId = "", data: Data = Path("data")) -> None:
    """Let an import that is running wait, whoever runs it; harmless to repeat."""
    with _operation(operation, data) as (found, store):
        _require_importing(found)
        store.pauses.add(found.id)
        audit.set_up(Settings(data=data).audit_log)
        audit.record("import paused", operation=found.id)
        terminal.say(f"Operation {found.id} is paused. Go on with: chatferry resume {found.id}")


@app.command()
def resume(operation: OperationId = "", data: Data = Path("data")) -> None:
    """Let an import that waits go on; harmless to repeat."""
    with _operation(operation, data) as (found, store):
        _require_importing(found)
        store.pauses.remove(found.id)
        audit.set_up(Settings(data=data).audit_log)
        audit.record("import resumed", operation=found.id)
        terminal.say(f"Operation {found.id} goes on.")


def _require_importing(operation: Operation) -> None:
    if not may_pause(operation):
        how = operation.status if operation.valid else "not valid any more"
        raise SettingsError(
            f"Operation {operation.id} is {how}. Only one that is importing can be paused or resumed."
        )


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
    """Take up an import that failed, where it stopped; --users and --channels count if none were chosen."""
    logs.set_up(log_level or LogLevel.WARNING, log_format)
    settings = from_environment(
        data=data,
        destination=bound_destination(data, destination),
        workers=workers,
        cluster=cluster,
        text_index_last=text_index_last,
    )
    with _operation(operation, data) as (found, _):
        _require_failed(found)
    with _workplace(settings, dry_run=False) as (store, workspace):
        again = _taken_up(found.id, store)

        def choose(read: Operation) -> Operation:
            _settle_origin(read, IMPORTERS[read.importer_key], store, workspace)
            return _select(read, store, users, channels)

        ended = _imported(again, store, workspace, settings, choose, as_json, log_level)
        sys.exit(_conclude(ended, store, as_json, every, False))


def _taken_up(operation_id: str, store: Store) -> Operation:
    with store.transaction():
        found = store.operations.get(operation_id)
        if found is None:
            raise SettingsError(f"There is no operation {operation_id}.")
        _require_failed(found)
        again = retried(found, now())
        store.operations.save(again)
    audit.record("import retried", operation=again.id)
    return again


def _require_failed(operation: Operation) -> None:
    if not may_retry(operation):
        how = (
            operation.status
            if operation.valid
            else "not valid any more: another took its place, or what was kept for it is gone"
        )
        raise SettingsError(f"Operation {operation.id} is {how}. Only one that failed can be taken up again.")


@app.command()
def token(
    user: Annotated[str, typer.Option("--user", envvar="CHATFERRY_USER", help="Username, e-mail or id.")],
    data: Data = Path("data"),
    destination: Where = "",
    as_json: AsJson = False,
) -> None:
    """Make a login token for a user; a new workspace gets its administrator first."""
    settings = from_environment(data=data, destination=bound_destination(data, destination))
    workspace = open_to_look(settings)
    try:
        terminal.welcome(_open(workspace, settings), settings.data)
        account = accounts.user_named(workspace, user)
        if account is None:
            raise SettingsError(f"There is no user {user} in this workspace.")
        audit.set_up(settings.audit_log)
        made = accounts.issue_token(workspace, account, Date.at(now()), settings.token_rules)
        audit.record("token made", user=account["_id"])
    finally:
        workspace.close()
    if as_json:
        print_json({"userId": account["_id"], "authToken": made})
    else:
        sys.stdout.write(f"X-User-Id: {account['_id']}\nX-Auth-Token: {made}\n")


@app.command()
def dump(
    collection: Annotated[str, typer.Argument(help=f"One of: {', '.join(COLLECTIONS)}.")],
    data: Data = Path("data"),
    destination: Where = "",
) -> None:
    """Print a collection's documents as JSON lines (relaxed Extended JSON)."""
    if collection not in COLLECTIONS:
        raise SettingsError(f"There is no collection {collection}. Choose one of: {', '.join(COLLECTIONS)}.")
    settings = from_environment(data=data, destination=bound_destination(data, destination))
    if not settings.destination and not settings.workspace_path.exists():
        raise SettingsError(f"{data} holds no workspace. Give the directory of the import with --data.")
    workspace = open_to_look(settings)
    try:
        if sys.stdout.isatty():
            terminal.print_raw(line.decode("utf-8", "replace") + "\n" for line in workspace.dump(collection))
        else:
            sys.stdout.buffer.writelines(line + b"\n" for line in workspace.dump(collection))
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough; what is still buffered goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        workspace.close()
