"""Running an operation: to its next rest, whatever its work is and whoever asks for it."""

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


def run_operation(
    operation: Operation,
    store: Store,
    destination: Destination,
    settings: Settings,
    check: Check = lambda: None,
    watch: Watch = lambda operation: None,
    helpers: Pools | None = None,
) -> Operation:
    """Fetch, prepare or import for an operation, whichever comes next for it, to its next rest.

    `check` raises if the work is to end. While the operation is paused, or the destination or room on a disk
    is away, the work waits. `helpers` outlive the work; without them those that it starts end with it.
    Returns it as it then is: waiting for its selection, done, failed (`error` says why) or cancelled. Raises
    DestinationError if that cannot be stored.
    """

    def work() -> Operation:
        index = TextIndexLast(operation.id, store, destination.address if settings.text_index_last else "")
        writes = destination.address if is_importing(operation.status) else ""
        sole = SoleImporter(operation.id, writes, store)

        def stop() -> None:
            check()
            sole.check()

        pause = Pause(store, operation.id, stop, index.rest, partial(_require_room, settings))

        def probe() -> None:
            destination.find(Lookup.USER_ID, ["-"])
            with SoleImporter(operation.id, writes, store):
                pass

        outage = Outage(operation, store, pause, settings.longest_outage, watch, probe)
        with index:
            return outage.outlast(
                lambda found: _once(
                    found, store, destination, settings, pause, outage.watch, helpers, index, sole
                )
            )

    return run_to_its_end(work, operation, store, settings, watch)


def _once(
    operation: Operation,
    store: Store,
    destination: Destination,
    settings: Settings,
    pause: Pause,
    watch: Watch,
    helpers: Pools | None,
    index: TextIndexLast,
    sole: SoleImporter,
) -> Operation:
    """Work on an operation, from where it stands to its next rest."""
    pause.check()
    # `fetching` is loaded when it is needed: its HTTP client takes as long to load as a small import.
    if operation.status == Status.IMPORTING_FILES:
        from chatferry.pipeline.fetching.fetch_pending import fetch_pending

        with sole:
            return fetch_pending(operation, store, destination, settings, pause, watch)
    if operation.status == Status.DOWNLOADING:
        from chatferry.pipeline.fetching.archives import download_archive

        operation = download_archive(operation, store, settings, partial(_go_on_downloading, settings, pause))
    importer = IMPORTERS[operation.importer_key]
    source = _source(operation, settings)
    with source.open() as archive, sole, ExitStack() as own:
        helpers = helpers or own.enter_context(Pools(settings))
        archive.before_read = pause.check
        start = partial(helpers.for_messages, source)
        around = index.drop, index.build
        slowed = throttled(destination, settings.pace, pause.check)
        context = ImportContext(
            store, slowed, importer, archive, pause.check, watch, start, pause.clock, *around
        )
        if is_preparing(operation.status):
            archive.spread = helpers.for_reading(source, archive, pause.check)
            return prepare(operation, context)
        own.callback(helpers.close)  # before the text index comes back: nobody writes any more
        return run(operation, context)


def _go_on_downloading(settings: Settings, pause: Pause) -> None:
    pause.stop()
    require_reserve(settings.data, settings.min_free)


def _require_room(settings: Settings) -> None:
    require_rest(settings.disks, settings.min_free)


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
    name = _shown_name(operation)
    return ArchiveSpec(
        operation.archive, settings.limits, name, operation.importer_key, fingerprint, settings.downloads
    )


def _shown_name(operation: Operation) -> str:
    """What the archive's owner calls it; uploads are kept under the id of their operation."""
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
