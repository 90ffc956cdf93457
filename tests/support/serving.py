"""The real server as a process of its own, for tests: start it, talk to it, stop it, kill it."""

import base64
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

from chatferry import accounts
from chatferry.clock import now
from chatferry.destinations.sqlite.destination import SqliteDestination
from chatferry.documents import COLLECTIONS, PERMISSIONS, USERS, Date, Document, Insert, Update, decode
from chatferry.ids import derived_id
from chatferry.operations import ENDS
from tests.support.importing import lasting
from tests.support.paths import GOLDEN

ADMIN, PASSWORD, EMAIL = "admin", "Sesame, öffne dich", "admin@example.com"
PATIENCE = 120  # seconds until a test gives up; no test expects to wait that long
UNAUTHORIZED = {"success": False, "error": "unauthorized"}
NOT_ALLOWED = {
    "success": False,
    "error": "User does not have the permissions required for this action [error-unauthorized]",
}


class Server:
    """A running `chatferry serve`. `address` has no slash at its end."""

    def __init__(self, data: Path, address: str, process: "subprocess.Popen[bytes]") -> None:
        self.data = data
        self.address = address
        self.process = process

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    @property
    def uploads(self) -> list[Path]:
        """The files in the folder of uploads."""
        folder = self.data / "uploads"
        return sorted(folder.iterdir()) if folder.is_dir() else []

    def stop(self) -> int:
        """Ask it to end, as systemd does; the exit code (negative: the signal it died of)."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        """Kill the process, with no chance to clean up."""
        self.process.kill()
        self.process.wait(PATIENCE)


def environment(**settings: str) -> dict[str, str]:
    """The environment of a server: nothing that this machine happens to have set for chatferry.

    All tests call from one address: unless a test says otherwise, it may call as often as it likes, and no
    log-in ends another.
    """
    own = ("CHATFERRY_", "ADMIN_")
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(own)}
    many = {"CHATFERRY_LOGIN_TOKENS": "100000"}
    admin = {"ADMIN_USERNAME": ADMIN, "ADMIN_PASS": PASSWORD, "ADMIN_EMAIL": EMAIL}
    return {**inherited, **admin, "no_proxy": "*", "CHATFERRY_RATE_LIMIT": "off", **many, **settings}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "chatferry", *arguments]


def start(data: Path, *options: str, **settings: str) -> Server:
    """Start a server on `data` and wait until it says where it is; `settings` are environment variables."""
    data.mkdir(parents=True, exist_ok=True)
    told = data / "stderr"
    where = () if "--demo" in options else ("--data", str(data))
    with told.open("wb") as stderr:
        process = subprocess.Popen(
            command("serve", *where, "--port", "0", *options),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            cwd=data,  # so that a test sees what is written beside it
            env=environment(**settings),
        )
    deadline = time.monotonic() + PATIENCE
    while not (found := re.search(rb" on (https?://\S+:\d+)\n", told.read_bytes())):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise AssertionError(f"the server did not start: {told.read_text(errors='replace')}")
        time.sleep(0.02)
    return Server(data, found[1].decode(), process)


@contextmanager
def serving(data: Path, *options: str, **settings: str) -> Iterator[Server]:
    """A server for the length of a block."""
    server = start(data, *options, **settings)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.kill()


# ---------------------------------------------------------------- talking


def no_failure(response: httpx.Response) -> None:
    """Check that an answer is no server error; 507 says that the disk is full."""
    assert response.status_code < 500 or response.status_code == 507, (
        f"{response.request.method} {response.request.url}: {response.read()!r}"
    )


def client(server: Server, user_id: str = "", token: str = "") -> httpx.Client:
    """Calls with these credentials, by the names of endpoints; every answer is checked with `no_failure`."""
    credentials = {"X-User-Id": user_id, "X-Auth-Token": token} if user_id else {}
    return httpx.Client(
        base_url=f"{server.address}/api/v1/",
        headers=credentials,
        event_hooks={"response": [no_failure]},
        timeout=PATIENCE,
        trust_env=False,
        verify=False,  # mostly there is no TLS, and loading certificates takes longer than most requests
    )


def login(server: Server, user: str = ADMIN, password: str = PASSWORD) -> httpx.Client:
    """A client with a new token for this user."""
    with client(server) as nobody:
        answer = nobody.post("login", json={"user": user, "password": password})
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    return client(server, data["userId"], data["authToken"])


def raw(server: Server, request: bytes, *, cut: bool = False) -> bytes:
    """Send raw bytes and return the answer, b"" if there is none; `cut` closes the sending side."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        connection.sendall(request)
        if cut:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while block := connection.recv(1 << 16):
            answer += block
    assert not re.match(rb"HTTP/1\.\d 5", answer), answer
    return answer


def sent(
    server: Server, http: httpx.Client, method: str, path: str, part: bytes = b"", **headers: str
) -> socket.socket:
    """Send a head and part of a body; return the connection. In names of headers "_" means "-"."""
    mine = {name: http.headers[name] for name in ("X-User-Id", "X-Auth-Token")}
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{name}: {value}" for name, value in {"Host": "x", **mine, **given}.items()]
    head = "\r\n".join([f"{method} /api/v1/{path} HTTP/1.1", *lines, "", ""])
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
    connection.sendall(head.encode() + part)
    return connection


def answered(connection: socket.socket) -> bytes:
    """Return the answer on such a connection: its head, and as much body as that announces."""
    answer = b""
    while not (head := re.match(rb"(?s)(.*?)\r\n\r\n", answer)) or len(answer) < head.end() + _length(
        head[1]
    ):
        block = connection.recv(1 << 16)
        if not block:
            break
        answer += block
    return answer


