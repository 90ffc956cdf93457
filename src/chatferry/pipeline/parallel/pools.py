"""Other processes that help with an operation: when they are started, and how long they stay."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Self

from msgspec.structs import replace

from chatferry.archive import Archive, Spread
from chatferry.pipeline.parallel import PartWorkers
from chatferry.pipeline.parallel.archive_spec import ArchiveSpec
from chatferry.pipeline.parallel.processes import Processes, worth_reading, worthwhile
from chatferry.settings import Settings


class Pools:
    """Starts processes where they are worth it. They stay until `close`, or to the end of a `with`.

    `imports_at_once`: the import follows the first reading within the same `with`. Then both have the same
    processes, and these load while the archive's lists are read.
    """

    def __init__(self, settings: Settings, imports_at_once: bool = False) -> None:
        self._settings = settings
        self._stay = imports_at_once and not settings.cluster
        self._processes: Processes | None = None
        self._started = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers that were started; harmless to repeat."""
        self._started.close()
        self._processes = None

    def for_reading(self, source: ArchiveSpec, archive: Archive, check: Callable[[], None]) -> Spread | None:
        """Return processes that read an archive for the first time, if that is worth it."""
        count = worth_reading(self._settings.workers, archive, self._stay) if source.place else 0
        if not count:
            return None
        same = replace(source, fingerprint=archive.fingerprint())
        return partial(self._start(count, same).each, archive, check)

    def for_messages(self, source: ArchiveSpec, messages: int) -> PartWorkers | None:
        """Return workers for so many messages: a cluster, or as many processes as are wanted."""
        if not source.place or not messages:
            return None
        if self._processes and self._stay:
            return self._processes
        self._started.close()  # those of the first reading
        if self._settings.cluster:
            from chatferry.pipeline.parallel.cluster import Cluster

            return self._started.enter_context(Cluster(self._settings.cluster, source))
        count = worthwhile(self._settings.workers, messages)
        return self._start(count, source) if count else None

    def _start(self, count: int, source: ArchiveSpec) -> Processes:
        made = Processes(count, source, self._settings.data, self._settings.serving)
        self._processes = self._started.enter_context(made)
        return self._processes
