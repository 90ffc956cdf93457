"""What the endpoints work with."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct

from chatferry.api.rate_limit import RateLimiter
from chatferry.destinations import Destination, open_destination
from chatferry.documents import Document
from chatferry.settings import Settings
from chatferry.store import Store
from chatferry.worker import Worker


class Services:
    """The store, the worker and the workspace behind a running server.

    `unlisted` holds ids of operations that the list of latest operations leaves out, `uploading` ids of
    resumable uploads that are being written to. `limiter` is None where calls are not limited.
    """

    def __init__(
        self, settings: Settings, store: Store, worker: Worker, unlisted: frozenset[str] = frozenset()
    ) -> None:
        self.settings = settings
        self.store = store
        self.worker = worker
        self.unlisted = unlisted
        self.limiter = RateLimiter() if settings.rate_limit else None
        self.uploading: set[str] = set()
        self._lock = threading.Lock()
        self._destination: Destination | None = None

    @contextmanager
    def destination(self) -> Iterator[Destination]:
        """The workspace, for one thread at a time."""
        with self._lock:
            if self._destination is None:
                self._destination = open_destination(self.settings.destination_url)
            yield self._destination

    def close(self) -> None:
        self.worker.close()
        with self._lock:
            if self._destination is not None:
                self._destination.close()
        self.store.close()


class Call(Struct, frozen=True, kw_only=True):
    """One request, checked and read: who calls (with which token), and with what."""

    services: Services
    user: Document
    token: str
    body: dict[str, object]
    site: str
