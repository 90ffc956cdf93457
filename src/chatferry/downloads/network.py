"""Connections: only to addresses that were checked, and never silent for long.

A name is resolved once for a connection, all its addresses are checked, and exactly these are connected to;
certificates are still those of the name. There are no proxies, no cookies and no automatic redirects.
"""

import logging
import re
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from socket import EAI_NODATA, EAI_NONAME, SOCK_STREAM, getaddrinfo
from typing import Any

import httpcore
import httpx
from msgspec import Struct
from msgspec.structs import replace

from chatferry.downloads import Rules
from chatferry.downloads.addresses import check_addresses, is_exempt
from chatferry.downloads.failures import AGAIN, CHECK_ADDRESS
from chatferry.downloads.response_checks import declared_length, too_many
from chatferry.downloads.urls import origin_of
from chatferry.errors import DownloadError

Resolve = Callable[[str, int], Sequence[str]]
Tick = Callable[[], None]

logging.getLogger("httpcore").setLevel(logging.INFO)  # below that it names headers, secrets included

_SLICE = 0.25  # seconds between two ticks while waiting for a byte
_NO_SUCH_NAME = {EAI_NODATA, EAI_NONAME}
_END_OF_HEAD = re.compile(rb"\n\r?\n")
_TELL_OWNER = "Tell the host's owner"


def resolve(host: str, port: int) -> list[str]:
    """Return all addresses of a name, in the resolver's order. Raise OSError or UnicodeError."""
    return list(dict.fromkeys(str(found[4][0]) for found in getaddrinfo(host, port, type=SOCK_STREAM)))


class World(Struct, frozen=True):
    """The world around downloads. `tls` is made when it is first needed."""

    resolve: Resolve = resolve
    sleep: Callable[[float], None] = time.sleep
    tls: Callable[[], ssl.SSLContext] = httpx.create_ssl_context


class Answer(Struct, frozen=True):
    """An answer. `blocks` are the bytes of the body as they come."""

    status: int
    headers: httpx.Headers
    blocks: Iterator[bytes]


REAL = World()


class Network:
    """Requests over connections that stay open for the next one. `tick` is called at least four times a
    second while waiting for bytes; what it raises ends the request."""

    def __init__(self, rules: Rules, outside: World, tick: Tick, proxy: str = "") -> None:
        if proxy:  # it looks up names itself, and is the operator's own
            rules = replace(rules, hosts=rules.hosts | {origin_of(proxy)})
        self._proxy = proxy
        self._backend = _Backend(rules, outside.resolve, tick)
        self._outside = outside
        self._pools: dict[str, httpcore.ConnectionPool] = {}
        self._timeouts = {
            "connect": rules.connect_seconds,
            "read": rules.idle_seconds,
            "write": rules.idle_seconds,
            "pool": rules.connect_seconds,
        }

    @contextmanager
    def get(self, url: httpx.URL, headers: Mapping[str, str]) -> Iterator[Answer]:
        """Give an answer whose body is still to be read. Raise DownloadError, also from within the block."""
        target = httpcore.URL(
            scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path or b"/"
        )
        sent = {"Host": url.netloc.decode("ascii"), "Accept": "*/*", "Accept-Encoding": "identity", **headers}
        try:
            with self._pool(url.scheme).stream(
                "GET", target, headers=list(sent.items()), extensions={"timeout": self._timeouts}
            ) as answer:
                found = httpx.Headers(answer.headers)
                yield Answer(answer.status, found, _blocks(answer, declared_length(found)))
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
            raise _fault(error) from None

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()

    def _pool(self, scheme: str) -> httpcore.ConnectionPool:
        if scheme not in self._pools:  # loading certificates takes longer than most downloads
            made = partial(httpcore.HTTPProxy, self._proxy) if self._proxy else httpcore.ConnectionPool
            self._pools[scheme] = made(
                ssl_context=self._outside.tls() if scheme == "https" else None,
                network_backend=self._backend,
                max_connections=4,
                keepalive_expiry=5,
            )
        return self._pools[scheme]


