"""What has to be well for the server to be ready."""

import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from chatferry.destinations import Destination, Lookup
from chatferry.observing.readiness import Probe
from chatferry.settings import MIB, Settings
from chatferry.store import Store
from chatferry.worker import Worker

ROOM = 128 * MIB  # bytes that have to be free where the data directory is


def probes(
    store: Store,
    reading: Callable[[], AbstractContextManager[Destination]],
    worker: Worker,
    settings: Settings,
) -> Mapping[str, Probe]:
    """Return a probe for each thing that imports need, by its name."""

    def write() -> str:
        try:
            with store.transaction():  # nobody ever sees this
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
        return "" if shutil.disk_usage(settings.data).free >= ROOM else "is almost full"

    return {"store": write, "destination": ask, "worker": worker_runs, "disk": room}
