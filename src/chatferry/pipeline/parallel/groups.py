"""Groups of parts: what other processes take at once, here or on other machines, and what they need."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from threading import Lock
from typing import Any, Protocol, TypeVar

import msgspec
from msgspec import Struct

from chatferry.archive import Archive, Limits, open_archive
from chatferry.convert import Known
from chatferry.destinations import Destination, open_destination
from chatferry.downloads import DEFAULT_RULES, Rules
from chatferry.errors import ArchiveError, CancelledError
from chatferry.importers import IMPORTERS
from chatferry.pipeline.convert_parts import Batch, Pack, Share, convert_parts
from chatferry.pipeline.write_batches import write_batches
from chatferry.store.parts import NumberedPart

GROUP = 3000  # messages' work that a process takes at once, in whole parts
_AHEAD = 4  # groups that are looked ahead, to see the end coming
NOTICE = 0.2  # seconds after which a wish to stop is noticed

Group = list[NumberedPart]
"""Parts for one process."""
G = TypeVar("G")
"""What one process is given."""
Convert = Callable[[Iterable[NumberedPart]], Iterator[Batch]]
"""Reads and converts parts in this process."""


class Others(Protocol):
    """Other processes that work on the parts of one archive."""

    @property
    def peak_memory(self) -> float:
        """The most memory that they have held, all together, in MiB."""
        ...

    def write(
        self,
        parts: Iterable[NumberedPart],
        known: Known,
        destination: Destination,
        check: Callable[[], None],
        convert: Convert,
    ) -> Iterator[list[Share]]:
        """Bring the messages of parts to the destination; what became of each batch, in no set order.

        Batches of one part follow each other. `convert` may be used for some of them. Called once.
        Raises what `check` raises, ArchiveError, SettingsError or DestinationError if the destination cannot
        be used, and ProcessError if processes are lost.
        """
        ...


class Source(Struct, frozen=True):
    """Where records come from: an archive, by path or URL, and the key of the importer that reads it.

    `fingerprint` is what the archive had at its first reading, "" if this is that. `rules` are for URLs.
    """

    place: str
    limits: Limits
    name: str
    importer: str
    fingerprint: str = ""
    rules: Rules = DEFAULT_RULES

    def open(self) -> Archive:
        """Raises ArchiveError if the archive cannot be read, or is another than it was."""
        single = IMPORTERS[self.importer].single
        archive = open_archive(self.place if self.place else {}, self.limits, self.name, single, self.rules)
        if self.fingerprint and archive.fingerprint() != self.fingerprint:
            archive.close()
            raise ArchiveError(
                f"{archive.name} has changed since it was first read. "
                "Import it again, and leave it alone until that is done."
            )
        return archive


class Done(Struct):
    """What a group has become. `memory`: the most that `process` has held, in MiB."""

    made: list[Any]
    process: str
    memory: float


def grouped(parts: Iterable[NumberedPart]) -> Iterator[Group]:
    """Parts in groups, the last ones ever smaller: then no process is left alone with much to do."""
    source = iter(parts)
    ahead: deque[NumberedPart] = deque()
    work = 0  # in those
    while True:
        while work < _AHEAD * GROUP and (part := next(source, None)) is not None:
            ahead.append(part)
            work += _work_in(part)
        if not ahead:
            return
        rest = work - min(GROUP, work // _AHEAD)
        group: Group = []
        while ahead and work > rest:
            group.append(ahead.popleft())
            work -= _work_in(group[-1])
        yield group


def _work_in(part: NumberedPart) -> int:
    """In messages: a part costs something of its own."""
    return part.part.messages + 10


def work_on_groups(
    groups: Iterator[G],
    submit: Callable[[G], Future[Done]],
    running: dict[Future[Done], G],
    room: Callable[[], int],
    check: Callable[[], None],
    here: Callable[[G], Iterator[Any]] | None = None,
) -> Iterator[Done]:
    """What becomes of groups, `room` of them at a time; those of which nothing came yet are in `running`.

    As long as there are groups left and nothing to be waited for is ready, `here` takes one.
    """
    while True:
        while len(running) < room() and (group := next(groups, None)) is not None:
            try:
                running[submit(group)] = group
            except BaseException:
                running[Future()] = group
                raise
        if not running:
            return
        spare = next(groups, None) if here and not any(map(Future.done, running)) else None
        if here and spare is not None:
            yield Done([*here(spare)], "", 0)
        for future in wait(running, 0 if spare else NOTICE, FIRST_COMPLETED).done:
            done = future.result()
            del running[future]
            yield done
        check()


class Workplace:
    """What a process works with: an archive, destinations and what is known, opened once and kept.

    `known` gives what is known, encoded. `is_over` says whether to stop. Several threads may work here.
    """

    def __init__(self, source: Source, known: Callable[[], bytes], is_over: Callable[[], bool]) -> None:
        self._source = source
        self._read_known = known
        self._is_over = is_over
        self._opening = Lock()
        self._archive: Archive | None = None
        self._known: Known | None = None
        self._destinations: list[Destination] = []  # those that no thread has in hand

    def archive(self) -> Archive:
        with self._opening:
            if self._archive is None:
                self._archive = self._source.open()
                self._archive.before_read = self._go_on
            return self._archive

    def convert(self, group: Group, pack: Pack) -> Iterator[Batch]:
        """The messages of a group, ready to be written."""
        importer = IMPORTERS[self._source.importer]
        for batch in convert_parts(group, self._what_is_known(), importer, self.archive(), pack):
            self._go_on()
            yield batch

    def write(self, group: Group, address: str) -> Iterator[list[Share]]:
        """Convert a group and write it; a batch is written while the next is converted."""
        with self._destination(address) as destination:
            yield from write_batches(self.convert(group, destination.pack), destination, self._go_on)

    def close(self) -> None:
        """When nobody works here any more."""
        for destination in self._destinations:
            destination.close()
        if self._archive is not None:
            self._archive.close()

    def _what_is_known(self) -> Known:
        with self._opening:
            if self._known is None:
                self._known = msgspec.msgpack.decode(self._read_known(), type=Known)
            return self._known

    @contextmanager
    def _destination(self, address: str) -> Iterator[Destination]:
        """One that this thread has for itself."""
        try:
            destination = self._destinations.pop()
        except IndexError:
            destination = open_destination(address)
        try:
            yield destination
        finally:
            self._destinations.append(destination)

    def _go_on(self) -> None:
        if self._is_over():
            raise CancelledError("The import was stopped.")
