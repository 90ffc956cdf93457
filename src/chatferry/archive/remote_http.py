"""A file on a web server, read by ranges. Every answer says whether it is still the file that was opened."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import getproxies_environment, proxy_bypass

import httpx
from msgspec.structs import replace

from chatferry.archive.messages import AGAIN, fault
from chatferry.archive.remote import CHANGED, ONCE_MORE, SILENCE
from chatferry.downloads import Rules
from chatferry.downloads.failures import CHECK_ADDRESS
from chatferry.downloads.network import REAL, Answer, Network
from chatferry.downloads.response_checks import location
from chatferry.downloads.urls import accepted_url, next_url, origin_of
from chatferry.errors import ArchiveError, DownloadError

_PAUSES = (0.5, 1, 2, 4)  # seconds before each further try
_DOWNLOAD = "Download it first, and import the file."
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class HttpFile:
    """A `Remote` at an http or https URL. `shown` is the URL without secrets."""

    def __init__(self, url: str, shown: str, rules: Rules) -> None:
        self._shown = shown
        try:
            rules = replace(rules, hosts=rules.hosts | {origin_of(url)}, idle_seconds=SILENCE)
            self._url = accepted_url(url, rules)
        except DownloadError as error:
            raise self._unreadable(error) from None
        self._rules = rules
        self._network = Network(rules, REAL, lambda: None, _proxy(self._url) if rules.proxies else "")
        self.size, self.tag = 0, ""
        try:
            self.fetch(0, 1)
        except BaseException:
            self.close()
            raise

    def fetch(self, start: int, end: int) -> bytes:
        for pause in (*_PAUSES, None):
            try:
                return self._fetched(start, end)
            except DownloadError as error:
                if pause is None or error.is_final:
                    raise self._unreadable(error) from None
            time.sleep(pause)
        raise AssertionError("the last try gives bytes or an error")

    def close(self) -> None:
        self._network.close()

    def _fetched(self, start: int, end: int) -> bytes:
        with self._answer({"Range": f"bytes={start}-{end - 1}"}) as answer:
            if answer.status == 416:
                raise self._fault(CHANGED, ONCE_MORE) if self.size else self._fault("is empty", AGAIN)
            self._judge(answer, start, end)
            data = bytearray()
            for piece in answer.blocks:
                data += piece
                if len(data) > end - start:
                    break
        if len(data) != end - start:
            raise self._fault("is sent in another length than asked for", _DOWNLOAD)
        return bytes(data)

    @contextmanager
    def _answer(self, headers: dict[str, str]) -> Iterator[Answer]:
        """Follow redirects to the file."""
        url = self._url
        for _ in range(self._rules.redirects + 1):
            with self._network.get(url, headers) as answer:
                target = location(answer.status, answer.headers)
                if target is None:
                    yield answer
                    return
            url = next_url(url, target, self._rules)
        raise DownloadError("the host redirects again and again", CHECK_ADDRESS, is_final=True)

    def _judge(self, answer: Answer, start: int, end: int) -> None:
        """Raise unless the answer holds the range that was asked for, of the file that was opened."""
        status = answer.status
        if status >= 400:
            may_pass = status in (408, 425, 429) or status >= 500
            raise DownloadError(f"its server answers {status}", CHECK_ADDRESS, is_final=not may_pass)
        range_ = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if status != 206 or not range_ or answer.headers.get("Content-Encoding"):
            raise self._fault(
                "cannot be read in pieces: its server does not answer requests for ranges", _DOWNLOAD
            )
        first, last, size = map(int, range_.groups())
        tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
        if not self.size:
            self.size, self.tag = size, tag
        if (size, tag) != (self.size, self.tag):
            raise self._fault(CHANGED, ONCE_MORE)
        if (first, last) != (start, end - 1):
            raise self._fault("is sent in other pieces than asked for", _DOWNLOAD)

    def _unreadable(self, error: DownloadError) -> ArchiveError:
        return self._fault(f"cannot be read ({error.reason})", f"{error.remedy}.")

    def _fault(self, why: str, remedy: str) -> ArchiveError:
        return fault(self._shown, why, remedy)


def _proxy(url: httpx.URL) -> str:
    """Return the proxy that the environment names for a URL; "" if none."""
    host = url.host
    return "" if proxy_bypass(host) else getproxies_environment().get(url.scheme, "")
