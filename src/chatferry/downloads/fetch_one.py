"""One file, with as many attempts as it takes and the rules allow."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import httpx

from chatferry.disks import is_full
from chatferry.downloads import DEFAULT_RULES, Downloaded, Request, Rules
from chatferry.downloads.failures import AGAIN, CHECK_ADDRESS
from chatferry.downloads.gzip_body import unpacked
from chatferry.downloads.network import REAL, Network, World
from chatferry.downloads.partial_file import Unfinished
from chatferry.downloads.response_checks import (
    HEAD,
    NOTHING,
    Accepted,
    Kept,
    check_end,
    check_head,
    check_size,
    judge,
    location,
    range_headers,
)
from chatferry.downloads.retries import count_failures, pause_before
from chatferry.downloads.urls import accepted_url, host_of, is_same_origin, next_url
from chatferry.errors import DownloadError, NoRoomError
from chatferry.redaction import without_secrets

Check = Callable[[], None]

_NAP = 0.25  # seconds between two looks at whether to stop


def fetch(
    request: Request, rules: Rules = DEFAULT_RULES, check: Check = lambda: None, outside: World = REAL
) -> Downloaded:
    """Fetch one file. Raise DownloadError, or what `check` raises, which is called again and again."""
    with closing(Downloader(rules, check, outside)) as downloader:
        return downloader.fetch(request)


def ask(
    request: Request, rules: Rules = DEFAULT_RULES, check: Check = lambda: None, outside: World = REAL
) -> None:
    """Raise DownloadError if the host would not give the file right now; fetch nothing of it."""
    with closing(Downloader(rules, check, outside)) as downloader:
        downloader.ask(request)


class Downloader:
    """A fetcher of one file after another, over connections that stay open. For one thread at a time."""

    def __init__(self, rules: Rules, check: Check, outside: World) -> None:
        self._rules = rules
        self._check = check
        self._outside = outside
        self._network = Network(rules, outside, self._tick)
        self._deadline = 0.0
        self._where = ""  # the address being asked, as messages show it

    def close(self) -> None:
        self._network.close()

    def fetch(self, request: Request) -> Downloaded:
        self._deadline = time.monotonic() + self._rules.total_seconds
        self._where = without_secrets(request.url)
        try:
            with Unfinished(request.path, self._where, resumable=request.resumable) as file:
                return self._persist(request, file)
        except DownloadError as fault:
            error = fault
        except OSError as failure:
            if is_full(failure):
                reason = failure.strerror or "the disk is full"
                raise NoRoomError(f"{request.path.parent}: {reason}. Make room.") from failure
            reason = f"the file cannot be written ({(failure.strerror or 'unknown reason').lower()})"
            error = DownloadError(reason, "Make room, or let chatferry write there")
        try:
            raise self._located(error)
        finally:
            del error  # its traceback holds this frame: a cycle for every file that fails

    def ask(self, request: Request) -> None:
        """Make one attempt that ends where the bytes begin. Raise DownloadError if none would be kept."""
        self._deadline = time.monotonic() + self._rules.total_seconds
        try:
            with self._answer(request, NOTHING):
                return
        except DownloadError as error:
            self._located(error)
            raise

    def _located(self, error: DownloadError) -> DownloadError:
        """Say where it failed, and drop what the error came of: that may hold secrets."""
        error.url, error.__context__ = self._where, None
        return error

    def _persist(self, request: Request, file: Unfinished) -> Downloaded:
        failures = 0
        while True:
            had = file.kept.size
            try:
                with self._answer(request, file.kept) as (body, blocks):
                    return self._take(request, file, body, blocks)
            except DownloadError as fault:
                if fault.is_stale:
                    file.discard()
                failures = count_failures(failures, file.kept.size - had)
                pause = pause_before(failures, fault.wait, self._rules, random.random())
                is_late = time.monotonic() + pause >= self._deadline
                if fault.is_final or is_late or failures >= self._rules.attempts:
                    raise
            self._pause(pause)

    @contextmanager
    def _answer(self, request: Request, kept: Kept) -> Iterator[tuple[Accepted, Iterator[bytes]]]:
        """Follow the request to its file. Yield the body: the missing rest, if some bytes are kept."""
        self._where = without_secrets(request.url)
        url = accepted_url(request.url, self._rules)
        headers = dict(request.headers)
        for _ in range(self._rules.redirects + 1):
            with self._network.get(url, {**headers, **range_headers(kept)}) as answer:
                target = location(answer.status, answer.headers)
                if target is None:
                    limit, now = self._rules.limit, time.time()
                    body = judge(answer.status, answer.headers, request, kept, limit=limit, now=now)
                    yield body, answer.blocks
                    return
            url, headers = self._follow(url, target, headers)
        raise DownloadError("the host redirects again and again", CHECK_ADDRESS, is_final=True)

    def _follow(
        self, url: httpx.URL, target: str, headers: dict[str, str]
    ) -> tuple[httpx.URL, dict[str, str]]:
        """Return where a redirect leads, and the headers that may go there."""
        following = next_url(url, target, self._rules)
        self._where = f"{self._where.partition(' -> ')[0]} -> {following.scheme}://{host_of(following)}"
        return following, headers if is_same_origin(url, following) else {}

    def _take(
        self, request: Request, file: Unfinished, body: Accepted, blocks: Iterator[bytes]
    ) -> Downloaded:
        version, limit = body.version, self._rules.limit
        file.begin(body)
        was_judged = False
        for block in unpacked(blocks) if body.is_gzip else blocks:
            self._tick()
            check_size(file.size + len(block), version.total, limit)
            file.add(block)
            if not was_judged and len(file.head) == HEAD:
                check_head(file.head, request, version.content_type)
                was_judged = True
        check_end(file.size, version.total)
        check_head(file.head, request, version.content_type)
        size, sha256 = file.size, file.sha256
        file.finish()
        return Downloaded(
            key=request.key, path=request.path, size=size, sha256=sha256, content_type=version.content_type
        )

    def _tick(self) -> None:
        """Stop if the caller or the clock says so."""
        self._check()
        if time.monotonic() >= self._deadline:
            raise DownloadError(f"it took longer than {self._rules.total_seconds:g} seconds", AGAIN)

    def _pause(self, seconds: float) -> None:
        while seconds > 0:
            self._tick()
            self._outside.sleep(min(seconds, _NAP))
            seconds -= _NAP
