"""A host of files on this machine, with every fault that hosts have."""

import random
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any

Answer = Callable[["Exchange"], None]

MIB = 1 << 20


class Exchange(BaseHTTPRequestHandler):
    """One request to the host, and the means to answer it well or badly."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "Server"

    def do_GET(self) -> None:
        host = self.server.host
        self.attempt = host.note(self)
        try:
            host.answers[self.path.partition("?")[0]](self)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            host.leave(self)

    do_HEAD = do_GET  # noqa: N815  (the name is the library's)

    def head(self, status: int = 200, **headers: object) -> None:
        """Status and headers; `content_length` stands for Content-Length."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-").title(), str(value))
        self.end_headers()

    def whole(self, data: bytes, status: int = 200, **headers: object) -> None:
        """An answer as it should be."""
        self.head(status, content_length=len(data), **headers)
        self.wfile.write(data)

    def ranged(self, data: bytes, etag: str = '"one"', until: int | None = None) -> None:
        """Answer with the requested bytes; the connection breaks at `until`."""
        start = 0
        asked = self.headers.get("Range", "")
        if asked and self.headers.get("If-Range") == etag:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            last = len(data) - 1
            self.head(
                206,
                etag=etag,
                content_length=len(data) - start,
                content_range=f"bytes {start}-{last}/{len(data)}",
            )
        else:
            self.head(200, etag=etag, content_length=len(data))
        self.wfile.write(data[start:until])
        if until is not None:
            self.cut()

    def cut(self) -> None:
        """Close the connection here and now."""
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def stall(self) -> None:
        """Say nothing more until the test is over."""
        self.wfile.flush()
        self.server.host.over.wait()
        self.close_connection = True

    def drip(self, data: bytes) -> None:
        """Send what there is a byte at a time, for ever."""
        while not self.server.host.over.wait(0.02):
            self.wfile.write(data)
        self.close_connection = True

    def endless(self) -> None:
        """Declare much, and send little for ever."""
        self.head(content_length=1 << 30)
        self.drip(b"\x89")

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    host: "FileHost"

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients that go away are part of the tests


class FileHost:
    """`answers` by path. `asked` are the requests so far: path and headers, in the order they came."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        self.over = Event()
        self.most_at_once = 0
        self._at_once = 0
        self._lock = Lock()
        self._server = Server(("127.0.0.1", 0), Exchange)
        self._server.host = self
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._scheme = "http" if tls is None else "https"
        self.port = int(self._server.server_address[1])
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str) -> str:
        return f"{self._scheme}://{self.name}{path}"

    def put(self, path: str, answer: Answer | bytes) -> str:
        """Answer requests for this path so; its URL."""
        self.answers[path] = (lambda to: to.whole(answer)) if isinstance(answer, bytes) else answer
        return self.url(path)

    def note(self, exchange: Exchange) -> int:
        """Which request for this path it is, from 1."""
        with self._lock:
            self.asked.append((exchange.path, dict(exchange.headers)))
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            return sum(path == exchange.path for path, _ in self.asked)

    def leave(self, exchange: Exchange) -> None:
        with self._lock:
            self._at_once -= 1

    def close(self) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def hosting(tls: ssl.SSLContext | None = None) -> Iterator[FileHost]:
    """A host for the length of a block."""
    host = FileHost(tls)
    try:
        yield host
    finally:
        host.close()


def noise(size: int, seed: int = 1) -> bytes:
    """Bytes that are no web page and cannot be packed."""
    return b"\x89" + random.Random(seed).randbytes(size - 1)


def ranges(
    data: Callable[[], bytes], etag: Callable[[], str] = lambda: '"one"'
) -> Callable[[Exchange], None]:
    """Return the answers of a server that supports ranges."""

    def answer(exchange: Exchange) -> None:
        content = data()
        first, last = exchange.headers["Range"].removeprefix("bytes=").split("-")
        start, end = int(first), min(int(last) + 1, len(content))
        if start >= len(content):
            exchange.head(416, content_length=0, content_range=f"bytes */{len(content)}")
            return
        exchange.head(
            206,
            etag=etag(),
            content_length=end - start,
            content_range=f"bytes {start}-{end - 1}/{len(content)}",
        )
        exchange.wfile.write(content[start:end])

    return answer
