"""Workers that convert parts, and write them where a destination takes that.

They are processes on this machine (`processes`) or on others (`cluster`); `pools` decides when they start.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from msgspec import Struct

from chatferry.convert import IdMap
from chatferry.destinations import Destination
from chatferry.pipeline.results import Batch, PartResult
from chatferry.store.parts import NumberedPart

ID_MAP_FILE = "known.msgpack"
"""Where workers on this machine find the id map, in the data directory."""


class PartsToWrite(Struct, frozen=True):
    """Parts, and what workers need to bring their messages to a destination.

    check    raises if the work is to stop
    convert  reads and converts parts in this process
    """

    parts: Iterable[NumberedPart]
    id_map: IdMap
    destination: Destination
    check: Callable[[], None]
    convert: Callable[[Iterable[NumberedPart]], Iterator[Batch]]


class PartWorkers(Protocol):
    """Other processes that work on the parts of one archive."""

    @property
    def peak_memory(self) -> float:
        """Return the most memory that the workers have held, all together, in MiB."""
        ...

    def write(self, wanted: PartsToWrite) -> Iterator[list[PartResult]]:
        """Bring the messages of parts to the destination; what became of each batch, in no set order.

        Batches of one part follow each other. `convert` may be used for some of them. Called once.
        Raises what `check` raises, ArchiveError, SettingsError or DestinationError if the destination cannot
        be used, and ProcessError if processes are lost.
        """
        ...


__all__ = ["ID_MAP_FILE", "PartWorkers", "PartsToWrite"]