def _length(head: bytes) -> int:
    found = re.search(rb"(?i)^content-length: *(\d+)", head, re.MULTILINE)
    return int(found[1]) if found else 0


def half_sent(server: Server, http: httpx.Client, part: bytes, framing: str) -> socket.socket:
    """Send part of an upload until the server has begun to store it; return the connection.

    `framing` is the header that says how long the body will be.
    """
    name, _, value = framing.partition(": ")
    before = server.uploads
    headers = {"Content_Type": "application/json", name: value}
    connection = sent(server, http, "POST", "uploadImportFile", part, **headers)
    until(lambda: server.uploads != before)
    return connection


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def upload_body(content: bytes, name: str = "export.zip", key: str = "slack") -> dict[str, str]:
    return {
        "binaryContent": base64.b64encode(content).decode(),
        "contentType": "application/zip",
        "fileName": name,
        "importerKey": key,
    }


def upload(http: httpx.Client, archive: Path = GOLDEN) -> str:
    """Upload an archive and return the id of its operation."""
    answer = http.post("uploadImportFile", json=upload_body(archive.read_bytes(), archive.name))
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    return str(current(http)["_id"])


def current(http: httpx.Client) -> dict[str, Any]:
    operation: dict[str, Any] = http.get("getCurrentImportOperation").json()["operation"]
    return operation


def latest(http: httpx.Client) -> list[dict[str, Any]]:
    operations: list[dict[str, Any]] = http.get("getLatestImportOperations").json()
    return operations


def wait_for(http: httpx.Client, *statuses: str, id: str = "", completed: int = 0) -> dict[str, Any]:
    """Wait until an operation (the current one) is at one of `statuses` with so many records completed."""
    deadline = time.monotonic() + PATIENCE
    while True:
        operation = next(one for one in latest(http) if one["_id"] == id) if id else current(http)
        done = operation.get("count", {}).get("completed", 0)
        if operation["status"] in statuses and done >= completed:
            return operation
        assert operation["status"] not in ENDS, (operation, http.get("getImportFileData").text)
        assert time.monotonic() < deadline, operation
        time.sleep(0.02)


def run_import(http: httpx.Client, archive: Path = GOLDEN, **input: Any) -> dict[str, Any]:
    """Upload, select (everything, if nothing is said) and import; the operation at its end."""
    everything = {"users": {"all": True}, "channels": {"all": True}}
    upload(http, archive)
    wait_for(http, "importer_user_selection")
    answer = http.post("startImport", json={"input": input or everything})
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    return wait_for(http, "importer_done")


# ---------------------------------------------------------------- the workspace behind it


def documents(data: Path, collection: str) -> list[Document]:
    """A collection of the embedded workspace, also while a server works on it."""
    destination = SqliteDestination(data / "workspace.sqlite3")
    try:
        return [decode(line) for line in destination.dump(collection)]
    finally:
        destination.close()


def add_users(data: Path, roles: Mapping[str, Sequence[str]], **permissions: tuple[str, ...]) -> None:
    """Give the workspace of a server that does not run yet users whose password is their name.

    `roles` are each user's; `permissions` (with "_" for "-") are given to further roles.
    """
    data.mkdir(parents=True, exist_ok=True)
    destination = SqliteDestination(data / "workspace.sqlite3")
    try:
        _add_users(destination, roles, permissions)
    finally:
        destination.close()


def _add_users(
    destination: SqliteDestination,
    roles: Mapping[str, Sequence[str]],
    permissions: Mapping[str, tuple[str, ...]],
) -> None:
    accounts.found_workspace(destination, Date.at(now()))
    users: list[Insert | Update] = [
        Insert(
            USERS,
            {
                "_id": derived_id("test", name),
                "username": name,
                "name": name.title(),
                "emails": [{"address": f"{name}@example.com", "verified": True}],
                "roles": list(given),
                "active": name != "inactive",
                "services": {"password": {"bcrypt": accounts.hash_password(name)}},
            },
        )
        for name, given in roles.items()
    ]
    grants = [
        Update(collection=PERMISSIONS, id=permission.replace("_", "-"), add={"roles": given})
        for permission, given in permissions.items()
    ]
    assert destination.apply([*users, *grants]) == []


def status_on_disk(data: Path) -> str:
    store = sqlite3.connect(data / "store.sqlite3", timeout=PATIENCE)
    try:
        row = store.execute("SELECT data FROM operations ORDER BY ts DESC LIMIT 1").fetchone()
    finally:
        store.close()
    return str(msgspec.msgpack.decode(row[0])["status"]) if row else ""


def start_all(server: Server) -> None:
    everything = {"users": {"all": True}, "channels": {"all": True}}
    with login(server) as http:
        answer = http.post("startImport", json={"input": everything})
    assert answer.json() == {"success": True}


def contents(data: Path) -> dict[str, Any]:
    """Return every document without times of writing, and without the administrator."""
    found = {}
    for collection in COLLECTIONS:
        kept = [lasting(document) for document in documents(data, collection)]
        found[collection] = {doc["_id"]: doc for doc in kept if "admin" not in doc.get("roles", ())}
    for room in found["rocketchat_room"].values():
        room.pop("u", None)
    subscriptions = found["rocketchat_subscription"]
    for id, subscription in list(subscriptions.items()):
        subscription.pop("ts"), subscription.pop("ls", None)
        if subscription["u"]["username"] == "admin":  # his id is made by chance
            del subscriptions[id]
    return found
