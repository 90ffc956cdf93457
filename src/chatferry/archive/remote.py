"""A file at a URL, read by ranges, without ever being downloaded whole.

The host that the operator names may be asked whatever its address. Where it redirects to is judged by the
rules of every download.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Protocol
from urllib.parse import unquote, urlsplit

from chatferry.archive.streams import OffsetFile
from chatferry.downloads import DEFAULT_RULES, Rules
from chatferry.errors import SettingsError
from chatferry.extras import advice
from chatferry.redaction import without_secrets
from chatferry.sizes import MIB

SILENCE = 60  # seconds that a host may say nothing
CHANGED = "has changed while it was read"
ONCE_MORE = "Import it again, and leave it alone until that is done."
_BLOCK = 4 * MIB  # bytes asked for at once: some 30,000 messages, longer in the making than on their way
_KEPT = 8  # blocks
_SCHEMES = ("s3://", "http://", "https://")


def is_url(text: str) -> bool:
    """Return whether an archive's place is a URL that can be read, and no path."""
    return text.lower().startswith(_SCHEMES)


def url_name(url: str) -> str:
    """Return what the file at a URL is called."""
    return unquote(urlsplit(url).path).rstrip("/").rpartition("/")[2] or "archive"


class Remote(Protocol):
    """A file on another host. Any thread may fetch; it gets all bytes from `start` to `end`, or ArchiveError.

    tag  what the host calls this state of the file
    """

    size: int
    tag: str

    def fetch(self, start: int, end: int) -> bytes: ...
    def close(self) -> None: ...


class RemoteFile(OffsetFile):
    """A file at a URL, of which some blocks are kept. `tag` as in `Remote`."""

    def __init__(self, url: str, rules: Rules = DEFAULT_RULES) -> None:
        self._remote = _opened(url, rules)
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


def _opened(url: str, rules: Rules) -> Remote:
    """Open a URL. Both clients take as long to load as a small import, so they are imported here."""
    shown = without_secrets(url)
    if not url.lower().startswith("s3:"):
        from chatferry.archive.remote_http import HttpFile

        return HttpFile(url, shown, rules)
    try:
        from chatferry.archive.remote_s3 import S3Object
    except ModuleNotFoundError as error:
        raise SettingsError(advice(shown, "s3")) from error
    return S3Object(url, shown, rules)
