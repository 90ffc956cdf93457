"""Many files: several at once, few of one host at a time, the same one only once."""

from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from functools import cache
from threading import Event

import httpx
from msgspec import Struct
from msgspec.structs import replace

from chatferry.downloads import DEFAULT_RULES, Failed, Request, Rules
from chatferry.downloads.fetch_one import Check, Downloader
from chatferry.downloads.network import REAL, World
from chatferry.downloads.results_on_disk import Outcomes, Result, digest
from chatferry.downloads.urls import host_of
from chatferry.errors import CancelledError, DownloadError

LOOK_AHEAD = 256  # requests that may wait for their host to be free


def fetch_all(
    requests: Iterable[Request],
    rules: Rules = DEFAULT_RULES,
    check: Check = lambda: None,
    outside: World = REAL,
) -> Generator[Result, None, None]:
    """Yield one result for each request, as they finish. A download that fails stops no other.

    Requests that differ only in `key` and `path` are fetched once: all get the same result, with the path
    of the first. `check` is called from several threads; what it raises ends all downloads. Closing the
    iterator ends running downloads, too.
    """
    source = iter(requests)
    with ExitStack() as stack:
        outcomes = stack.enter_context(closing(Outcomes()))
        crew = stack.enter_context(closing(_Crew(rules, check, outside)))
        waiting: list[_Job] = []
        while True:
            while len(waiting) < LOOK_AHEAD and (request := next(source, None)):
                job = _Job(request, digest(request), _host(request.url))
                known = outcomes.get(job.digest)
                if known is None:
                    waiting.append(job)
                else:
                    yield _same(known, request)
            waiting = [job for job in waiting if not crew.start(job)]
            if not crew.is_busy:
                return
            for job, result in crew.finished():
                outcomes.put(job.digest, result)
                yield result
                yield from (_same(result, other.request) for other in waiting if other.digest == job.digest)
                waiting = [other for other in waiting if other.digest != job.digest]


class _Job(Struct, frozen=True):
    request: Request
    digest: bytes
    host: str


class _Crew:
    def __init__(self, rules: Rules, check: Check, outside: World) -> None:
        self._rules = rules
        self._stopped = Event()
        shared = replace(outside, tls=cache(outside.tls))
        self._idle = [Downloader(rules, self._stop_or(check), shared) for _ in range(rules.parallel)]
        self._all = tuple(self._idle)
        self._threads = ThreadPoolExecutor(rules.parallel, "download")
        self._running: dict[Future[Result], tuple[_Job, Downloader]] = {}
        self._hosts: Counter[str] = Counter()

    @property
    def is_busy(self) -> bool:
        return bool(self._running)

    def start(self, job: _Job) -> bool:
        """Begin with a job if somebody is idle, its host is not too busy, and nobody does the same."""
        if not self._idle or self._hosts[job.host] >= self._rules.per_host:
            return False
        if any(running.digest == job.digest for running, _ in self._running.values()):
            return False
        downloader = self._idle.pop()
        self._hosts[job.host] += 1
        self._running[self._threads.submit(_result, downloader, job.request)] = (job, downloader)
        return True

    def finished(self) -> Iterator[tuple[_Job, Result]]:
        """Wait until at least one job is done. Raises what `check` has raised."""
        done, _ = wait(self._running, return_when=FIRST_COMPLETED)
        for future in done:
            job, downloader = self._running.pop(future)
            self._idle.append(downloader)
            self._hosts -= Counter([job.host])
            yield job, future.result()

    def close(self) -> None:
        """Stop all work and wait for its end."""
        self._stopped.set()
        self._threads.shutdown(cancel_futures=True)
        for downloader in self._all:
            downloader.close()

    def _stop_or(self, check: Check) -> Check:
        def stop_or_check() -> None:
            if self._stopped.is_set():
                raise CancelledError("The downloads were stopped.")
            check()

        return stop_or_check


def _result(downloader: Downloader, request: Request) -> Result:
    try:
        return downloader.fetch(request)
    except DownloadError as error:
        return Failed(
            key=request.key,
            url_without_secrets=error.url,
            reason=error.reason,
            remedy=error.remedy,
            is_final=error.is_final,
        )


def _same(result: Result, request: Request) -> Result:
    return replace(result, key=request.key)


def _host(url: str) -> str:
    try:
        return host_of(httpx.URL(url))
    except httpx.InvalidURL:
        return ""
