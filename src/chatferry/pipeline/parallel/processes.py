"""Processes on this machine that read and convert parts, so that all cores work.

They write too where a destination takes that from several at once; else this one writes what they make.
"""

import fcntl
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from functools import partial
from itertools import chain
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec

from chatferry import private
from chatferry.archive import Archive
from chatferry.errors import ProcessError
from chatferry.pipeline.convert_parts import Pack
from chatferry.pipeline.parallel import ID_MAP_FILE, PartsToWrite
from chatferry.pipeline.parallel.archive_spec import ArchiveSpec
from chatferry.pipeline.parallel.scheduling import NOTICE, Chunk, G, WorkResult, chunked, work_on_chunks
from chatferry.pipeline.parallel.worker_context import WorkerContext
from chatferry.pipeline.results import PartResult
from chatferry.pipeline.write_batches import write_batches
from chatferry.runtime import collect_rarely, peak_memory

Shared = TypeVar("Shared")
Item = TypeVar("Item")
Result = TypeVar("Result")

WORTH = 20_000  # messages; fewer are done before another process has started
WORTH_KEEPING = 13_000_000  # bytes of JSON, of about as many messages
WORTH_READING = 200_000_000  # bytes of JSON; less is read for the first time before others have been loaded
_NICENESS = 5  # with as many busy processes as there are cores, one that answers would wait for each step
_WAITING = 2  # groups that are at hand for whoever has done one, also while this process converts one itself
PIPE = 1 << 20  # bytes of results on their way; more takes privileges
_GRACE = 5.0  # seconds in which a pool is to notice that a worker has died
_LOSSES = 3  # times in a row that processes may be lost


