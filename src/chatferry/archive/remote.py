"""A file at a URL, read by ranges, without ever being downloaded whole.

The host in the operator's own words may be asked whatever its address. Where it redirects to is judged by the
rules of every download.
"""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from msgspec.structs import replace

from chatferry.archive.messages import AGAIN, MIB, fault
from chatferry.archive.streams import File
from chatferry.downloads import DEFAULT_RULES, Rules
from chatferry.errors import ArchiveError, SettingsError
from chatferry.redaction import without_secrets

if TYPE_CHECKING:
    import httpx

    from chatferry.downloads.failures import AttemptError
    from chatferry.downloads.network import Answer

_BLOCK = 4 * MIB  # bytes asked for at once: some 30,000 messages, longer in the making than on their way
_KEPT = 8  # blocks
_SCHEMES = ("s3://", "http://", "https://")
_SILENCE = 60  # seconds that a host may say nothing
_PAUSES = (0.5, 1, 2, 4)  # seconds before each further try
_CHANGED = "has changed while it was read"
_ONCE_MORE = "Import it again, and leave it alone until that is done."
_DOWNLOAD = "Download it first, and import the file."
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


def is_url(text: str) -> bool:
    """Whether an archive's place is a URL that can be read, and no path."""
    return text.lower().startswith(_SCHEMES)


def url_name(url: str) -> str:
    """What the file at a URL is called."""
    return unquote(urlsplit(url).path).rstrip("/").rpartition("/")[2] or "archive"


class RemoteFile(File):
    """`tag` is what the host calls this state of the file."""

    def __init__(self, url: str, rules: Rules = DEFAULT_RULES) -> None:
        shown = without_secrets(url)
        is_s3 = url.lower().startswith("s3:")
        self._remote: _Remote = _S3(url, shown, rules) if is_s3 else _Http(url, shown, rules)
        self.size = self._remote.size
        self.tag = self._remote.tag
        self._fetched = lru_cache(_KEPT)(self._remote.fetch)

    def blocks(self, offset: int, size: int) -> Iterator[bytes]:
        end = min(offset + size, self.size)
        while offset < end:
            first = offset - offset % _BLOCK
            block = self._fetched(first, min(first + _BLOCK, self.size))
            yield block[offset - first : end - first]
            offset = first + len(block)

    def close(self) -> None:
        self._remote.close()


class _Remote(Protocol):
    """Any thread may fetch, and gets all of the bytes from `start` to `end`, or ArchiveError."""

    size: int
    tag: str

    def fetch(self, start: int, end: int) -> bytes: ...
    def close(self) -> None: ...


