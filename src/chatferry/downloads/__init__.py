"""Bytes from other hosts. Apart from this package only `archive.remote_http` and `archive.remote_s3` ask a
host on the internet, for exports whose URL the command line was given.

Addresses in exports are hostile until shown otherwise: `urls` and `addresses` decide which may be asked,
`response_checks` which answers are kept, `retries` when to try again. `network` connects, `partial_file`
writes to the disk, `fetch_one` gets one file and `fetch_many` many.
"""

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from chatferry.sizes import MIB


class Rules(Struct, frozen=True, kw_only=True):
    """Limits of downloads.

    hosts            "name" or "name:port": may be reached whatever their addresses and ports
    limit            bytes of the largest file
    first_wait       seconds after the first attempt that failed; doubled after each further one
    longest_wait     seconds between two attempts at most
    connect_seconds  until a connection has failed
    idle_seconds     that a host may say nothing
    total_seconds    for one file with all its attempts
    proxies          an archive that the operator names by its URL comes through the proxies of the
                     environment; no other download does
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
    """A file to fetch.

    url          may hold secrets
    path         of the file when it is whole
    key          the caller's own name for it, which comes back with the result
    headers      may hold secrets; they go to the first host only
    only_images  whether the host must call it an image
    resumable    after a failure the bytes so far are kept beside `path`, in a folder with `.part` at its end,
                 and the next request for `path` continues from there
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
