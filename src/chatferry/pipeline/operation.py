"""Running an operation to its next rest: fetching, preparing or importing."""

import logging
import traceback
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

from chatferry import private
from chatferry.archive import name_of
from chatferry.clock import now
from chatferry.destinations import Destination, Lookup
from chatferry.destinations.throttled import throttled
from chatferry.disks import require_reserve, require_rest
from chatferry.errors import CancelledError, ChatferryError
from chatferry.importers import IMPORTERS
from chatferry.operations import (
    ENDS,
    Operation,
    Status,
    Summary,
    advance,
    failed,
    is_importing,
    is_preparing,
)
from chatferry.pipeline.context import Check, ImportContext, Watch
from chatferry.pipeline.coordination import SoleImporter
from chatferry.pipeline.outage import Outage
from chatferry.pipeline.parallel.archive_spec import ArchiveSpec
from chatferry.pipeline.parallel.pools import Pools
from chatferry.pipeline.pause import Pause
from chatferry.pipeline.prepare import prepare
from chatferry.pipeline.run import run
from chatferry.pipeline.text_index import TextIndexLast
from chatferry.settings import Settings
from chatferry.store import Store

LOG = logging.getLogger("chatferry.worker")


def run_operation(  # noqa: PLR0913  # a command gives what a server has at hand
    operation: Operation,
    store: Store,
    destination: Destination,
    settings: Settings,
    check: Check = lambda: None,
    watch: Watch = lambda operation: None,
    pools: Pools | None = None,
) -> Operation:
    """Fetch, prepare or import for an operation, whichever comes next for it, to its next rest.

    `check` raises if the work is to end. While the operation is paused, or the destination or room on a disk
    is away, the work waits. `pools` outlive the work; without them the workers that it starts end with it.
    Returns it as it then is: waiting for its selection, done, failed (`error` says why) or cancelled. Raises
    DestinationError if that cannot be stored.
    """
    run = _Run(operation, store, destination, settings, check, pools)
    return run_to_its_end(lambda: run.to_its_rest(watch), operation, store, settings, watch)


class _Run:
    """The work on an operation, to its next rest."""

    def __init__(
        self,
        operation: Operation,
        store: Store,
        destination: Destination,
        settings: Settings,
        check: Check,
        pools: Pools | None,
    ) -> None:
        self._operation = operation
        self._store = store
        self._destination = destination
        self._settings = settings
        self._check = check
        self._pools = pools
        indexed = destination.address if settings.text_index_last else ""
        self._index = TextIndexLast(operation.id, store, indexed)
        self._sole = self._sole_importer()
        self._pause = Pause(store, operation.id, self._stop, self._index.rest, self._require_room)

    def to_its_rest(self, watch: Watch) -> Operation:
        """Work until the operation rests; wait while something is away."""
        longest = self._settings.longest_outage
        outage = Outage(self._operation, self._store, self._pause, longest, watch, self._probe)
        with self._index:
            return outage.outlast(lambda operation: self._once(operation, outage.watch))

    def _once(self, operation: Operation, watch: Watch) -> Operation:
        store, settings, pause = self._store, self._settings, self._pause
        pause.check()
        # `fetching` is loaded when it is needed: its HTTP client takes as long to load as a small import.
        if operation.status == Status.IMPORTING_FILES:
            from chatferry.pipeline.fetching.fetch_pending import fetch_pending
            from chatferry.pipeline.fetching.run import FetchRun

            with self._sole:
                return fetch_pending(FetchRun(operation, store, self._destination, settings, pause, watch))
        if operation.status == Status.DOWNLOADING:
            from chatferry.pipeline.fetching.archives import download_archive

            operation = download_archive(operation, store, settings, self._go_on_downloading)
        return self._import(operation, watch)

    def _import(self, operation: Operation, watch: Watch) -> Operation:
        """Prepare or import."""
        pause, settings = self._pause, self._settings
        source = _source(operation, settings)
        with source.open(pause.check) as archive, self._sole, ExitStack() as own:
            pools = self._pools or own.enter_context(Pools(settings))
            context = ImportContext(
                store=self._store,
                destination=throttled(self._destination, settings.pace, pause.check),
                importer=IMPORTERS[operation.importer_key],
                archive=archive,
                check=pause.check,
                watch=watch,
                start=partial(pools.for_messages, source),
                clock=pause.clock,
                before_messages=self._index.drop,
                after_messages=self._index.build,
            )
            if is_preparing(operation.status):
                archive.spread = pools.for_reading(source, archive, pause.check)
                return prepare(operation, context)
            own.callback(pools.close)  # before the text index comes back: nobody writes any more
            return run(operation, context)

    def _sole_importer(self) -> SoleImporter:
        writes = self._destination.address if is_importing(self._operation.status) else ""
        return SoleImporter(self._operation.id, writes, self._store)

    def _stop(self) -> None:
        self._check()
        self._sole.check()

    def _probe(self) -> None:
        """Raise DestinationError while the destination is away, or another chatferry imports into it."""
        self._destination.find(Lookup.USER_ID, ["-"])
        with self._sole_importer():
            pass

    def _require_room(self) -> None:
        require_rest(self._settings.disks, self._settings.min_free)

    def _go_on_downloading(self) -> None:
        self._pause.stop()
        require_reserve(self._settings.data, self._settings.min_free)


def run_to_its_end(
    work: Callable[[], Operation], operation: Operation, store: Store, settings: Settings, watch: Watch
) -> Operation:
    """Return what the work makes of an operation; what it raises ends the operation."""
    try:
        return work()
    except CancelledError:
        operation = _end(store, operation, Status.CANCELLED, "")
    except ChatferryError as error:
        operation = _end(store, operation, Status.FAILED, str(error))
    except Exception as error:
        log = write_down(settings)
        what = str(error) or type(error).__name__
        operation = _end(
            store, operation, Status.FAILED, f"Something unforeseen happened: {what}. See {log}."
        )
    watch(operation)
    return operation


def _source(operation: Operation, settings: Settings) -> ArchiveSpec:
    fingerprint = "" if is_preparing(operation.status) else operation.fingerprint
    name = shown_name(operation)
    return ArchiveSpec(
        operation.archive, settings.limits, name, operation.importer_key, fingerprint, settings.downloads
    )


def shown_name(operation: Summary) -> str:
    """Return what the archive's owner calls it; uploads are kept under the id of their operation."""
    uploaded = (operation.file or "").partition(f"_{operation.user}_")[2]
    return uploaded or name_of(operation.archive)


def _end(store: Store, operation: Operation, status: Status, error: str) -> Operation:
    last = store.operations.get(operation.id) or operation
    if last.status in ENDS:
        return last
    moment = now()
    ended = failed(last, error, moment) if status == Status.FAILED else advance(last, status, moment)
    store.operations.save(ended)
    return ended


def write_down(settings: Settings) -> Path:
    """Keep the details of the exception at hand, away from people but not lost; the file they are in."""
    LOG.error("something unforeseen happened; errors.log has the details", exc_info=True)
    log = settings.data / "errors.log"
    with suppress(OSError), open(log, "a", encoding="utf-8", opener=private.opener) as file:
        file.write(traceback.format_exc() + "\n")
    return log