class _Http:
    """A file on a web server. Every answer says whether the file is still the one that was opened."""

    def __init__(self, url: str, shown: str, rules: Rules) -> None:
        # here, because they take as long to load as a small import
        from chatferry.downloads.failures import AttemptError
        from chatferry.downloads.network import REAL, Network
        from chatferry.downloads.urls import accepted_url, origin_of

        self._shown = shown
        self._error = AttemptError
        try:
            rules = replace(rules, hosts=rules.hosts | {origin_of(url)}, idle_seconds=_SILENCE)
            self._url = accepted_url(url, rules)
        except AttemptError as error:
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
            except self._error as error:
                if pause is None or error.is_final:
                    raise self._unreadable(error) from None
            time.sleep(pause)
        raise AssertionError("the last try gives bytes or an error")

    def close(self) -> None:
        self._network.close()

    def _fetched(self, start: int, end: int) -> bytes:
        with self._answer({"Range": f"bytes={start}-{end - 1}"}) as answer:
            if answer.status == 416:
                raise self._fault(_CHANGED, _ONCE_MORE) if self.size else self._fault("is empty", AGAIN)
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
    def _answer(self, headers: dict[str, str]) -> "Iterator[Answer]":
        """Follow redirects to where the file is."""
        from chatferry.downloads.response_checks import location
        from chatferry.downloads.urls import next_url

        url = self._url
        for _ in range(self._rules.redirects + 1):
            with self._network.get(url, headers) as answer:
                target = location(answer.status, answer.headers)
                if target is None:
                    yield answer
                    return
            url = next_url(url, target, self._rules)
        raise self._error("the host redirects again and again", "Check the address", is_final=True)

    def _judge(self, answer: "Answer", start: int, end: int) -> None:
        """The answer holds the range that was asked for, of the file that was opened."""
        status = answer.status
        if status >= 400:
            may_pass = status in (408, 425, 429) or status >= 500
            raise self._error(f"its server answers {status}", "Check the address", is_final=not may_pass)
        range_ = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if status != 206 or not range_ or answer.headers.get("Content-Encoding"):
            raise self._fault(
                "cannot be read in pieces: its server does not answer requests for ranges",
                _DOWNLOAD,
            )
        first, last, size = map(int, range_.groups())
        tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
        if not self.size:
            self.size, self.tag = size, tag
        if (size, tag) != (self.size, self.tag):
            raise self._fault(_CHANGED, _ONCE_MORE)
        if (first, last) != (start, end - 1):
            raise self._fault("is sent in other pieces than asked for", _DOWNLOAD)

    def _unreadable(self, error: "AttemptError") -> ArchiveError:
        return self._fault(f"cannot be read ({error.why})", f"{error.remedy}.")

    def _fault(self, why: str, remedy: str) -> ArchiveError:
        return fault(self._shown, why, remedy)


def _proxy(url: "httpx.URL") -> str:
    """Return the proxy that the environment names for a URL; "" if none."""
    host = url.host
    return "" if proxy_bypass(host) else getproxies_environment().get(url.scheme, "")


class _S3:
    """An object in S3, or in what speaks its language. Each answer has to be of the state that was opened."""

    def __init__(self, url: str, shown: str, rules: Rules) -> None:
        try:
            import boto3
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError, ClientError
        except ModuleNotFoundError as error:
            raise SettingsError(
                f"{shown}: s3 needs the extra \"s3\": pip install 'chatferry[s3]'."
            ) from error
        self._shown = shown
        self._errors = (OSError, ValueError, BotoCoreError, ClientError)
        bucket, _, key = url.partition("://")[2].partition("/")
        self._object = {"Bucket": bucket, "Key": key}
        own = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        style = (
            {"addressing_style": "path"} if own else {}
        )  # servers of one's own have no host for each bucket
        retries = {"mode": "standard", "max_attempts": 5}
        try:
            self._client = boto3.client(
                "s3",
                config=Config(
                    connect_timeout=10,
                    read_timeout=_SILENCE,
                    retries=retries,
                    s3=style,
                    proxies=None if rules.proxies else {},  # None: those of the environment
                ),
            )
            head = self._client.head_object(**self._object)
        except self._errors as error:
            raise self._fault(error) from error
        self.size, self.tag = int(head["ContentLength"]), str(head.get("ETag", ""))

    def fetch(self, start: int, end: int) -> bytes:
        try:
            answer = self._client.get_object(
                **self._object, Range=f"bytes={start}-{end - 1}", IfMatch=self.tag
            )
            data: bytes = answer["Body"].read()
        except self._errors as error:
            raise self._fault(error) from error
        if len(data) != end - start:
            raise fault(self._shown, _CHANGED, _ONCE_MORE)
        return data

    def close(self) -> None:
        self._client.close()

    def _fault(self, error: Exception) -> ArchiveError:
        code = str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))
        if code in ("PreconditionFailed", "412", "InvalidRange", "416"):
            return fault(self._shown, _CHANGED, _ONCE_MORE)
        if code in ("NoSuchKey", "NoSuchBucket", "404"):
            return fault(self._shown, "does not exist", "Check bucket and key.")
        return fault(
            self._shown,
            f"cannot be read ({str(error).rstrip('.') or type(error).__name__})",
            "Check the credentials and the endpoint in the environment: AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL.",
        )