class _Backend(httpcore.NetworkBackend):
    """A backend that connects to the addresses of a name once all of them are checked."""

    def __init__(self, rules: Rules, resolve: Resolve, tick: Tick) -> None:
        self._rules = rules
        self._resolve = resolve
        self._tick = tick
        self._backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        failed: list[str] = []
        for address in self._addresses(host, port):
            self._tick()
            try:
                stream = self._backend.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed.append(_reason(error))
            else:
                return _TickingStream(stream, self._tick)
        raise DownloadError(f"no connection to {host}: {', '.join(dict.fromkeys(failed))}", AGAIN)

    def _addresses(self, host: str, port: int) -> Sequence[str]:
        self._tick()
        try:
            addresses = self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            if isinstance(error, UnicodeError) or error.errno in _NO_SUCH_NAME:
                raise DownloadError(f"there is no host {host}", CHECK_ADDRESS, is_final=True) from None
            raise DownloadError(f"the name {host} cannot be looked up right now", AGAIN) from None
        if not is_exempt(host, port, self._rules.hosts):
            check_addresses(host, addresses)
        return addresses


class _TickingStream(httpcore.NetworkStream):
    """A connection that calls `tick` while it waits for bytes, and counts the bytes of the latest answer."""

    def __init__(self, stream: httpcore.NetworkStream, tick: Tick) -> None:
        self._stream = stream
        self._tick = tick
        self._in_head = True
        self._head = b""
        self._body_size = 0

    def excess(self, length: int) -> int:
        """Return how many bytes have come beyond the answer's head and a body of this length."""
        return self._body_size - length

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        left = float("inf") if timeout is None else timeout
        while True:
            self._tick()
            try:
                block = self._stream.read(max_bytes, min(left, _SLICE))
                self._count(block)
                return block
            except httpcore.ReadTimeout:
                left -= _SLICE
                if left <= 0:
                    raise

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if buffer:  # the next request: what comes from now on answers it
            self._in_head, self._head, self._body_size = True, b"", 0
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        try:
            return _TickingStream(self._stream.start_tls(ssl_context, server_hostname, timeout), self._tick)
        except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
            cause = error.__cause__
            if isinstance(cause, ssl.SSLCertVerificationError):
                why = f"the certificate of {server_hostname} is not valid: {cause.verify_message}"
                raise DownloadError(why.rstrip("."), _TELL_OWNER, is_final=True) from None
            raise DownloadError(
                f"no encrypted connection to {server_hostname}: {_reason(error)}", AGAIN
            ) from None

    def _count(self, block: bytes) -> None:
        if not self._in_head:
            self._body_size += len(block)
            return
        self._head += block
        while self._in_head and (end := _END_OF_HEAD.search(self._head)):
            is_interim = self._head[:10] == b"HTTP/1.1 1"  # another head follows
            self._head = self._head[end.end() :]
            if not is_interim:
                self._in_head, self._body_size, self._head = False, len(self._head), b""

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _blocks(answer: httpcore.Response, declared: int | None) -> Iterator[bytes]:
    """Yield the body. Raise DownloadError if more bytes came than were declared.

    A connection is reused only if nothing can be left on it: the next answer would begin with the rest.
    """
    yield from answer.iter_stream()
    stream = answer.extensions["network_stream"]
    if declared is None:
        stream.close()
    elif stream.excess(declared):
        stream.close()
        raise too_many(declared)


def _reason(error: httpcore.NetworkError | httpcore.TimeoutException) -> str:
    """Return the system's words for an error: texts of the library may repeat what a host sent."""
    cause = error.__cause__
    if isinstance(error, httpcore.TimeoutException):
        return "no answer in time"
    if isinstance(cause, OSError) and cause.strerror and not isinstance(cause, ssl.SSLError):
        return cause.strerror.lower()
    return "the connection broke"


def _fault(error: Exception) -> DownloadError:
    if isinstance(error, httpcore.TimeoutException):
        return DownloadError("the host fell silent", AGAIN)
    if isinstance(error, httpcore.LocalProtocolError):
        return DownloadError("the request cannot be sent as it is", CHECK_ADDRESS, is_final=True)
    if isinstance(error, httpcore.RemoteProtocolError):
        return DownloadError("the connection broke, or the host does not speak HTTP", AGAIN)
    return DownloadError("the connection broke", AGAIN)
