"""What a worker keeps open from one chunk to the next."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

import msgspec

from chatferry.archive import Archive
from chatferry.convert import IdMap
from chatferry.destinations import Destination, open_destination
from chatferry.errors import CancelledError
from chatferry.importers import IMPORTERS
from chatferry.pipeline.convert_parts import Pack, convert_parts
from chatferry.pipeline.parallel.archive_spec import ArchiveSpec
from chatferry.pipeline.parallel.scheduling import Chunk
from chatferry.pipeline.results import Batch, PartResult
from chatferry.pipeline.write_batches import write_batches


class WorkerContext:
    """An archive, destinations and an id map, each opened once and kept. Several threads may use it."""

    def __init__(
        self, source: ArchiveSpec, read_id_map: Callable[[], bytes], is_over: Callable[[], bool]
    ) -> None:
        self._source = source
        self._read_id_map = read_id_map
        self._is_over = is_over
        self._opening = Lock()
        self._archive: Archive | None = None
        self._id_map: IdMap | None = None
        self._destinations: list[Destination] = []  # those that no thread has in hand

    def archive(self) -> Archive:
        with self._opening:
            if self._archive is None:
                self._archive = self._source.open(self._go_on)
            return self._archive

    def convert(self, chunk: Chunk, pack: Pack) -> Iterator[Batch]:
        """Yield the messages of a chunk, ready to be written."""
        importer = IMPORTERS[self._source.importer]
        for batch in convert_parts(chunk, self._what_is_known(), importer, self.archive(), pack):
            self._go_on()
            yield batch

    def write(self, chunk: Chunk, address: str) -> Iterator[list[PartResult]]:
        """Convert a group and write it; a batch is written while the next is converted."""
        with self._destination(address) as destination:
            yield from write_batches(self.convert(chunk, destination.pack), destination, self._go_on)

    def close(self) -> None:
        """Close the archive and the destinations. No thread may use them any more."""
        for destination in self._destinations:
            destination.close()
        if self._archive is not None:
            self._archive.close()

    def _what_is_known(self) -> IdMap:
        with self._opening:
            if self._id_map is None:
                self._id_map = msgspec.msgpack.decode(self._read_id_map(), type=IdMap)
            return self._id_map

    @contextmanager
    def _destination(self, address: str) -> Iterator[Destination]:
        """Yield a destination that no other thread uses meanwhile."""
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
