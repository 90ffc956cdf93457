"""The server's log: a line per call and per step of an operation, and the audit log."""

import json
import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from chatferry.api import call_log
from chatferry.observing.current import CallRecord
from tests.support.exports import DAY, file, message, write_export
from tests.support.filehost import FileHost
from tests.support.paths import GOLDEN
from tests.support.serving import (
    ADMIN,
    PASSWORD,
    Server,
    add_users,
    client,
    command,
    environment,
    half_sent,
    login,
    raw,
    serving,
    until,
    upload,
    wait_for,
)

EVERYTHING = {"users": {"all": True}, "channels": {"all": True}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("observed") / "data"
    add_users(data, {"plain": ["user"]})
    with serving(data, CHATFERRY_LOG_FORMAT="json") as running:
        yield running


def log(server: Server, logger: str) -> list[dict[str, Any]]:
    """Return the lines that the server has written with this logger."""
    lines = (server.data / "stderr").read_text().splitlines()
    entries = [json.loads(line) for line in lines if line.startswith("{")]
    return [entry for entry in entries if entry["logger"] == logger]


def audited(data: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (data / "audit.log").read_text().splitlines()]


def call_with_id(server: Server, id: str) -> dict[str, Any]:
    """The line of this call, which is written after its answer."""

    def found() -> list[dict[str, Any]]:
        return [entry for entry in log(server, "chatferry.access") if entry["request"] == id]

    until(lambda: bool(found()))
    (entry,) = found()
    return entry


def steps_of(server: Server, id: str, last: str) -> list[dict[str, Any]]:
    """The steps of an operation, once the last of them is logged."""

    def found() -> list[dict[str, Any]]:
        return [entry for entry in log(server, "chatferry.operations") if entry["operation"] == id]

    until(lambda: bool(found()) and found()[-1]["event"] == last)
    return found()


def test_every_call_is_one_line(server: Server) -> None:
    with login(server) as http:
        user = http.headers["X-User-Id"]
        answer = http.get("me", headers={"X-Request-Id": "of-a-proxy.1"})
        assert answer.headers["x-request-id"] == "of-a-proxy.1"
        entry = call_with_id(server, "of-a-proxy.1")
        assert entry["ms"] > 0
        known = {name: entry[name] for name in entry.keys() - {"time", "ms"}}
        assert known == {
            "level": "info",
            "logger": "chatferry.access",
            "event": "call",
            "address": "127.0.0.1",
            "user": user,
            "method": "GET",
            "endpoint": "/api/v1/me",
            "status": 200,
            "request": "of-a-proxy.1",
        }
    with client(server) as nobody:
        answer = nobody.get("import.uploads/of-somebody?rc_token=TOPSECRET")
    entry = call_with_id(server, answer.headers["x-request-id"])
    assert (entry["endpoint"], entry["status"], "user" in entry) == ("unknown", 405, False)
    with client(server) as nobody:
        answer = nobody.get(f"{server.address}/avatar/ada?rc_uid=a&rc_token=TOPSECRET")
    entry = call_with_id(server, answer.headers["x-request-id"])
    assert (entry["endpoint"], entry["status"]) == ("/avatar/{username}", 403)
    assert "TOPSECRET" not in (server.data / "stderr").read_text()


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "ä", "a\x7f", 'a"b'])
def test_an_id_that_is_no_plain_word_is_replaced(server: Server, given: str) -> None:
    head = f"GET /api/info HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Request-Id: {given}\r\n\r\n"
    answer = raw(server, head.encode())
    made = re.search(rb"x-request-id: (\S+)\r\n", answer)
    assert made and re.fullmatch(rb"[0-9a-f]{16}", made[1])


def test_strangers_cannot_flood_the_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(call_log, "COUNT_EVERY", 0)
    logged: list[tuple[str, dict[str, object]]] = []
    monkeypatch.setattr(call_log, "event", lambda log, text, **fields: logged.append((text, fields)))
    lines = call_log._Lines()
    for number in range(call_log.ANONYMOUS_LINES + 50):
        lines.write(CallRecord(str(number), "192.0.2.1", "POST", "/api/v1/login"), 429, 0.001)
    assert len([text for text, _ in logged if text == "call"]) == call_log.ANONYMOUS_LINES
    lines.write(CallRecord("a", "192.0.2.1", "GET", "/api/v1/me", "ada"), 200, 0.001)
    lines.write(CallRecord("b", "192.0.2.2", "GET", "/api/info"), 200, 0.001)
    *_, (_, of_ada), (_, of_another) = logged
    assert (of_ada["user"], of_another["address"]) == ("ada", "192.0.2.2")
    assert sum(int(str(fields["calls"])) for text, fields in logged if text != "call") == 50


