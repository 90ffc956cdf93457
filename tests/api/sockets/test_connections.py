"""How many connections there may be, and for how long nothing may move on one."""

import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from chatferry.api.sockets.connections import ConnectionLimits, Connections
from tests.support.serving import PATIENCE, Server, answered, client, half_sent, login, serving, until

INFO = b"GET /api/info HTTP/1.1\r\nHost: x\r\n"


@contextmanager
def connected(
    server: Server, count: int, address: str = "127.0.0.1", send: bytes = b""
) -> Iterator[list[socket.socket]]:
    """Connections on which this much is sent."""
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(
                socket.create_connection(("127.0.0.1", server.port), PATIENCE, source_address=(address, 0))
            )
            for _ in range(count)
        ]
        for one in sockets:
            one.sendall(send)
        yield sockets


def is_closed(connection: socket.socket) -> bool:
    """Return whether the server has closed a connection. Bytes that it sent before are lost."""
    connection.setblocking(False)
    try:
        while connection.recv(1 << 16):
            pass
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def log(server: Server) -> str:
    return (server.data / "stderr").read_text()


# ---------------------------------------------------------------- how many


def test_silent_connections_keep_nobody_out(tmp_path: Path) -> None:
    """Callers of any address are served: the connection that is idle longest is closed."""
    limits = {"CHATFERRY_MAX_CONNECTIONS_PER_ADDRESS": "10", "CHATFERRY_MAX_CONNECTIONS": "30"}
    with serving(tmp_path, **limits) as server, ExitStack() as stack:
        silent = [
            stack.enter_context(connected(server, 20, f"127.0.0.{number}", INFO[:9]))
            for number in range(2, 8)
        ]
        with client(server) as http:
            assert http.get("../info").status_code == 200
        with connected(server, 1, "127.0.0.7", INFO + b"Connection: close\r\n\r\n") as (late,):
            assert answered(late).startswith(b"HTTP/1.1 200 ")
        until(lambda: sum(not is_closed(one) for few in silent for one in few) == 28)
        assert not is_closed(silent[-1][-1])
        assert "connections refused" not in log(server)


def test_one_address_has_so_many_calls_at_once(tmp_path: Path) -> None:
    limits = {"CHATFERRY_MAX_CONNECTIONS_PER_ADDRESS": "3", "CHATFERRY_MAX_CONNECTIONS": "5"}
    with serving(tmp_path, **limits) as server, login(server) as http, ExitStack() as stack:
        slow = [
            stack.enter_context(connected(server, 1, f"127.0.0.{number}", _login(9))) for number in (2, 3)
        ]
        half = [stack.enter_context(half_sent(server, http, b"{", "Content-Length: 9")) for _ in range(3)]
        for address in ("127.0.0.1", "127.0.0.4"):  # one has too many, and then there are too many in all
            with connected(server, 1, address) as (refused,):
                answer = answered(refused)
                for _ in range(3):  # a call that comes late makes nothing of that get lost
                    refused.sendall(INFO)
            assert answer.startswith(b"HTTP/1.1 429 ")
            assert b'{"success":false,"error":"There are too many connections.' in answer
        until(lambda: log(server).count("connections refused") == 2)
        half.pop().close()
        until(lambda: _is_answered(server))
        assert not any(is_closed(one) for one in [*half, slow[0][0], slow[1][0]])


def _login(length: int) -> bytes:
    return b"POST /api/v1/login HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n{" % length


def _is_answered(server: Server) -> bool:
    try:
        with connected(server, 1, send=INFO + b"\r\n") as (one,):
            return answered(one).startswith(b"HTTP/1.1 200 ")
    except ConnectionError:
        return False


def test_a_trusted_proxy_is_not_one_caller(tmp_path: Path) -> None:
    limits = {"CHATFERRY_MAX_CONNECTIONS_PER_ADDRESS": "3", "CHATFERRY_TRUSTED_PROXIES": "127.0.0.1"}
    with serving(tmp_path, **limits) as server, ExitStack() as stack:
        for number in range(3):
            stack.enter_context(connected(server, 3, send=_forwarded(f"192.0.2.{number}", _login(9))))
        with connected(server, 1, send=_forwarded("192.0.2.0", _login(2) + b"}")) as (one,):
            assert answered(one).startswith(b"HTTP/1.1 429 ")
        with connected(server, 1, send=_forwarded("192.0.2.9", _login(2) + b"}")) as (one,):
            assert answered(one).startswith(b"HTTP/1.1 401 ")


def _forwarded(address: str, request: bytes) -> bytes:
    return request.replace(b"Host: x", b"Host: x\r\nX-Forwarded-For: %b" % address.encode())


def test_no_descriptor_is_left(tmp_path: Path) -> None:
    """Somebody has taken them all: that is one line in the log, and passes."""
    with serving(tmp_path) as server:
        open_files = len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (open_files + 10, open_files + 10))
        with connected(server, 100, send=INFO) as silent:
            until(lambda: sum(map(is_closed, silent)) >= 85)
            until(lambda: "no file descriptor is left" in log(server))
        until(lambda: _is_answered(server))
        assert log(server).count("\n") < 10


def test_the_limit_of_descriptors_is_raised() -> None:
    """As far as may be, and there are no more connections than it allows."""
    script = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 300)); "
        "from chatferry.api.sockets.listening import room_for_connections; "
        "print(room_for_connections(), *resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["100", "300", "300"]