def cores() -> int:
    """Return how many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


def worthwhile(wanted: int | None, messages: int) -> int:
    """Return how many processes to start for so many messages; `wanted` is the number asked for, or None."""
    if wanted is not None:
        return wanted
    return cores() if messages >= WORTH and cores() > 1 else 0


def worth_reading(wanted: int | None, archive: Archive, stay: bool = False) -> int:
    """Return how many processes to start to read an archive; they may `stay` for its import."""
    if stay and wanted is not None:
        return wanted
    size = sum(archive.size(name) for name in archive.names() if name.endswith(".json"))
    return worthwhile(wanted, WORTH) if size >= (WORTH_KEEPING if stay else WORTH_READING) else 0


class Processes:
    """`count` processes that work on one archive, from the beginning of a `with` to its end.

    `folder` is where they find what this process knows. `serving`: this process has calls to answer.
    """

    def __init__(self, count: int, source: ArchiveSpec, folder: Path, serving: bool = False) -> None:
        self._count = count
        self._source = source
        self._id_map = folder / ID_MAP_FILE
        self._serving = serving
        self._memory: dict[str, float] = {}
        self._processes = get_context("spawn")  # a fork would copy the locks that other threads hold
        self._stop = self._processes.Event()
        self._pool: ProcessPoolExecutor | None = None
        self._workers: list[BaseProcess] = []
        self._died: float | None = None  # when a worker was first seen dead

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    @property
    def peak_memory(self) -> float:
        """Return the most memory that the processes have held, all together, in MiB."""
        return sum(self._memory.values())

    def write(self, wanted: PartsToWrite) -> Iterator[list[PartResult]]:
        """Keep `PartWorkers.write`. This process converts too, unless it has something else to do."""
        with open(self._id_map, "wb", opener=private.opener) as file:
            file.write(msgspec.msgpack.encode(wanted.id_map))
        chunks, destination, check = chunked(wanted.parts), wanted.destination, wanted.check
        if destination.address:
            return self._work(partial(_write, destination.address), chunks, check)
        batches = self._work(partial(_convert, destination.pack), chunks, check, wanted.convert)
        return write_batches(batches, destination, check)

    def each(
        self,
        archive: Archive,
        check: Callable[[], None],
        work: Callable[[Archive, Shared, Item], Result],
        shared: Shared,
        items: Iterable[Item],
    ) -> Iterator[Result]:
        """Keep `archive.each(work, shared, items)`; raise what `check` raises, and ProcessError."""

        def run_locally(chunk: tuple[int, Item]) -> Iterator[tuple[int, Result]]:
            yield chunk[0], work(archive, shared, chunk[1])

        apply = partial(_apply, work, pickle.dumps(shared))
        found: dict[int, Result] = {}
        expected = 0
        for number, result in self._work(apply, enumerate(items), check, run_locally):
            found[number] = result
            while expected in found:
                yield found.pop(expected)
                expected += 1

    def _work(
        self,
        work: Callable[[G], WorkResult],
        chunks: Iterator[G],
        check: Callable[[], None],
        run_locally: Callable[[G], Iterator[Any]] | None = None,
    ) -> Iterator[Any]:
        """Yield what `work` makes of chunks, in no set order."""
        running: dict[Future[WorkResult], G] = {}
        pool = self._pool or self._start()
        capacity = self._count + _WAITING
        losses = 0
        while True:
            submit = partial(_submit, pool, work)
            own = None if self._serving else run_locally

            def check_all(pool: ProcessPoolExecutor = pool) -> None:
                check()
                self._bury(pool)

            try:
                for done in work_on_chunks(chunks, submit, running, lambda: capacity, check_all, own):
                    losses = 0
                    self._memory[done.process] = done.memory
                    yield from done.made
                return
            except BrokenProcessPool as error:
                losses += 1
                if losses > _LOSSES:
                    raise ProcessError(
                        f"Processes of chatferry were ended from outside {losses} times, mostly for want of "
                        "memory. Import again with --workers 1, or with more memory."
                    ) from error
                pool.shutdown()
                _wait(1, check)  # whoever ended them may be about to end this one as well
                chunks = chain([*running.values()], chunks)
                running = {}
                pool = self._start()

    def _bury(self, pool: ProcessPoolExecutor) -> None:
        """Let a pool end that has not noticed the death of a worker.

        A worker that is killed while it writes a result leaves the pool reading the rest of it for ever, and
        other workers waiting for their turn to write.
        """
        if self._died is None and any(worker.exitcode is not None for worker in self._workers):
            self._died = time.monotonic()
        if self._died is not None and time.monotonic() - self._died > _GRACE:
            for worker in self._workers:
                worker.kill()
            with suppress(AttributeError, OSError):
                # The pool's own end of the pipe: without it and the workers the reader comes to an end.
                pool._result_queue._writer.close()  # type: ignore[attr-defined]  # private, as in `_widen`

    def _start(self) -> ProcessPoolExecutor:
        pool = self._pool = ProcessPoolExecutor(
            self._count,
            self._processes,
            _begin,
            (self._source, self._id_map, self._stop, _NICENESS if self._serving else 0),
        )
        _widen(pool)
        # Ctrl-C reaches all processes of a command, and is for this one alone: others inherit the mask.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        before = active_children()
        try:
            for _ in range(self._count):
                pool.submit(_get_ready)  # a pool starts a process when there is something to do for it
        except (BrokenProcessPool, OSError) as error:
            # One has died already: whoever gives work to the pool is told, and counts. The OSError of a pool
            # that breaks just now, "handle is closed", has no number.
            if getattr(error, "errno", None) is not None:
                raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        self._workers = [worker for worker in active_children() if worker not in before]
        self._died = None
        return pool

    def _end(self) -> None:
        self._stop.set()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._id_map.unlink(missing_ok=True)


def _widen(pool: ProcessPoolExecutor) -> None:
    """Enlarge the pipe of results, so that workers do not block on each 64 KiB."""
    # Nothing is lost where this is not Linux, there is no room, or Python has other names for these things.
    with suppress(AttributeError, OSError):
        reader = pool._result_queue._reader  # type: ignore[attr-defined]  # private: there is no other way
        fcntl.fcntl(reader.fileno(), fcntl.F_SETPIPE_SZ, PIPE)


def _submit(pool: ProcessPoolExecutor, work: Callable[[G], WorkResult], chunk: G) -> Future[WorkResult]:
    return pool.submit(work, chunk)


def _wait(seconds: float, check: Callable[[], None]) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        check()
        time.sleep(NOTICE)


# ---------------------------------------------------------------- in the other processes


class _Worker:
    context: WorkerContext
    shared: tuple[bytes, Any] = (b"", None)  # the last that was sent, and what it is


def _begin(source: ArchiveSpec, id_map: Path, stop: Event, niceness: int) -> None:
    if (parent := parent_process()) is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    collect_rarely()
    os.nice(niceness)
    _Worker.context = WorkerContext(source, id_map.read_bytes, stop.is_set)


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def _get_ready() -> None:
    _Worker.context.archive()


def _apply(work: Callable[[Archive, Any, Any], Any], shared: bytes, chunk: tuple[int, Any]) -> WorkResult:
    if _Worker.shared[0] != shared:
        _Worker.shared = shared, pickle.loads(shared)
    number, item = chunk
    return _done([(number, work(_Worker.context.archive(), _Worker.shared[1], item))])


def _convert(pack: Pack, chunk: Chunk) -> WorkResult:
    return _done(_Worker.context.convert(chunk, pack))


def _write(address: str, chunk: Chunk) -> WorkResult:
    return _done(_Worker.context.write(chunk, address))


def _done(made: Iterable[object]) -> WorkResult:
    return WorkResult([*made], str(os.getpid()), peak_memory())
