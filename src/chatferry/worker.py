"""Background work: one operation at a time; start, cancel, and going on after a crash."""

import logging
import threading
import traceback
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from queue import SimpleQueue

from msgspec.structs import replace

from chatferry import private
from chatferry.archive import name_of
from chatferry.binding import open_bound
from chatferry.coordination import SoleImporter
from chatferry.destinations import Destination
from chatferry.errors import CancelledError, ChatferryError
from chatferry.groups import Source
from chatferry.helpers import Helpers
from chatferry.importers import IMPORTERS
from chatferry.observing.logs import event
from chatferry.observing.steps import logged
from chatferry.operations import AT_REST, ENDS, Operation, Status, advance, is_importing, is_preparing
from chatferry.pause import Pause
from chatferry.pipeline import Check, Tools, Watch, now, prepare, run
from chatferry.retention import clear_away
from chatferry.settings import Settings
from chatferry.store import Store
from chatferry.text_index import TextIndexLast, build_what_is_left
from chatferry.throttle import throttled

LOG = logging.getLogger("chatferry.worker")


def work_on(
    operation: Operation,
    store: Store,
    destination: Destination,
    settings: Settings,
    check: Check = lambda: None,
    watch: Watch = lambda operation: None,
    helpers: Helpers | None = None,
) -> Operation:
    """Fetch, prepare or import for an operation, whichever comes next for it, to its next rest: never raises.

    `check` raises if the work is to end. While the operation is paused the work waits. `helpers` outlive the
    work; without them those that it starts end with it.
    Returns it as it then is: waiting for its selection, done, failed (`error` says why) or cancelled.
    """
    index = TextIndexLast(operation.id, store, destination.address if settings.text_index_last else "")
    writes = destination.address if is_importing(operation.status) else ""
    sole = SoleImporter(operation.id, writes, store)

    def stop() -> None:
        check()
        sole.check()

    pause = Pause(store, operation.id, stop, index.rest)
    # `fetching` is loaded when it is needed: its HTTP client takes as long to load as a small import.
    try:
        pause.check()
        if operation.status == Status.IMPORTING_FILES:
            from chatferry.fetching import fetch_pending

            with sole:
                return fetch_pending(operation, store, destination, settings, pause, watch)
        if operation.status == Status.DOWNLOADING:
            from chatferry.fetching.archives import download_archive

            operation = download_archive(operation, store, settings, check)
        importer = IMPORTERS[operation.importer_key]
        source = _source(operation, settings)
        with source.open() as archive, index, sole, ExitStack() as own:
            helpers = helpers or own.enter_context(Helpers(settings))
            archive.before_read = pause.check
            start = partial(helpers.for_messages, source)
            around = index.drop, index.build
            tools = Tools(store, importer, archive, pause.check, watch, start, pause.clock, *around)
            if is_preparing(operation.status):
                archive.spread = helpers.for_reading(source, archive, pause.check)
                return prepare(operation, tools)
            own.callback(helpers.close)  # before the text index comes back: nobody writes any more
            return run(operation, tools, throttled(destination, settings.pace, pause.check))
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


def _source(operation: Operation, settings: Settings) -> Source:
    fingerprint = "" if is_preparing(operation.status) else operation.fingerprint
    name = _shown_name(operation)
    return Source(
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
    ended = replace(advance(last, status, now()), error=error)
    store.operations.save(ended)
    return ended


def write_down(settings: Settings) -> Path:
    """Keep the details of the exception at hand, away from people but not lost; the file they are in."""
    LOG.error("something unforeseen happened; errors.log has the details", exc_info=True)
    log = settings.data / "errors.log"
    with suppress(OSError), open(log, "a", encoding="utf-8", opener=private.opener) as file:
        file.write(traceback.format_exc() + "\n")
    return log


class Worker:
    """Works on operations in a thread of its own. The thread opens its own destination."""

    def __init__(self, store: Store, settings: Settings, watch: Watch = lambda operation: None) -> None:
        self._watch = watch
        self._store = store
        self._settings = settings
        self._queue: SimpleQueue[str | None] = SimpleQueue()
        self._cancelled: set[str] = set()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="worker", daemon=True)

    def start(self) -> None:
        """Begin, with what a crash interrupted."""
        self._thread.start()
        for operation in self._store.operations.unfinished():
            has_to_be_read = operation.archive and is_preparing(operation.status)
            if has_to_be_read or is_importing(operation.status):
                if operation.valid:
                    status = operation.status.value
                    event(LOG, "operation goes on after a stop", operation=operation.id, status=status)
                    self.wake(operation.id)
                else:  # it was cancelled, and the process died before the work on it took notice
                    self.cancel(operation.id)

    @property
    def is_alive(self) -> bool:
        """Whether operations are worked on."""
        return self._thread.is_alive()

    @property
    def queue_length(self) -> int:
        """How many operations wait for their turn."""
        return self._queue.qsize()

    def wake(self, operation_id: str) -> None:
        """There is work to do on this operation."""
        self._queue.put(operation_id)

    def cancel(self, operation_id: str) -> None:
        """Stop working on an operation; it ends as cancelled, within a second if it is being worked on."""
        self._cancelled.add(operation_id)
        self._queue.put(operation_id)

    def close(self) -> None:
        """Stop where a restart can go on."""
        self._closing.set()
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout=30)

    def _work(self) -> None:
        build_what_is_left(self._settings.destination_url, self._store)
        destination: Destination | None = None
        while not self._closing.is_set():
            operation_id = self._queue.get()
            operation = self._store.operations.get(operation_id) if operation_id else None
            if operation is None or operation.status in ENDS | AT_REST:
                continue
            try:
                destination = destination or open_bound(self._settings, self._store)
                self._work_on(operation, destination)
            except ChatferryError as error:
                _end(self._store, operation, Status.FAILED, str(error))
        if destination is not None:
            destination.close()

    def _work_on(self, operation: Operation, destination: Destination) -> None:
        def check() -> None:
            if operation.id in self._cancelled:
                raise CancelledError("The operation was cancelled.")
            if self._closing.is_set():
                raise _Closing

        with suppress(_Closing):  # the operation's status says where to go on
            watch = logged(operation, self._watch)
            work_on(operation, self._store, destination, self._settings, check, watch)
            clear_away(self._store, self._settings, now())


class _Closing(BaseException):
    """The process is ending. No Exception, so that nothing on the way takes it for a failure."""
