"""The checks of readiness."""

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from chatferry.destinations import Destination, Lookup
from chatferry.disks import require_rest
from chatferry.errors import NoRoomError
from chatferry.observing.readiness import Probe
from chatferry.pipeline.background import BackgroundRunner
from chatferry.settings import Settings
from chatferry.store import Store


def probes(
    store: Store,
    reading: Callable[[], AbstractContextManager[Destination]],
    worker: BackgroundRunner,
    settings: Settings,
) -> Mapping[str, Probe]:
    """Return the probes by their names."""

    def write() -> str:
        try:
            with store.transaction():  # the row is never visible outside
                store.pauses.add("probe")
                store.pauses.remove("probe")
        except (OSError, sqlite3.Error):
            return "cannot be written"
        return ""

    def ask() -> str:
        with reading() as destination:
            destination.find(Lookup.PERMISSION_ID, ["run-import"])
        return ""

    def worker_runs() -> str:
        return "" if worker.is_alive else "does not run"

    def room() -> str:
        try:
            require_rest(settings.disks, settings.min_free)
        except NoRoomError:
            return "is almost full"
        return ""

    return {"store": write, "destination": ask, "worker": worker_runs, "disk": room}
