"""How often an address may call an endpoint."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from chatferry.api.auth.rate_limit import CALLS, RateLimiter
from chatferry.clock import now
from tests.support.refusals import TABLE, call, refusal
from tests.support.serving import (
    ADMIN,
    PASSWORD,
    UNAUTHORIZED,
    Server,
    add_users,
    client,
    login,
    raw,
    serving,
    until,
)

HEADERS = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")
TOO_MANY = re.compile(
    r"Error, too many requests\. Please slow down\. You must wait ([0-9]+) seconds before trying this "
    r"endpoint again\. \[error-too-many-requests\]"
)
ROLES = {"starter": ["starter"], "robot": ["bot", "starter"], "powerless": []}


def prepared(folder: Path) -> Path:
    data = folder / "data"
    add_users(data, ROLES, run_import=("starter",), create_personal_access_tokens=("starter",))
    return data


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """As it is without any setting."""
    with serving(prepared(tmp_path_factory.mktemp("limited")), CHATFERRY_RATE_LIMIT="") as running:
        yield running


@pytest.fixture(scope="module")
def starter(server: Server) -> Iterator[httpx.Client]:
    """Somebody whose calls are counted."""
    with login(server, "starter", "starter") as somebody:
        yield somebody


def assert_too_many(answer: httpx.Response) -> None:
    status, body = refusal(answer)
    assert (status, list(body), body["success"]) == (429, ["success", "error"], False)
    found = TOO_MANY.fullmatch(body["error"])
    assert found
    assert 1 <= int(found[1]) <= 60


def test_ten_calls_in_a_minute(starter: httpx.Client) -> None:
    resets = set()
    for number in range(CALLS):
        answer = starter.get("importers.list")
        assert answer.status_code == 200
        assert (answer.headers[HEADERS[0]], answer.headers[HEADERS[1]]) == ("10", str(9 - number))
        resets.add(round(int(answer.headers[HEADERS[2]]) / 1000))
        assert now() < int(answer.headers[HEADERS[2]]) <= now() + 60_000
    assert max(resets) - min(resets) <= 1  # one window, whose end does not move
    for _ in range(3):
        answer = starter.get("importers.list")
        assert_too_many(answer)
        assert (answer.headers[HEADERS[0]], answer.headers[HEADERS[1]]) == ("10", "0")


def test_every_endpoint_counts_for_itself(starter: httpx.Client) -> None:
    for _ in range(CALLS):
        assert starter.get("import.status").status_code == 200
    assert_too_many(starter.get("import.status"))
    assert starter.get("getImportProgress").status_code == 400
    assert starter.get("me").status_code == 200


def test_refused_actions_count_and_say_so(starter: httpx.Client) -> None:
    for number in range(CALLS):
        answer = starter.post("import.run")
        assert (answer.status_code, answer.headers[HEADERS[1]]) == (400, str(9 - number))
    assert_too_many(starter.post("import.run"))


def test_calls_refused_for_another_reason_do_not_count(server: Server, starter: httpx.Client) -> None:
    """Authentication, permission, query and body come first."""
    with client(server) as nobody, login(server, "powerless", "powerless") as powerless:
        for _ in range(CALLS + 1):
            refused = [
                nobody.post("startImport", json={"input": {}}),
                powerless.post("startImport", json={"input": {}}),
                starter.post("startImport", json={}),
                starter.get("getCurrentImportOperation?a=1"),
            ]
            assert [answer.status_code for answer in refused] == [401, 403, 400, 400]
            assert not [answer for answer in refused if set(HEADERS) & answer.headers.keys()]
    assert starter.post("startImport", json={"input": {}}).headers[HEADERS[1]] == "9"
    assert starter.get("getCurrentImportOperation").headers[HEADERS[1]] == "9"


def head(name: str, length: int, http: httpx.Client | None = None) -> bytes:
    """The head of a call whose body never comes."""
    mine = {key: http.headers[key] for key in ("X-User-Id", "X-Auth-Token")} if http else {}
    headers = {"Host": "x", "Content-Length": length, "Content-Type": "application/json", **mine}
    lines = [f"{key}: {value}" for key, value in {**headers, "Connection": "close"}.items()]
    return "\r\n".join([f"POST /api/v1/{name} HTTP/1.1", *lines, "", "{"]).encode()


def test_an_upload_is_refused_before_it_is_received(server: Server, starter: httpx.Client) -> None:
    body = {"binaryContent": "", "contentType": "", "fileName": "", "importerKey": "none"}
    for _ in range(CALLS):
        assert starter.post("uploadImportFile", json=body).status_code == 400
    answer = raw(server, head("uploadImportFile", 1_000_000_000, starter))
    assert answer.startswith(b"HTTP/1.1 429 ")
    assert TOO_MANY.fullmatch(json.loads(answer.partition(b"\r\n\r\n")[2])["error"])
    assert server.uploads == []


def test_a_body_is_not_read_of_who_has_called_too_often(server: Server, starter: httpx.Client) -> None:
    for _ in range(CALLS):
        assert starter.post("import.addUsers", json={"users": []}).status_code == 400
    answer = raw(server, head("import.addUsers", 1_000_000, starter))
    assert answer.startswith(b"HTTP/1.1 429 ")
    assert b"x-ratelimit-remaining: 0" in answer.lower()
    assert_too_many(starter.post("import.addUsers", json={}))  # a body that does not fit is no way around


def test_log_ins_count_before_their_bodies_come(tmp_path: Path) -> None:
    with serving(tmp_path, CHATFERRY_RATE_LIMIT="on") as server, ExitStack() as stack:
        for _ in range(CALLS):
            slow = socket.create_connection(("127.0.0.1", server.port))
            stack.enter_context(slow).sendall(head("login", 10))
        until(lambda: raw(server, head("login", 10)).startswith(b"HTTP/1.1 429 "))


def test_a_form_and_an_announced_upload_count_and_pieces_do_not(
    server: Server, starter: httpx.Client
) -> None:
    for key, status in (("POST import.upload", 415), ("POST import.uploads", 412)):
        for _ in range(CALLS):
            assert starter.post(TABLE[key].name).status_code == status
        assert_too_many(starter.post(TABLE[key].name))
    for _ in range(CALLS + 1):
        assert call(starter, "PATCH import.uploads/{upload}").status_code == 415
    assert server.uploads == []


@pytest.mark.parametrize(("user", "password"), [(ADMIN, PASSWORD), ("robot", "robot")])
def test_exempt_users_are_not_limited(server: Server, user: str, password: str) -> None:
    with login(server, user, password) as exempt:
        for _ in range(CALLS * 2):
            answer = exempt.get("importers.list")
            assert answer.status_code == 200
            assert not set(HEADERS) & answer.headers.keys()


def test_wrong_logins_count(tmp_path: Path) -> None:
    with serving(tmp_path, CHATFERRY_RATE_LIMIT="on") as server, client(server) as nobody:
        for number in range(CALLS):  # an account of its own each: those have a limit of theirs
            guess = {"user": f"nobody{number}", "password": "wrong"}
            assert nobody.post("login", json=guess).status_code == 401
        assert_too_many(nobody.post("login", json={"user": "another", "password": "wrong"}))
        assert_too_many(nobody.post("login", json={"user": ADMIN, "password": PASSWORD}))
        for _ in range(CALLS * 2):
            assert nobody.get("../info").status_code == 200  # not among the limited ones
            assert nobody.get("me").json() == UNAUTHORIZED


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    data = prepared(tmp_path)
    with serving(data, CHATFERRY_RATE_LIMIT="off") as server, login(server, "starter", "starter") as starter:
        answers = [starter.get("importers.list") for _ in range(CALLS + 1)]
    assert {answer.status_code for answer in answers} == {200}
    assert not [answer for answer in answers if set(HEADERS) & answer.headers.keys()]


# ---------------------------------------------------------------- whose calls they are


def test_forwarded_addresses_are_not_believed(server: Server, starter: httpx.Client) -> None:
    for number in range(CALLS):
        headers = {"X-Forwarded-For": f"203.0.113.{number}", "Forwarded": f"for=203.0.113.{number}"}
        assert starter.post("import.new", headers=headers).status_code == 200
    headers = {"X-Forwarded-For": "203.0.113.99", "X-Real-IP": "203.0.113.99", "Client-IP": "203.0.113.99"}
    assert_too_many(starter.post("import.new", headers=headers))


def test_forwarded_addresses_of_a_trusted_proxy_are(tmp_path: Path) -> None:
    data = prepared(tmp_path)
    settings = {"CHATFERRY_RATE_LIMIT": "on", "CHATFERRY_TRUSTED_PROXIES": "10.9.9.9, 127.0.0.0/8"}
    with serving(data, **settings) as server, login(server, "starter", "starter") as starter:

        def listed(forwarded: str) -> httpx.Response:
            return starter.get("importers.list", headers={"X-Forwarded-For": forwarded})

        for number in range(CALLS):  # whatever the client itself put before what the proxy saw
            assert listed(f"198.51.100.{number}, 203.0.113.7").status_code == 200
        assert_too_many(listed("203.0.113.7"))
        assert_too_many(listed("192.0.2.1, 203.0.113.7, 10.9.9.9"))
        assert listed("203.0.113.8").headers[HEADERS[1]] == "9"
        for odd in ("nonsense", ",,,", "x" * 5000, "[::1]:80", "\x7f"):
            assert listed(odd).status_code in (200, 429)


@pytest.mark.parametrize("key", [key for key, endpoint in TABLE.items() if not endpoint.limited])
def test_descriptions_health_and_metrics_are_not_limited(server: Server, key: str) -> None:
    with client(server) as nobody:
        for _ in range(CALLS + 1):
            assert call(nobody, key).status_code in (200, 401)
    described = ("GET info", "GET openapi.json", "GET docs")
    watched = ("GET health", "GET ready", "GET /metrics")
    assert key in described + watched or TABLE[key].path.endswith("/{upload}")


# ---------------------------------------------------------------- the counting itself


def test_looking_does_not_count() -> None:
    limiter = RateLimiter(calls=1)
    assert limiter.look("192.0.2.1", "a").allowed
    assert limiter.look("192.0.2.1", "a").allowed
    assert limiter.take("192.0.2.1", "a").allowed
    refused = limiter.look("192.0.2.1", "a")
    assert (refused.allowed, refused.remaining) == (False, 0)
    assert 0 < refused.wait <= 60
    assert limiter.look("192.0.2.1", "b").allowed
    assert limiter.look("192.0.2.2", "a").allowed


def test_a_window_ends() -> None:
    limiter = RateLimiter(calls=1, window=0.0)
    assert limiter.take("192.0.2.1", "a").allowed
    assert limiter.take("192.0.2.1", "a").allowed


def test_at_most_so_many_addresses_are_remembered() -> None:
    limiter = RateLimiter(calls=1, most=100)
    for number in range(1000):
        limiter.take(f"192.0.{number // 250}.{number % 250}", "a")
    assert len(limiter._windows) == 100
    assert limiter.take("192.0.0.0", "a").allowed  # forgotten
    assert not limiter.take("192.0.3.249", "a").allowed
    limiter = RateLimiter(window=0.0)
    for number in range(1000):
        limiter.take(f"192.0.{number // 250}.{number % 250}", "a")
    assert len(limiter._windows) == 1


@pytest.mark.parametrize(
    ("first", "second", "are_one"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("", "192.0.2.1", False),
        ("x" * 64, "x" * 65, True),
    ],
)
def test_addresses_of_one_network_are_one_caller(first: str, second: str, are_one: bool) -> None:
    limiter = RateLimiter(calls=1)
    limiter.take(first, "a")
    assert limiter.take(second, "a").allowed is not are_one
