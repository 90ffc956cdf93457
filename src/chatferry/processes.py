"""Processes that read and convert parts, so that all cores work.

They write too where a destination takes that from several at once; else this one writes what they make.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import chain
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from msgspec import Struct

from chatferry.archive import Archive, Limits, open_archive
from chatferry.batches import Batch, Pack, Share, convert_parts
from chatferry.convert import Known
from chatferry.destinations import Destination, open_destination
from chatferry.errors import CancelledError, ProcessError
from chatferry.importers import IMPORTERS
from chatferry.memory import collect_rarely, peak_memory
from chatferry.parts import write_batches
from chatferry.store.parts import NumberedPart

WORTH = 20_000  # messages; fewer are done before another process has started
GROUP = 3000  # messages that a process takes at once, in whole parts
_PARTS = 300  # parts that a process takes at once
_LOSSES = 3  # times in a row that processes may be lost
_NOTICE = 0.2  # seconds after which a wish to stop is noticed


def cores() -> int:
    """The cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


def worthwhile(wanted: int | None, messages: int) -> int:
    """How many processes to start for so many messages; `wanted` is the number asked for, if any was."""
    if wanted is not None:
        return wanted
    return cores() if messages >= WORTH and cores() > 1 else 0


class Source(Struct, frozen=True):
    """Where records come from: an archive, and the key of the importer that reads it."""

    path: Path
    limits: Limits
    name: str
    importer: str

    def open(self) -> Archive:
        return open_archive(self.path, self.limits, self.name, IMPORTERS[self.importer].single)


class _Group(Struct, frozen=True):
    """Parts for one process. The file `known` holds a `Known`."""

    parts: list[NumberedPart]
    known: Path


class _Done(Struct):
    """What a group has become. `memory`: the most that `process` has held, in MiB."""

    made: list[Any]
    process: int
    memory: float


class Processes:
    """`count` processes that work on parts of one archive, from the beginning of a `with` to its end.

    `folder` is where they find what this process knows.
    """

    def __init__(self, count: int, source: Source, folder: Path) -> None:
        self._count = count
        self._source = source
        self._known = folder / "known.msgpack"
        self._memory: dict[int, float] = {}
        self._processes = get_context("spawn")  # a fork would copy the locks that other threads hold
        self._stop = self._processes.Event()
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def peak_memory(self) -> float:
        """The most memory that the processes have held, all together, in MiB."""
        return sum(self._memory.values())

    def convert(
        self, parts: Iterable[NumberedPart], known: Known, pack: Pack, check: Callable[[], None]
    ) -> Iterator[Batch]:
        """The messages of parts in batches, in no set order; those of one part follow each other.

        Raises what `check` raises, ArchiveError, and ProcessError if processes are lost again and again.
        """
        return self._work(partial(_convert, pack), parts, known, check)

    def write(
        self, parts: Iterable[NumberedPart], known: Known, address: str, check: Callable[[], None]
    ) -> Iterator[list[Share]]:
        """Convert parts and write them to the destination at `address`; what became of each batch.

        Raises what `convert` raises, and SettingsError if the destination cannot be used.
        """
        return self._work(partial(_write, address), parts, known, check)

    def _work(
        self,
        work: Callable[[_Group], _Done],
        parts: Iterable[NumberedPart],
        known: Known,
        check: Callable[[], None],
    ) -> Iterator[Any]:
        self._known.write_bytes(msgspec.msgpack.encode(known))
        groups: Iterator[_Group] = (_Group(some, self._known) for some in _grouped(parts))
        running: dict[Future[_Done], _Group] = {}
        pool = self._pool or self._start()
        losses = 0
        while True:
            try:
                for done in self._run(pool, work, groups, running, check):
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
                groups = chain([*running.values()], groups)
                running = {}
                pool = self._start()

    def _run(
        self,
        pool: ProcessPoolExecutor,
        work: Callable[[_Group], _Done],
        groups: Iterator[_Group],
        running: "dict[Future[_Done], _Group]",
        check: Callable[[], None],
    ) -> Iterator[_Done]:
        """What becomes of the groups. Those of which nothing came yet are in `running`."""
        while True:
            while len(running) < 2 * self._count and (group := next(groups, None)) is not None:
                try:
                    running[pool.submit(work, group)] = group
                except BrokenProcessPool:
                    running[Future()] = group
                    raise
            if not running:
                return
            for future in wait(running, _NOTICE, FIRST_COMPLETED).done:
                done = future.result()
                del running[future]
                yield done
            check()

    def _start(self) -> ProcessPoolExecutor:
        pool = self._pool = ProcessPoolExecutor(
            self._count, self._processes, _begin, (self._source, self._stop)
        )
        # Ctrl-C reaches all processes of a command, and is for this one alone: others inherit the mask.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            for _ in range(self._count):
                pool.submit(_get_ready)  # a pool starts a process when there is something to do for it
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return pool

    def _end(self) -> None:
        self._stop.set()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._known.unlink(missing_ok=True)


def _grouped(parts: Iterable[NumberedPart]) -> Iterator[list[NumberedPart]]:
    group: list[NumberedPart] = []
    messages = 0
    for part in parts:
        group.append(part)
        messages += part.part.messages
        if messages >= GROUP or len(group) >= _PARTS:
            yield group
            group, messages = [], 0
    if group:
        yield group


def _wait(seconds: float, check: Callable[[], None]) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        check()
        time.sleep(_NOTICE)


# ---------------------------------------------------------------- in the other processes


class _Here:
    """What such a process works with."""

    source: Source
    stop: Event
    archive: Archive | None = None
    destination: Destination | None = None
    known: tuple[Path, Known] | None = None


def _begin(source: Source, stop: Event) -> None:
    if (parent := parent_process()) is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    collect_rarely()
    _Here.source = source
    _Here.stop = stop


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def _go_on() -> None:
    if _Here.stop.is_set():
        raise CancelledError("The import was stopped.")


def _archive() -> Archive:
    if _Here.archive is None:
        _Here.archive = _Here.source.open()
        _Here.archive.before_read = _go_on
    return _Here.archive


def _get_ready() -> None:
    _archive()


def _known(file: Path) -> Known:
    if _Here.known is None or _Here.known[0] != file:
        _Here.known = file, msgspec.msgpack.decode(file.read_bytes(), type=Known)
    return _Here.known[1]


def _destination(address: str) -> Destination:
    if _Here.destination is None:
        _Here.destination = open_destination(address)
    return _Here.destination


def _convert(pack: Pack, group: _Group) -> _Done:
    return _done(_batches(pack, group))


def _write(address: str, group: _Group) -> _Done:
    """A batch is written while the next is converted."""
    destination = _destination(address)
    return _done(write_batches(_batches(destination.pack, group), destination, _go_on))


def _batches(pack: Pack, group: _Group) -> Iterator[Batch]:
    importer = IMPORTERS[_Here.source.importer]
    for batch in convert_parts(group.parts, _known(group.known), importer, _archive(), pack):
        _go_on()
        yield batch


def _done(made: Iterable[object]) -> _Done:
    return _Done([*made], os.getpid(), peak_memory())
