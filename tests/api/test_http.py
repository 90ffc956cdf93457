"""HTTP itself: odd and hostile requests."""

import json
import re
import resource
import socket
import sys
from pathlib import Path

import httpx
import pytest

import chatferry.cli.http_server
from chatferry.api.sockets.connections import ConnectionLimits, Connections
from chatferry.settings import Settings
from tests.support.refusals import MIB, NO_LOGIN, refusal
from tests.support.serving import ADMIN, PASSWORD, PATIENCE, UNAUTHORIZED, Server, client, raw, serving

pytestmark = pytest.mark.usefixtures("nothing_is_left")


@pytest.mark.parametrize("name", ["X-User-Id", "X-Auth-Token", "Cookie", "Content-Type", "X-" + "a" * 1000])
def test_long_headers(server: Server, name: str) -> None:
    """The HTTP layer may refuse them (400, 431), or else they are no credentials.

    A refusal may be lost on the way: the server hangs up while the rest of the header still comes in.
    """
    with client(server) as nobody:
        try:
            answer = nobody.post("startImport", json={}, headers={name: "x" * 100_000})
            assert answer.status_code in (400, 401, 431)
        except httpx.TransportError:
            pass
        assert nobody.get("../info").status_code == 200


def test_heads_are_limited(server: Server) -> None:
    """Also heads that never end: no more than the limit is kept."""
    for size, status in ((30_000, b"200"), (33_000, b"400")):
        head = b"GET /api/info HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-A: %b" % (b"x" * size)
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection:
            connection.sendall(head + b"\r\n\r\n" if status == b"200" else head)
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 %b " % status)


@pytest.mark.parametrize(
    "value", [b"\xff\xfe", b"'; DROP TABLE users; --", b"a\tb", b"null", b"0", "ключ".encode()]
)
def test_odd_credentials(server: Server, http: httpx.Client, value: bytes) -> None:
    user, token = (http.headers[name].encode() for name in ("X-User-Id", "X-Auth-Token"))
    for pair in ((value, token), (user, value), (value, value)):
        head = b"X-User-Id: %b\r\nX-Auth-Token: %b\r\nConnection: close\r\n\r\n" % pair
        answer = raw(server, b"GET /api/v1/me HTTP/1.1\r\nHost: x\r\n" + head)
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert json.loads(answer.partition(b"\r\n\r\n")[2]) == UNAUTHORIZED


@pytest.mark.parametrize(
    "path",
    [
        "*",
        "/",
        "/api",
        "/api/v1",
        "/api/v1/nope",
        "/api/v1/getImportFileDat",
        "/api/v2/me",
        "//api/v1/me",
        "/api/v1/../v1/me",
        "/api/v1/%2e%2e/info",
        "/api/v1/me%00",
        "/api/v1/%ff",
        "/API/V1/ME",
        "/x" * 5000,
    ],
)
def test_unknown_paths(server: Server, path: str) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    head, _, body = raw(server, request.encode()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 404 ")
    assert json.loads(body).keys() == {"success", "error"}


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "NONSENSE"])
@pytest.mark.parametrize("endpoint", ["uploadImportFile", "getImportFileData", "login"])
def test_unknown_methods(http: httpx.Client, endpoint: str, method: str) -> None:
    answer = http.request(method, endpoint)
    status, body = refusal(answer)
    assert (status, sorted(body), body["success"]) == (405, ["error", "success"], False)
    assert answer.headers["allow"]


@pytest.mark.parametrize(
    "endpoint",
    ["import.clear", "import.new", "import.addUsers", "import.run", "startImport", "uploadImportFile"],
)
def test_reading_is_not_writing(http: httpx.Client, endpoint: str) -> None:
    assert refusal(http.get(endpoint))[0] == 405
    assert http.head(endpoint).status_code == 405


@pytest.mark.parametrize("host", ["[", "[::1", "a b", "x:99999999", "", "\xff", "x" * 5000, "evil/../"])
def test_odd_hosts(server: Server, host: str) -> None:
    for path in ("/api/info", "/nope", "/api/v1/me/"):
        request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        assert raw(server, request.encode("latin-1")).startswith(b"HTTP/1.1 ")


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /api/info HTTP/1.1\r\n\r\n",
        b"GET /api/\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET  /api/info  HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /api/v1/login HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/v1/login HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
        b"POST /api/v1/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
        b"POST /api/v1/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
    ],
)
def test_no_http(server: Server, request_: bytes) -> None:
    answer = raw(server, request_, cut=True)
    assert answer == b"" or re.match(rb"HTTP/1.1 (400|501) ", answer)


def test_a_version_from_the_future(server: Server) -> None:
    answer = raw(server, b"GET /api/info HTTP/9.9\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert re.match(rb"HTTP/1.1 (200|400|505) ", answer)


def test_http_1_0(server: Server, http: httpx.Client) -> None:
    answer = raw(server, b"GET /api/info HTTP/1.0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["success"] is True
    body = json.dumps({"user": ADMIN, "password": "wrong"}).encode()
    head = b"POST /api/v1/login HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    answer = raw(server, head % len(body) + body)
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == NO_LOGIN


def test_answers_are_not_held_back() -> None:
    """asyncio sets TCP_NODELAY only where the protocol is TCP; a connection has its listener's."""
    with chatferry.cli.http_server._listen(Settings(port=0), Connections(ConnectionLimits(1, 1))) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_the_server_still_works(server: Server, http: httpx.Client) -> None:
    """A connection that is kept open serves on after every kind of refusal."""
    with client(server) as nobody:
        for body in (b"", b"[" * 100_000, bytes(2 * MIB)):
            nobody.post("uploadImportFile", content=body)
            http.post("uploadImportFile", content=body)
            assert http.get("importers.list").status_code == 200


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits another process's files")
def test_a_destination_that_cannot_be_written_is_503_and_no_failure(tmp_path: Path) -> None:
    credentials = {"user": ADMIN, "password": PASSWORD}
    with serving(tmp_path) as server:
        url = f"{server.address}/api/v1/login"
        unlimited = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (0, unlimited[1]))
        answer = httpx.post(url, json=credentials, trust_env=False)
        body = answer.json()
        assert (answer.status_code, body["success"]) == (503, False)
        assert body["errorType"] == "error-destination-away"
        assert str(tmp_path) not in body["error"]  # where it is is nobody's business
        assert body["error"].endswith(" [error-destination-away]")
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, unlimited)
        assert httpx.post(url, json=credentials, trust_env=False).status_code == 200
