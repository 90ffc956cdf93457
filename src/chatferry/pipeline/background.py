"""Background work: one operation at a time; start, cancel, and going on after a crash."""

import logging
import threading
import traceback
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from queue import SimpleQueue

from chatferry import private
from chatferry.archive import name_of
from chatferry.clock import now
from chatferry.destinations import Destination, Lookup
from chatferry.destinations.throttled import throttled
from chatferry.disks import outage, require_reserve, require_rest
from chatferry.errors import CancelledError, ChatferryError, DestinationError, ProcessError
from chatferry.importers import IMPORTERS
from chatferry.logs import event
from chatferry.operations import (
    AT_REST,
    ENDS,
    Operation,
    Status,
    advance,
    failed,
    is_importing,
    is_preparing,
    place,
)
from chatferry.pipeline.binding import open_bound
from chatferry.pipeline.coordination import SoleImporter
from chatferry.pipeline.outage import FIRST_DELAY, LONGEST_DELAY, Outage
from chatferry.pipeline.parallel.archive_spec import ArchiveSpec
from chatferry.pipeline.parallel.pools import Pools
from chatferry.pipeline.pause import Pause
from chatferry.pipeline.retention import clear_away
from chatferry.pipeline.run import Check, Tools, Watch, prepare, run
from chatferry.pipeline.steps import logged
from chatferry.pipeline.text_index import TextIndexLast, build_what_is_left
from chatferry.settings import Settings
from chatferry.store import Store

LOG = logging.getLogger("chatferry.worker")
_FAULTS = 10  # in a row, none of them an outage, after which the worker gives up


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

    return _to_its_end(work, operation, store, settings, watch)


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
        tools = Tools(store, importer, archive, pause.check, watch, start, pause.clock, *around)
        if is_preparing(operation.status):
            archive.spread = helpers.for_reading(source, archive, pause.check)
            return prepare(operation, tools)
        own.callback(helpers.close)  # before the text index comes back: nobody writes any more
        return run(operation, tools, throttled(destination, settings.pace, pause.check))


def _go_on_downloading(settings: Settings, pause: Pause) -> None:
    pause.stop()
    require_reserve(settings.data, settings.min_free)


def _require_room(settings: Settings) -> None:
    require_rest(settings.disks, settings.min_free)


