"""The service's own memory, one SQLite file beside whatever destination is used."""

from pathlib import Path

from chatferry.store.attempts import WorkAttempts
from chatferry.store.binding import BindingTable
from chatferry.store.database import Database
from chatferry.store.fetches import AvatarAddresses, Fetches
from chatferry.store.handovers import Handovers
from chatferry.store.operations import Operations
from chatferry.store.part_cache import PartCache
from chatferry.store.parts import Parts
from chatferry.store.pauses import Pauses
from chatferry.store.pending_files import PendingFiles
from chatferry.store.problems import Problems
from chatferry.store.staging import Staging
from chatferry.store.uploads import Uploads


class Store:
    """The store at `path`, or one that is forgotten on closing. Any thread may use it."""

    def __init__(self, path: Path | None = None) -> None:
        self._database = Database(path)
        self.binding = BindingTable(self._database)
        self.operations = Operations(self._database)
        self.pauses = Pauses(self._database)
        self.staging = Staging(self._database)
        self.parts = Parts(self._database)
        self.part_cache = PartCache(self._database)
        self.handovers = Handovers(self._database)
        self.attempts = WorkAttempts(self._database)
        self.problems = Problems(self._database)
        self.pending_files = PendingFiles(self._database)
        self.uploads = Uploads(self._database)
        self.avatar_addresses = AvatarAddresses(self._database)
        self.fetches = Fetches(self._database)
        self.transaction = self._database.transaction
        self.checkpoint = self._database.checkpoint
        self.compact = self._database.compact

    def forget(self, operation_id: str) -> None:
        """Drop everything that was staged for an operation, and what became of it."""
        with self.transaction():
            self.staging.clear(operation_id)
            self.parts.clear(operation_id)
            self.problems.clear(operation_id)

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
