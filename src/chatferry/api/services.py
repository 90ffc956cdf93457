"""The objects that endpoints share."""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from typing import Any

from anyio import CapacityLimiter
from msgspec import Struct

from chatferry.api.auth.attempts import LoginAttempts
from chatferry.api.auth.grants import Grants
from chatferry.api.auth.rate_limit import RateLimiter, neighbourhood
from chatferry.api.circuit_breaker import PAUSE, CircuitBreaker
from chatferry.api.probes import probes
from chatferry.api.streams import Streams
from chatferry.api.uploads.room import UploadRoom
from chatferry.destinations import Destination, is_server
from chatferry.documents import Document
from chatferry.errors import RequestError
from chatferry.observing.metrics import Metrics
from chatferry.observing.readiness import Readiness
from chatferry.observing.seldom import Seldom
from chatferry.pipeline.background import BackgroundRunner
from chatferry.pipeline.binding import open_bound
from chatferry.reports.pages import RecentReports
from chatferry.settings import Settings
from chatferry.store import Store

PATIENCE = 5.0  # seconds that a call waits for a destination's server
HASHING = 8  # calls at once that have passwords hashed; accounts.py says how many hashes at once
REPORTING = 2  # reports that are made at once
WAITING = 100  # calls that wait for hashing, or for reports; the last one waits some seconds


QUEUE_MOVES = 10  # seconds
TOO_MANY = (
    "Error, too many requests. Please slow down. You must wait {} seconds before trying this endpoint again. "
    "[error-too-many-requests]"
)


class Services:
    """The store, the background runner and the destination of a running server.

    unlisted           ids of operations that the list of latest operations leaves out
    uploading          ids of resumable uploads that are being written to
    limiter, attempts  rate limits of calls and log-ins; None if calls are not limited
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        worker: BackgroundRunner,
        unlisted: frozenset[str] = frozenset(),
        metrics: Metrics | None = None,
    ) -> None:
        self.settings = settings
        self.store = store
        self.worker = worker
        self.unlisted = unlisted
        self.limiter = RateLimiter() if settings.rate_limit else None
        self.attempts = LoginAttempts() if settings.rate_limit else None
        self.grants = Grants()
        self.refusals = Seldom()  # of log-ins of an account that were audited
        self.crowd = Crowd(settings.most_connections_of_one)
        self.streams = Streams()
        self.uploading: set[str] = set()
        self.upload_room = UploadRoom(settings.uploads, settings.min_free)
        self._workspace = _Shared(settings, store)
        self._read = self._workspace
        if not is_server(settings.destination_url):
            self._read = _Shared(settings, store)
        self.reports = RecentReports(store)
        self.metrics = metrics or Metrics(store)
        self.readiness = Readiness(probes(store, self.reading, worker, settings))

    @cached_property
    def large_bodies(self) -> CapacityLimiter:
        """Return the limit of large bodies: one at a time is in memory."""
        return CapacityLimiter(1)

    @cached_property
    def hashing(self) -> "Queue":
        """Return the queue for hashing passwords, which leaves threads for other calls."""
        return Queue(HASHING, WAITING)

    @cached_property
    def reporting(self) -> "Queue":
        """Return the queue for reports: problems of a large import are counted for some seconds."""
        return Queue(REPORTING, WAITING)

    def destination(self) -> AbstractContextManager[Destination]:
        """Return the destination for writing. A writer may have to wait for the import."""
        return self._workspace.taken()

    def reading(self) -> AbstractContextManager[Destination]:
        """Return the destination for reading. A reader never waits for writers."""
        return self._read.taken()

    def close(self) -> None:
        self.worker.close()
        self._workspace.close()
        if self._read is not self._workspace:
            self._read.close()
        self.store.close()


class Crowd:
    """A limit on concurrent calls of an address, also behind a proxy. Use it in the event loop only."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._calls = Counter[str]()

    @contextmanager
    def one_more(self, address: str) -> Iterator[None]:
        """Count a call while it is answered, or refuse it."""
        caller = neighbourhood(address)
        if self._calls[caller] >= self._most:
            raise RequestError(
                f"{self._most} calls from this address are being answered. Wait for one of them.", status=429
            )
        self._calls[caller] += 1
        try:
            yield
        finally:
            self._calls[caller] -= 1
            if not self._calls[caller]:
                del self._calls[caller]


class Queue:
    """A limit on calls that run, and on calls that wait to run. Use it in the event loop only."""

    def __init__(self, at_once: int, waiting: int) -> None:
        self.turns = CapacityLimiter(at_once)
        self._places = at_once + waiting

    @contextmanager
    def place(self) -> Iterator[None]:
        """Take a place in the queue, or refuse the call."""
        if not self._places:
            raise RequestError(TOO_MANY.format(QUEUE_MOVES), status=429)
        self._places -= 1
        try:
            yield
        finally:
            self._places += 1


class _Shared:
    """A destination that the first caller opens; one thread uses it at a time unless it takes several."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        has_server = is_server(settings.destination_url)
        self._turn: AbstractContextManager[object] = nullcontext() if has_server else threading.Lock()
        self._opening = threading.Lock()
        self._breaker = CircuitBreaker(PAUSE if has_server else 0.0)  # a file on the disk is not waited for
        self._destination: Destination | None = None

    @contextmanager
    def taken(self) -> Iterator[Destination]:
        self._breaker.check()
        with self._turn, self._breaker.watched():
            yield self._opened()

    def _opened(self) -> Destination:
        if self._destination is None:
            with self._opening:
                if self._destination is None:
                    self._breaker.check()
                    self._destination = open_bound(self._settings, self._store, patience=PATIENCE)
        return self._destination

    def close(self) -> None:
        with self._opening:
            if self._destination is not None:
                self._destination.close()


class OperationAnswer(Struct, frozen=True):
    """The JSON of an answer, and the operation that the call began or continued: a header has its id."""

    json: dict[str, Any]
    operation: str


class Call(Struct, frozen=True, kw_only=True):
    """A checked request: the user with token and address, the parsed body and query, and the parameters in
    its path.
    """

    services: Services
    user: Document
    token: str
    body: dict[str, object]
    site: str
    query: Mapping[str, Any] = {}
    path: Mapping[str, str] = {}
    address: str = ""
