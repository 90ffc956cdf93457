"""What an operation is worked on with."""

import time
from collections.abc import Callable

from msgspec import Struct

from chatferry.archive import Archive
from chatferry.destinations import Destination
from chatferry.importers import Importer
from chatferry.operations import Operation
from chatferry.pipeline.parallel import PartWorkers
from chatferry.store import Store

Check = Callable[[], None]
"""Raises CancelledError when the work is to stop. Called at least after every batch and every file."""
Watch = Callable[[Operation], None]
"""Told of every step of an operation."""


class ImportContext(Struct, frozen=True):
    """What an operation is worked on with.

    start            starts workers for so many messages, if that is worth it
    clock            counts the seconds of work
    before_messages  called before messages are written
    after_messages   called when the last one is written
    """

    store: Store
    destination: Destination
    importer: Importer
    archive: Archive
    check: Check = lambda: None
    watch: Watch = lambda operation: None
    start: Callable[[int], PartWorkers | None] = lambda messages: None
    clock: Callable[[], float] = time.perf_counter
    before_messages: Callable[[], None] = lambda: None
    after_messages: Callable[[], None] = lambda: None
