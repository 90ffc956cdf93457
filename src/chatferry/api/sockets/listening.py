"""The listening socket and uvicorn's protocol, with limits on connections."""

import asyncio
import errno
import os
import resource
import socket
import time
from collections import deque
from contextlib import suppress
from functools import partial
from typing import Any

import h11
import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from chatferry.api.sockets.connections import Connections, Peer

AT_ONCE = 50  # connections accepted before the event loop serves its other tasks
LINGERING = 20  # connections that were refused and are not closed yet
MOST_DESCRIPTORS = 65_536
OTHER_DESCRIPTORS = 100  # for databases, archives, pipes
_FULL = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_SWEEP = 1.0  # seconds


def _told(status: str, error: str) -> bytes:
    body = msgspec.json.encode({"success": False, "error": error})
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + body


_TOO_MANY = _told(
    "429 Too Many Requests", "There are too many connections. Close some, or try again in some seconds."
)
_TOO_SLOW = _told("408 Request Timeout", "The head of the request did not come in time. Send it again.")


def room_for_connections() -> int:
    """Raise the limit of file descriptors, and return how many connections it allows.

    A call may need a second descriptor, for a file.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # macOS allows less than it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return max(1, (soft - OTHER_DESCRIPTORS) // 2)


class Listener(socket.socket):
    """A listening socket that accepts a connection if the limits allow it, and closes it otherwise.

    Without descriptors asyncio would log a thousand tracebacks for one connection.
    """

    def __init__(self, family: int, connections: Connections, *, is_tls: bool = False) -> None:
        # The protocol is named: otherwise asyncio does not switch off Nagle's delay.
        super().__init__(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._connections = connections
        self._says = b"" if is_tls else _TOO_MANY
        self._accepted = 0
        self._refused: deque[socket.socket] = deque()
        self._spare = -1  # a descriptor to give up, so that a connection without one can be closed
        self._keep_spare()

    def accept(self) -> "tuple[AcceptedSocket, Any]":
        """Return the next admitted connection. BlockingIOError lets asyncio serve other sockets first."""
        while self._accepted < AT_ONCE:
            self._accepted += 1
            connection, address = self._next()
            accepted = AcceptedSocket(connection, self._connections)
            if self._connections.admit(address[0], accepted.fileno(), accepted, time.monotonic()):
                return accepted, address
            self._refuse(accepted)
        self._accepted = 0
        raise BlockingIOError

    def _next(self) -> tuple[socket.socket, Any]:
        try:
            return super().accept()
        except OSError as error:
            self._accepted = 0
            if error.errno not in _FULL:
                raise
            self._turn_away()
            raise BlockingIOError from error

    def _refuse(self, accepted: socket.socket) -> None:
        """Send the reason and close later: bytes that arrive after a close would lose the answer."""
        with suppress(OSError):
            accepted.setblocking(False)
            accepted.send(self._says)
            accepted.shutdown(socket.SHUT_WR)
        self._refused.append(accepted)
        if len(self._refused) > LINGERING:
            self._refused.popleft().close()

    def _turn_away(self) -> None:
        """Close a connection for which there is no descriptor: the system would offer it again and again."""
        self._connections.refused("no file descriptor is left: raise LimitNOFILE, or ulimit -n")
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1
            with suppress(OSError):
                super().accept()[0].close()
        self._keep_spare()

    def _keep_spare(self) -> None:
        if self._spare < 0:
            with suppress(OSError):
                self._spare = os.open(os.devnull, os.O_RDONLY)


class AcceptedSocket(socket.socket):
    """The socket of a connection; it reports its close. `served`: HTTP has begun on it."""

    def __init__(self, accepted: socket.socket, connections: Connections) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, accepted.detach())
        self._connections = connections
        self.served: Connection | None = None

    def unsent(self) -> int:
        return self.served.transport.get_write_buffer_size() if self.served else 0

    def end(self) -> None:
        if self.served:
            self.served.end()
        else:
            self.abort()

    def abort(self) -> None:
        if self.served:
            self.served.transport.abort()
        else:  # asyncio closes it at the end of its input
            with suppress(OSError):
                self.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        descriptor = self.fileno()
        super().close()
        if descriptor >= 0:
            self._connections.closed(descriptor)


class Connection(H11Protocol):
    """uvicorn's protocol; it reports the begin and the end of each call."""

    def __init__(
        self,
        connections: Connections,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limited = connections
        self._peer: Peer | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # it gets nothing but sockets
        super().connection_made(transport)
        self._peer = self._limited.at(transport.get_extra_info("socket").fileno())
        if self._peer is None:  # closed to make room
            transport.abort()
        elif isinstance(self._peer.line, AcceptedSocket):
            self._peer.line.served = self

    def handle_events(self) -> None:
        super().handle_events()
        self._note()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._note()

    def _note(self) -> None:
        is_busy = self.cycle is not None and not self.cycle.response_complete
        if self._peer is None or is_busy == self._peer.is_busy:
            return
        if is_busy:
            self._limited.busy(self._peer)
        else:
            self._limited.waits(self._peer, time.monotonic())

    def end(self) -> None:
        """Close the connection; if that has begun already, at once. Answer an incomplete head."""
        if self.transport.is_closing():
            self.transport.abort()
            return
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            self.transport.write(_TOO_SLOW)
        self.transport.close()


def protocol(connections: Connections) -> Any:
    """Return a factory of protocols, for uvicorn's setting `http`."""
    return partial(Connection, connections)


async def keep_sweeping(connections: Connections) -> None:
    while True:
        await asyncio.sleep(_SWEEP)
        connections.sweep(time.monotonic())
