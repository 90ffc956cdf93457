"""Bytes from outside. No other module of chatferry asks a host on the internet for anything, but
`archive.remote_http` and `archive.remote_s3` for exports whose URL the command line was given.

Addresses in exports are hostile until shown otherwise: `urls` and `addresses` say what may be asked for,
`answers` what may be kept, `retries` when to try again. `network` connects,
`unfinished` writes to the disk, `one.fetch` gets one file and `many.fetch_all` many.
"""

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from chatferry.sizes import MIB


class Rules(Struct, frozen=True, kw_only=True):
    """What downloads keep to.

    `hosts` ("name" or "name:port") may be reached whatever their addresses and ports; `limit` is the largest
    file in bytes. `proxies`: an archive that the operator names by its URL comes through the proxies of the
    environment; nothing else does. `total_seconds` is for one file with all its attempts; `longest_wait`
    lies between two.
    """

    hosts: frozenset[str] = frozenset()
    limit: int = 100 * 1024 * MIB
    redirects: int = 5
    attempts: int = 5
    first_wait: float = 1
    longest_wait: float = 120
    connect_seconds: float = 10
    idle_seconds: float = 60
    total_seconds: float = 6 * 3600
    parallel: int = 8
    per_host: int = 4
    proxies: bool = False


DEFAULT_RULES = Rules()


class Request(Struct, frozen=True, kw_only=True):
    """A file to fetch to `path`. `key` is the caller's own name for it, and comes back with the result.

    `url` and `headers` may hold secrets; `headers` go to the first host alone. `mime` is what the export says
    about the file. `resumable`: after a failure what has come is kept beside `path`, in a folder with `.part`
    at its end, and the next request for `path` goes on from there.
    """

    url: str
    path: Path
    key: str = ""
    headers: Mapping[str, str] = {}
    mime: str = ""
    only_images: bool = False
    resumable: bool = False


class Downloaded(Struct, frozen=True, kw_only=True):
    """A file that is whole and lies at `path`. `sha256` in hex; `content_type` as the host sent it."""

    key: str
    path: Path
    size: int
    sha256: str
    content_type: str


class Failed(Struct, frozen=True, kw_only=True):
    """A file that could not be fetched. `is_final`: the same request cannot succeed later either."""

    key: str
    url_without_secrets: str
    reason: str
    remedy: str
    is_final: bool