# ---------------------------------------------------------------- for how long


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that waits for a second."""
    settings = {"CHATFERRY_CONNECTION_WAIT_SECONDS": "1", "CHATFERRY_UPLOAD_SILENCE_SECONDS": "2"}
    with serving(tmp_path_factory.mktemp("hasty") / "data", **settings) as running:
        yield running


def test_idle_connections_are_closed(hasty: Server) -> None:
    """It is closed: before a call, after one, in the midst of a head, and where an answered call goes on."""
    refused = b"POST /api/v1/import.new HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n"
    beginnings = (b"", INFO + b"\r\n", INFO, refused)
    with ExitStack() as stack:
        unused, used, head, rest = (
            stack.enter_context(connected(hasty, 1, send=beginning))[0] for beginning in beginnings
        )
        half, slow = (stack.enter_context(connected(hasty, 1, send=sent))[0] for sent in (INFO, _login(9)))
        assert answered(rest).startswith(b"HTTP/1.1 401 ")
        until(lambda: is_closed(unused) and is_closed(used))
        until(lambda: is_refused(head, b"X-A: b\r\n") and is_refused(rest, b"x" * 100))
        told = answered(half)
        assert told.startswith(b"HTTP/1.1 408 ")
        assert told.endswith(b'"The head of the request did not come in time. Send it again."}')
        assert answered(slow).startswith(b"HTTP/1.1 408 ")


def is_refused(connection: socket.socket, more: bytes) -> bool:
    """Whether the server takes no more on a connection."""
    connection.setblocking(True)
    try:
        connection.sendall(more)
    except OSError:
        return True
    return is_closed(connection)


def test_an_upload_may_take_its_time(hasty: Server) -> None:
    """As long as something comes of it."""
    body = b'{"binaryContent": "QUJD", "contentType": "a", "fileName": "a", "importerKey": "slack"}'
    with login(hasty) as http, half_sent(hasty, http, body[:1], f"Content-Length: {len(body)}") as one:
        for place in range(1, len(body), 30):
            time.sleep(0.8)
            assert not is_closed(one)
            one.setblocking(True)
            one.sendall(body[place : place + 30])
        assert answered(one).startswith(b"HTTP/1.1 200 ")
        http.post("import.clear")


def test_a_caller_who_does_not_read_the_answer_is_disconnected(hasty: Server) -> None:
    with connected(hasty, 1) as (one,):
        one.setblocking(False)

        def is_over() -> bool:
            with suppress(BlockingIOError):
                one.send(b"GET /api/docs HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
            return False

        with pytest.raises(ConnectionError):
            until(is_over)


# ---------------------------------------------------------------- the decisions themselves


class Line:
    """A connection that exists in words only."""

    def __init__(self) -> None:
        self.waiting = 0
        self.fate = ""

    def unsent(self) -> int:
        return self.waiting

    def end(self) -> None:
        self.fate = "ended"

    def abort(self) -> None:
        self.fate = "aborted"


def test_the_connection_that_is_idle_longest_makes_room() -> None:
    connections = Connections(ConnectionLimits(connections=3, per_address=2))
    lines = [Line() for _ in range(6)]
    for number, address in enumerate(["192.0.2.1", "192.0.2.1", "192.0.2.2"]):
        assert connections.admit(address, number, lines[number], float(number))
    connections.waits(connections._peers[0], 9.0)
    assert connections.admit(
        "192.0.2.1", 3, lines[3], 10.0
    )  # two of this address wait: the second for longer
    assert [line.fate for line in lines] == ["", "aborted", "", "", "", ""]
    connections.busy(connections._peers[2])
    assert connections.admit("192.0.2.3", 4, lines[4], 11.0)
    assert [line.fate for line in lines] == ["aborted", "aborted", "", "", "", ""]
    for number in (3, 4):
        connections.busy(connections._peers[number])
    assert not connections.admit("192.0.2.4", 5, lines[5], 12.0)
    connections.closed(2)
    assert connections.admit("192.0.2.4", 5, lines[5], 12.0)
    for number in range(6):
        connections.closed(number)
    assert (connections._peers, connections._callers, connections._waiting) == ({}, {}, {})


@pytest.mark.parametrize(
    ("is_busy", "moments", "is_over"),
    [
        (False, [(15.0, 0)], False),
        (False, [(15.1, 0)], True),
        (True, [(1000.0, 0)], False),
        (True, [(10.0, 5), (69.0, 5)], False),
        (True, [(10.0, 5), (71.0, 5)], True),
        (True, [(10.0, 5), (69.0, 4), (71.0, 4)], False),
        (False, [(10.0, 5), (69.0, 5)], False),  # the end of an answer is still on its way
        (False, [(10.0, 5), (71.0, 5)], True),
        (False, [(10.0, 5), (69.0, 0)], True),
    ],
)
def test_idle_and_stuck_connections_become_overdue(
    is_busy: bool, moments: list[tuple[float, int]], is_over: bool
) -> None:
    """`moments`: when somebody looks, and how much of an answer waits then."""
    connections = Connections(ConnectionLimits(connections=3, per_address=2))
    line = Line()
    connections.admit("192.0.2.1", 7, line, 0.0)
    if is_busy:
        connections.busy(connections._peers[7])
    for now, line.waiting in moments:
        connections.sweep(now)
    assert bool(line.fate) is is_over