def _to_its_end(
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


class BackgroundRunner:
    """Works on operations in a thread of its own. The thread opens its own destination.

    What goes wrong beside the work on an operation, mostly with the store, is tried again and again, so that
    the thread does not end. `give_up` is called if it ends all the same.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        watch: Watch = lambda operation: None,
        give_up: Callable[[], None] = lambda: None,
    ) -> None:
        self._watch = watch
        self._store = store
        self._settings = settings
        self._give_up = give_up
        self._queue: SimpleQueue[str | None] = SimpleQueue()
        self._cancelled: set[str] = set()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)
        self._destination: Destination | None = None
        self._waiting = ("", "")  # an operation, and what it waits for
        self.has_given_up = False
        self._in_hand: str | None = None  # the operation that is worked on, or is to be taken up again

    @property
    def is_alive(self) -> bool:
        """Whether there is somebody to work on operations."""
        return self._thread.is_alive()

    @property
    def queue_length(self) -> int:
        """How many operations wait for their turn."""
        return self._queue.qsize()

    def start(self) -> None:
        """Begin, with what a crash interrupted."""
        self._thread.start()

    def waiting_for(self, operation_id: str) -> str:
        """Return what an operation waits for, also if that cannot be stored; "" for nothing."""
        id, reason = self._waiting
        return reason if id == operation_id else ""

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

    def _run(self) -> None:
        try:
            self._work()
        except _Closing:
            pass
        except BaseException:
            write_down(self._settings)
        if self._closing.is_set():
            return
        event(LOG, "the worker has ended, so chatferry ends too", logging.CRITICAL)
        self.has_given_up = True
        self._give_up()

    def _work(self) -> None:
        self._insist(lambda: build_what_is_left(self._settings.destination_url, self._store))
        self._insist(self._take_up)
        while not self._closing.is_set():
            self._insist(self._next)
        if self._destination is not None:
            self._destination.close()

    def _insist(self, work: Callable[[], None]) -> None:
        """Do something until it succeeds; what goes wrong is written down. Raises after many faults."""
        faults, delay = 0, FIRST_DELAY
        while True:
            try:
                return work()
            except (DestinationError, OSError) as error:
                event(LOG, "the worker waits", logging.WARNING, reason=error)
                faults += outage(error) is None
            except Exception:
                write_down(self._settings)
                faults += 1
            if faults >= _FAULTS:
                raise RuntimeError(f"the worker had {faults} faults in a row")
            if self._closing.wait(delay):
                raise _Closing
            delay = min(2 * delay, LONGEST_DELAY)

    def _take_up(self) -> None:
        """Go on with what a crash or a stop interrupted."""
        for operation in self._store.operations.unfinished():
            has_to_be_read = operation.archive and is_preparing(operation.status)
            if has_to_be_read or is_importing(operation.status):
                if operation.valid:
                    status = operation.status.value
                    event(LOG, "operation goes on after a stop", operation=operation.id, status=status)
                    self.wake(operation.id)
                else:  # it was cancelled, and the process died before the work on it took notice
                    self.cancel(operation.id)

    def _next(self) -> None:
        """Work on the next operation that there is something to do for."""
        self._in_hand = self._in_hand or self._queue.get()
        operation = self._store.operations.get(self._in_hand) if self._in_hand else None
        if operation is not None and operation.status not in ENDS | AT_REST:
            self._work_on(operation)
        self._in_hand = None

    def _work_on(self, operation: Operation) -> None:
        def check() -> None:
            if operation.id in self._cancelled:
                raise CancelledError("The operation was cancelled.")
            if self._closing.is_set():
                raise _Closing

        store, settings, watch = self._store, self._settings, logged(operation, self._note)

        def work() -> Operation:
            self._require_survival(operation)
            return run_operation(operation, store, self._opened(operation, check), settings, check, watch)

        try:
            with suppress(_Closing):  # the operation's status says where to go on
                _to_its_end(work, operation, store, settings, watch)
        finally:
            store.attempts.end(operation.id)
        if not self._closing.is_set():
            clear_away(store, settings, now())

    def _require_survival(self, operation: Operation) -> None:
        """Raise ProcessError if the process has died over an operation again and again at the same place."""
        attempts, most = self._store.attempts, self._settings.most_deaths
        if operation.waiting_for or self._store.pauses.has(operation.id):
            attempts.end(operation.id)  # nothing was being done when it died
        deaths = attempts.begin(operation.id, place(operation))
        if deaths >= most:
            ended, total = (operation.count.completed or 0), operation.count.total or 0
            raise ProcessError(
                f"chatferry died {deaths} times in a row at the same place of this operation, at "
                f"{operation.status} with {ended:,} of {total:,} records, mostly for want of memory. What "
                "was imported stays. See why in the system's log (journalctl -k, dmesg). Give chatferry more "
                "memory or less to do at once (CHATFERRY_WORKERS=0), then go on: "
                f"chatferry retry {operation.id}, or import.retry."
            )

    def _note(self, operation: Operation) -> None:
        self._waiting = operation.id, operation.waiting_for
        self._watch(operation)

    def _opened(self, operation: Operation, check: Check) -> Destination:
        """The destination; the operation waits for it as long as it is away."""
        if self._destination is None:
            open_ = partial(open_bound, self._settings, self._store)
            pause = Pause(self._store, operation.id, check)
            longest = self._settings.longest_outage
            waiting = Outage(operation, self._store, pause, longest, self._note, lambda: None)
            self._destination = waiting.outlast(lambda operation: open_())
        return self._destination


class _Closing(BaseException):
    """The process is ending. No Exception, so that nothing on the way takes it for a failure."""
