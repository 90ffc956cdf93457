"""login: every form of a request, and every refusal."""

import hashlib
import os
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from chatferry import accounts
from chatferry.api.services import HASHING, WAITING
from chatferry.ids import ALPHABET, new_token
from tests.support.refusals import JSON_TYPE, NO_LOGIN, refusal
from tests.support.serving import ADMIN, EMAIL, PASSWORD, Server, answered, client, login, serving

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def digest(password: str) -> dict[str, str]:
    return {"digest": hashlib.sha256(password.encode()).hexdigest(), "algorithm": "sha-256"}


LOGINS: list[dict[str, Any]] = [
    {"user": ADMIN, "password": PASSWORD},
    {"user": EMAIL, "password": PASSWORD},
    {"user": EMAIL.upper(), "password": PASSWORD},
    {"username": ADMIN, "password": PASSWORD},
    {"email": EMAIL, "password": PASSWORD},
    {"user": ADMIN, "password": PASSWORD, "code": "123456"},
    {"user": ADMIN, "password": digest(PASSWORD)},
    {"user": {"username": ADMIN}, "password": digest(PASSWORD)},
    {"user": {"email": EMAIL}, "password": digest(PASSWORD)},
]


@pytest.mark.parametrize(
    ("body", "form"), [*((body, False) for body in LOGINS), *((body, True) for body in LOGINS[:6])]
)
def test_login(server: Server, body: dict[str, Any], form: bool) -> None:
    with client(server) as nobody:
        answer = nobody.post("login", data=body) if form else nobody.post("login", json=body)
    status, wire = refusal(answer)
    assert (status, list(wire)) == (200, ["status", "data", "success"])
    assert (wire["status"], wire["success"]) == ("success", True)
    data = wire["data"]
    assert data.keys() == {"userId", "authToken", "me"}
    assert re.fullmatch(f"[{ALPHABET}]{{17}}", data["userId"])
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", data["authToken"])
    with client(server, data["userId"], data["authToken"]) as http:
        me = http.get("me").json()
    assert me == {**data["me"], "success": True}
    assert me["_id"] == data["userId"]


def test_resume(server: Server) -> None:
    with login(server, "plain", "plain") as plain, client(server) as nobody:
        token = plain.headers["X-Auth-Token"]
        answer = nobody.post("login", json={"resume": token})
        assert answer.status_code == 200, answer.text
        data = answer.json()["data"]
        assert (data["userId"], data["me"]["username"]) == (plain.headers["X-User-Id"], "plain")
        with client(server, data["userId"], data["authToken"]) as resumed:
            assert resumed.get("me").status_code == 200
        plain.post("logout")
        for gone in (token, new_token(), "", "x" * 5000):
            assert refusal(nobody.post("login", json={"resume": gone})) == (401, NO_LOGIN)


@pytest.mark.parametrize(
    "body",
    [
        {"user": ADMIN, "password": "wrong"},
        {"user": ADMIN, "password": ""},
        {"user": ADMIN, "password": PASSWORD.lower()},
        {"user": ADMIN, "password": PASSWORD + "\0"},
        {"user": ADMIN, "password": "x" * 10_000},
        {"user": "nobody", "password": PASSWORD},
        {"user": "nobody@example.com", "password": PASSWORD},
        {"user": "", "password": PASSWORD},
        {"user": "\0", "password": "\0"},
        {"user": "' OR 1=1 --", "password": "' OR 1=1 --"},
        {"user": "%", "password": PASSWORD},
        {"user": "rocket.cat", "password": ""},
        {"user": "inactive", "password": "inactive"},
        {"user": "plain", "password": PASSWORD},
        {"user": ADMIN},
        {"password": PASSWORD},
        {"user": ADMIN, "password": digest("wrong")},
        {"user": ADMIN, "password": {**digest(PASSWORD), "algorithm": "plain"}},
        {"user": ADMIN, "password": {"digest": PASSWORD, "algorithm": "sha-256"}},
        {"user": ADMIN, "password": {"algorithm": "sha-256"}},
        {"user": ADMIN, "password": {"digest": None, "algorithm": "sha-256"}},
        {"user": ADMIN, "password": [PASSWORD]},
        {"user": ADMIN, "password": True},
        {"user": [ADMIN], "password": PASSWORD},
        {"user": {"username": {"$ne": ""}}, "password": PASSWORD},
        {"user": {"$ne": ""}, "password": {"$ne": ""}},
        {"resume": None},
        {"resume": {"$ne": ""}},
        {"resume": ["x"]},
        {},
        [],
        ADMIN,
        None,
    ],
)
def test_login_that_fails(server: Server, body: object) -> None:
    with client(server) as nobody:
        assert refusal(nobody.post("login", json=body)) == (401, NO_LOGIN)


def test_login_without_a_body_that_can_be_read(server: Server) -> None:
    with client(server) as nobody:
        for content in (b"", b"{", b"\xff", b"user=admin&password=wrong"):
            answer = nobody.post("login", content=content, headers=JSON_TYPE)
            assert refusal(answer) == (401, NO_LOGIN)


def test_form_with_very_many_fields(library: Server) -> None:
    with client(library) as nobody:
        answer = nobody.post("login", data={f"field{number}": "x" for number in range(2000)})
    assert answer.status_code in (400, 401, 413)


def test_few_passwords_are_hashed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One core of several stays free for other calls."""
    at_once, most = 0, 0
    counting = threading.Lock()

    def checkpw(password: bytes, hashed: bytes) -> bool:
        nonlocal at_once, most
        with counting:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.002)
        with counting:
            at_once -= 1
        return False

    monkeypatch.setattr(bcrypt, "checkpw", checkpw)
    with ThreadPoolExecutor(20) as threads:
        assert not any(threads.map(lambda _: accounts.is_password(None, "wrong"), range(100)))
    assert most == max(1, (os.cpu_count() or 2) - 1)


def test_very_many_log_ins_at_once(tmp_path: Path) -> None:
    """Some are refused at once, and other calls find a thread."""
    body = b'{"user": "nobody", "password": "wrong"}'
    head = b"POST /api/v1/login HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    request = head % len(body) + body
    settings = {"CHATFERRY_MAX_CONNECTIONS_PER_ADDRESS": "1000"}
    with serving(tmp_path, **settings) as server, login(server) as http, ExitStack() as stack:
        guesses = []
        for _ in range(WAITING + HASHING + 60):
            guesses.append(stack.enter_context(socket.create_connection(("127.0.0.1", server.port))))
            guesses[-1].sendall(request)
        for _ in range(20):
            assert http.get("getLatestImportOperations").status_code == 200
        assert answered(guesses[-1]).startswith(b"HTTP/1.1 429 ")
        assert answered(guesses[0]).startswith(b"HTTP/1.1 401 ")