def test_many_strangers_cannot_flood_the_log_either(monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[str] = []
    monkeypatch.setattr(call_log, "event", lambda log, text, **fields: logged.append(text))
    lines = call_log._Lines()
    for number in range(call_log.ANONYMOUS_LINES_IN_ALL + 50):
        address = f"192.0.{number // 250}.{number % 250}"
        lines.write(CallRecord(str(number), address, "POST", "/api/v1/login"), 429, 0.001)
    assert logged == ["call"] * call_log.ANONYMOUS_LINES_IN_ALL


def test_log_ins_and_tokens_are_audited(server: Server) -> None:
    before = len(audited(server.data))
    with client(server) as nobody:
        for name in (ADMIN, "hunter2-typed-as-name"):
            nobody.post("login", json={"user": name, "password": "wrong-hunter2"})
    with login(server) as http:
        user = http.headers["X-User-Id"]
        made = http.post("users.generatePersonalAccessToken", json={"tokenName": "nightly"}).json()["token"]
        http.post("users.regeneratePersonalAccessToken", json={"tokenName": "nightly"})
        http.post("users.removePersonalAccessToken", json={"tokenName": "nightly"})
        http.post("logout")
    entries = audited(server.data)[before:]
    assert [(entry["event"], entry.get("account"), entry.get("user")) for entry in entries] == [
        ("log-in refused", user, None),
        ("log-in refused", None, None),
        ("log-in", None, user),
        ("token made", None, user),
        ("token replaced", None, user),
        ("token revoked", None, user),
        ("log-out", None, user),
    ]
    assert {entry["address"] for entry in entries} == {"127.0.0.1"}
    assert all(entry["request"] for entry in entries)
    file = server.data / "audit.log"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    told = file.read_text() + (server.data / "stderr").read_text()
    assert "hunter2" not in told and PASSWORD not in told and made not in told
    assert [entry for entry in log(server, "chatferry.audit") if entry in entries] == entries


def test_calls_refused_for_lack_of_a_permission_are_audited(server: Server) -> None:
    with login(server, "plain", "plain") as plain:
        plain.post("startImport", json={"input": EVERYTHING})
        entry = audited(server.data)[-1]
        assert (entry["event"], entry["endpoint"]) == ("refused", "/api/v1/startImport")
        assert entry["user"] == plain.headers["X-User-Id"]


def test_an_import_is_logged_step_by_step_and_audited(server: Server) -> None:
    with login(server) as http:
        before = len(audited(server.data))
        id = upload(http, GOLDEN)
        wait_for(http, "importer_user_selection")
        http.post("startImport", json={"input": EVERYTHING})
        wait_for(http, "importer_done")
        assert http.post("import.pause").status_code == 400
        http.post("import.clear")
    entries = [(entry["event"], entry.get("operation")) for entry in audited(server.data)[before:]]
    assert entries == [("operation begun", id), ("import started", id), ("imports cleared", None)]
    (received,) = log(server, "chatferry.uploads")
    assert (received["operation"], received["bytes"]) == (id, GOLDEN.stat().st_size)
    steps = steps_of(server, id, "operation done")
    assert [step["status"].removeprefix("importer_") for step in steps] == [
        "preparing_started",
        "preparing_users",
        "preparing_channels",
        "preparing_messages",
        "user_selection",
        "importing_users",
        "importing_contacts",
        "importing_channels",
        "importing_messages",
        "finishing",
        "done",
    ]
    assert (steps[-1]["failed"], steps[-1]["level"]) == (0, "info")
    assert steps[-1]["completed"] == steps[-1]["total"] > 300


def test_a_failure_is_logged_as_an_error(server: Server, tmp_path: Path) -> None:
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"no zip")
    with login(server) as http:
        id = upload(http, broken)
        wait_for(http, "importer_import_failed")
    step = steps_of(server, id, "operation failed")[-1]
    assert step["level"] == "error" and step["reason"]


def test_commands_audit_too(tmp_path: Path, host: FileHost) -> None:
    url = host.put("/a.png", lambda to: to.whole(b"", 404))
    export = write_export(tmp_path / "export", {DAY: [message(1, file("F1", f"{url}?t=TOPSECRET"))]})
    data = tmp_path / "data"

    def run(*arguments: str) -> str:
        done = subprocess.run(
            command(*arguments, "--data", str(data)),
            env=environment(CHATFERRY_DOWNLOAD_HOSTS=host.name),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return done.stderr

    quiet = run("import", "slack", str(export))
    assert "chatferry." not in quiet
    told = run("files", "--log-level", "info")
    assert re.search(r"INFO chatferry\.files a file did not come .*kind=file-not-fetched .*404", told)
    assert "TOPSECRET" not in told
    run("token", "--user", ADMIN)
    copy = str(tmp_path / "backup")
    for command_line in (("report",), ("purge", "--dry-run"), ("purge",), ("backup", copy)):
        run(*command_line)
    entries = audited(data)
    events = ["import started"] * 3 + ["token made", "purged", "backed up"]
    assert [entry["event"] for entry in entries] == events
    assert [entry.get("importer") for entry in entries[:3]] == ["slack", "pending-files", "pending-avatars"]
    assert all("uid" in entry for entry in entries)
    data = tmp_path / "restored"
    run("restore", copy)
    assert (audited(data)[-1]["event"], audited(data)[-1]["of"]) == ("restored", copy)


def test_the_audit_log_can_be_rotated(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        login(server).close()
        (tmp_path / "audit.log").rename(tmp_path / "audit.log.1")
        login(server).close()
    assert len(audited(tmp_path)) == 1


def test_stopped_in_the_middle_of_an_upload(tmp_path: Path) -> None:
    with serving(tmp_path) as server, login(server) as http:
        id = http.headers["X-User-Id"]
        with half_sent(server, http, b'{"binaryContent":"QUJD', "Content-Length: 1000000") as connection:
            assert server.stop() in (0, -15)  # 143 for a shell
            answer = connection.recv(1 << 16)
    assert b" 503 " in answer and b"The server is stopping" in answer
    told = (tmp_path / "stderr").read_text()
    assert "Traceback" not in told and "Exception" not in told
    assert re.search(f"chatferry.access call .*user={id} .*uploadImportFile status=503", told)
    assert server.uploads == []


def test_a_folder_among_the_uploads_does_not_stop_the_start(tmp_path: Path) -> None:
    (tmp_path / "uploads" / "mine" / "deep").mkdir(parents=True)
    (tmp_path / "uploads" / "left").write_text("of an upload that never ended")
    with serving(tmp_path) as server:
        assert [path.name for path in server.uploads] == ["mine"]
        assert httpx.get(f"{server.address}/api/info", trust_env=False).status_code == 200
