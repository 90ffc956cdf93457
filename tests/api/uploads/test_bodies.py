"""Uploads in one request, as JSON and as a form: the same operation comes of both, or nothing at all."""

import json
import re
import resource
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.paths import GOLDEN
from tests.support.serving import (
    NOT_ALLOWED,
    UNAUTHORIZED,
    Server,
    add_users,
    answered,
    client,
    current,
    latest,
    login,
    sent,
    serving,
    until,
    upload,
    upload_body,
    wait_for,
)

MIB = 2**20
FORM_TYPE = "multipart/form-data; boundary=x"
SUCCESS = {"success": True}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes uploads of 1 MiB and never gets an operation."""
    data = tmp_path_factory.mktemp("refusing") / "data"
    add_users(data, {"plain": ["user"]})
    with serving(data, CHATFERRY_MAX_UPLOAD_MIB="1", CHATFERRY_UPLOAD_SILENCE_SECONDS="1") as running:
        yield running


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    with login(server) as admin:
        yield admin


@pytest.fixture(scope="module")
def keeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("keeping") / "data"
    with serving(data, CHATFERRY_KEEP_UPLOADS_HOURS="1") as running:
        yield running


@pytest.fixture(scope="module")
def importing(keeper: Server) -> Iterator[httpx.Client]:
    """Calls of an administrator whose uploads begin operations."""
    with login(keeper) as admin:
        yield admin


def refused(server: Server, http: httpx.Client, answer: httpx.Response, status: int, reason: str) -> None:
    """This answer was given, and nothing stays of the upload."""
    body = answer.json()
    assert (answer.status_code, body["success"]) == (status, False), body
    assert reason in body["error"]
    assert latest(http) == []
    assert server.uploads == []
    assert not (server.data / "errors.log").exists()


def part(name: str, content: bytes = b"x", more: str = "", headers: str = "") -> bytes:
    head = f'--x\r\nContent-Disposition: form-data; name="{name}"{more}\r\n{headers}\r\n'
    return head.encode() + content + b"\r\n"


KEY = part("importerKey", b"slack")
FILE = part("file", b"This is no archive.", '; filename="a.zip"')
END = b"--x--\r\n"


def post_form(http: httpx.Client, *parts: bytes) -> httpx.Response:
    return http.post(
        "import.upload?replace=true", content=b"".join(parts) + END, headers={"Content-Type": FORM_TYPE}
    )


# ---------------------------------------------------------------- forms that are taken


def told(operation: dict[str, Any]) -> dict[str, Any]:
    """Return an operation without its id and its times."""
    kept = {key: value for key, value in operation.items() if key not in ("_id", "ts", "_updatedAt")}
    return {**kept, "file": re.sub(r"^\d+_", "", operation["file"])}


def test_a_form_ends_as_json_does(importing: httpx.Client) -> None:
    upload(importing)
    by_json = wait_for(importing, "importer_user_selection")
    with GOLDEN.open("rb") as archive:
        answer = importing.post(
            "import.upload",
            data={"importerKey": "slack"},
            files={"file": (GOLDEN.name, archive, "application/zip")},
        )
    assert (answer.status_code, answer.content) == (200, b'{"success":true}')
    by_form = wait_for(importing, "importer_user_selection")
    assert by_form["_id"] != by_json["_id"]
    assert told(by_form) == told(by_json)


@pytest.mark.parametrize(
    ("parts", "name", "type"),
    [
        ((KEY, FILE), "a.zip", "application/octet-stream"),
        ((FILE, KEY), "a.zip", "application/octet-stream"),
        ((KEY, part("file", b"x", "", "Content-Type: a/b; c=d\r\n")), "import", "a/b; c=d"),
        ((KEY, FILE, part("fileName", b"b.zip"), part("contentType", b"c/d")), "b.zip", "c/d"),
        ((part("contentType", b""), part("fileName", b""), KEY, FILE), "import", ""),
        ((KEY, part("file", b"", '; filename="empty"')), "empty", "application/octet-stream"),
        ((KEY, part("file", b"x", '; filename="/etc/../../a.zip"')), "a.zip", "application/octet-stream"),
        ((KEY, FILE, part("fileName", b"..\\..\\b\0\x1b.zip")), "b.zip", "application/octet-stream"),
        ((KEY, part("file", b"x", '; filename="a\0b.zip"')), "ab.zip", "application/octet-stream"),
        (
            (KEY, part("file", b"x", '; filename="Übung 日本.zip"')),
            "Übung 日本.zip",
            "application/octet-stream",
        ),
        ((KEY, part("file", b"x", f'; filename="{"日" * 4096}"')), "日" * 200, "application/octet-stream"),
        ((KEY, FILE, part("fileName", b"\xff\xfe.zip")), "\ufffd\ufffd.zip", "application/octet-stream"),
        ((KEY, part("file", b"x", '; filename="a\\"b.zip"')), 'a"b.zip', "application/octet-stream"),
    ],
)
def test_names_and_types(
    keeper: Server, importing: httpx.Client, parts: tuple[bytes, ...], name: str, type: str
) -> None:
    """The name is shown, without what could do harm, and never used for a path."""
    answer = post_form(importing, *parts)
    assert (answer.status_code, answer.json()) == (200, SUCCESS)
    operation = wait_for(importing, "importer_import_failed")  # it is no archive
    assert operation["file"].partition(f"_{operation['user']}_")[2] == name
    assert operation["contentType"] == type
    assert keeper.data / "uploads" / operation["_id"] in keeper.uploads
    assert [path.name for path in keeper.data.parent.iterdir()] == ["data"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64 * 1024])
def test_the_file_is_kept_as_it_is(keeper: Server, importing: httpx.Client, size: int) -> None:
    """Also where it holds what looks like the end of a part, and however the body was cut."""
    content = b"\r\n--\r\n--y\r\n\r\n-\r\n--x\r\n--xy--" + bytes(range(256)) + b"\r\n--x"
    body = (KEY + part("file") + END).replace(b"--x", b"--xyz").replace(b"\r\nx\r\n", b"\r\n%b\r\n" % content)
    chunks = (body[at : at + size] for at in range(0, len(body), size))
    headers = {"Content-Type": "multipart/form-data; boundary=xyz"}
    assert importing.post("import.upload?replace=true", content=chunks, headers=headers).json() == SUCCESS
    operation = wait_for(importing, "importer_import_failed")
    assert (keeper.data / "uploads" / operation["_id"]).read_bytes() == content


def test_text_before_and_after_the_form_is_ignored(importing: httpx.Client) -> None:
    body = b"\r\n" + KEY + FILE + b"--x--\r\nThe end."
    answer = importing.post("import.upload?replace=true", content=body, headers={"Content-Type": FORM_TYPE})
    assert answer.json() == SUCCESS


def test_uploads_at_the_same_time(keeper: Server, importing: httpx.Client) -> None:
    """All are stored; the one that was complete last is the current operation, and its archive stays."""
    contents = [bytes([number]) * 300_000 for number in range(4)]

    def send(content: bytes) -> int:
        if content[0] % 2:
            return post_form(importing, KEY, part("file", content)).status_code
        return importing.post("uploadImportFile", json=upload_body(content)).status_code

    with ThreadPoolExecutor() as threads:
        assert list(threads.map(send, contents)) == [200] * 4
    assert [operation["valid"] for operation in latest(importing)].count(True) == 1
    last = current(importing)
    assert last["valid"] is True
    assert (keeper.data / "uploads" / last["_id"]).read_bytes() in contents


# ---------------------------------------------------------------- forms that are refused


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ((), "must have required property 'importerKey'"),
        ((FILE,), "must have required property 'importerKey'"),
        ((KEY,), "must have required property 'file'"),
        ((KEY, FILE, part("extra")), "must NOT have additional properties"),
        ((part("upload", b"x", '; filename="a"'), KEY), "must NOT have additional properties"),
        ((b"--x\r\n\r\nno name\r\n", KEY, FILE), "must NOT have additional properties"),
        ((KEY, FILE, FILE), "has file twice"),
        ((KEY, KEY, FILE), "has importerKey twice"),
        ((part("importerKey", b"png"), FILE), "The importer (png) has no import class defined."),
        ((part("importerKey", b"s" * 70_000), FILE), "more than 64 KiB beside the file"),
        ((KEY, FILE, part("fileName", b"x", "; a=" + "b" * 70_000)), "it is broken"),
        (
            (KEY, part("file", b"eA==", "", "Content-Transfer-Encoding: base64\r\n")),
            "Content-Transfer-Encoding",
        ),
        ((KEY, part("file", b"x", "", "No colon\r\n")), "it is broken"),
        ((KEY, part("file", b"x", "", "X: y\r\n" * 1000)), "it is broken"),
        ((b"nonsense\r\n", KEY, FILE), "it is broken"),
        ((b"--y\r\n", KEY, FILE), "it is broken"),
    ],
)
def test_forms_that_do_not_fit(
    server: Server, http: httpx.Client, parts: tuple[bytes, ...], reason: str
) -> None:
    refused(server, http, post_form(http, *parts), 400, reason)


def test_the_error_of_an_unknown_importer(http: httpx.Client) -> None:
    assert post_form(http, part("importerKey", b"png"), FILE).json() == {
        "success": False,
        "error": "The importer (png) has no import class defined. [error-importer-not-defined]",
        "errorType": "error-importer-not-defined",
        "details": "import.upload",
    }


@pytest.mark.parametrize(
    ("type", "status", "reason"),
    [
        (None, 415, "send multipart/form-data with the field importerKey"),
        ("application/json", 415, "send multipart/form-data"),
        ("multipart/form-data", 415, "send multipart/form-data"),
        ("multipart/form-data; boundary=", 415, "send multipart/form-data"),
        ("multipart/mixed; boundary=x", 415, "send multipart/form-data"),
        ("multipart/form-data; boundary=" + "x" * 1000, 400, "boundary of the form is too long"),
        ("multipart/form-data; boundary=y", 400, "it is broken"),
    ],
)
def test_malformed_forms_are_refused(
    server: Server, http: httpx.Client, type: str | None, status: int, reason: str
) -> None:
    headers = {"Content-Type": type} if type else {}
    refused(
        server,
        http,
        http.post("import.upload?replace=true", content=KEY + FILE + END, headers=headers),
        status,
        reason,
    )


@pytest.mark.parametrize("kept", [0, 1, 30, len(KEY), len(KEY) + 10, -len(END) - 5, -len(END), -3])
def test_a_form_that_ends_early(server: Server, http: httpx.Client, kept: int) -> None:
    body = (KEY + FILE + END)[:kept]
    answer = http.post("import.upload?replace=true", content=body, headers={"Content-Type": FORM_TYPE})
    refused(server, http, answer, 400, f"The body ended after {len(body)} bytes, inside the form")


def test_uploading_needs_a_login_and_the_permission(server: Server) -> None:
    with client(server) as nobody:
        answer = post_form(nobody, KEY, FILE)
        assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED)
    with login(server, "plain", "plain") as plain:
        answer = post_form(plain, KEY, FILE)
        assert (answer.status_code, answer.json()) == (403, NOT_ALLOWED)


# ---------------------------------------------------------------- JSON that is not called so


@pytest.mark.parametrize(
    "type", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonp"]
)
def test_json_that_is_not_called_json(server: Server, http: httpx.Client, type: str | None) -> None:
    """Rocket.Chat takes such a text apart sign by sign, and finds none of the properties."""
    headers = {"Content-Type": type} if type else {}
    content = json.dumps(upload_body(b"This is no archive.")).encode()
    answer = http.post("uploadImportFile", content=content, headers=headers)
    refused(server, http, answer, 400, "must have required property 'binaryContent'")


@pytest.mark.parametrize(
    "type", ["application/json", "Application/JSON; charset=utf-8", "application/x+json"]
)
def test_json_by_any_of_its_names(importing: httpx.Client, type: str) -> None:
    content = json.dumps(upload_body(b"This is no archive.")).encode()
    answer = importing.post("uploadImportFile", content=content, headers={"Content-Type": type})
    assert (answer.status_code, answer.json()) == (200, SUCCESS)


# ---------------------------------------------------------------- both: too much, too slow, cut off, no room


JSON_HEAD = b'{"importerKey":"slack","contentType":"a","fileName":"b","binaryContent":"'
FORM_HEAD = KEY + b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n'
WAYS = {
    "uploadImportFile": ("application/json", JSON_HEAD, b'"}'),
    "import.upload": (FORM_TYPE, FORM_HEAD, b"\r\n" + END),
}
ways = pytest.mark.parametrize("way", WAYS)


def body_of(way: str, length: int) -> bytes:
    """A body of exactly so many bytes."""
    _, head, tail = WAYS[way]
    room = length - len(head) - len(tail)
    if way == "uploadImportFile":
        head, room = head + b" " * (room % 4), room - room % 4  # base64 comes in fours
    return head + b"A" * room + tail


@ways
@pytest.mark.parametrize("chunked", [False, True])
def test_more_than_the_limit(server: Server, http: httpx.Client, way: str, chunked: bool) -> None:
    content = body_of(way, MIB + 1)
    blocks = (content[at : at + 50_000] for at in range(0, len(content), 50_000))
    answer = http.post(way, content=blocks if chunked else content, headers={"Content-Type": WAYS[way][0]})
    refused(server, http, answer, 413, "The body is larger than 1 MiB, the most that is accepted here")
    assert ("base64" in answer.json()["error"]) == (way == "uploadImportFile")


@ways
def test_a_body_that_announces_too_much_is_not_waited_for(
    server: Server, http: httpx.Client, way: str
) -> None:
    length = str(10**15)
    with sent(server, http, "POST", way, Content_Type=WAYS[way][0], Content_Length=length) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


@ways
def test_exactly_the_limit(tmp_path: Path, way: str) -> None:
    with serving(tmp_path, CHATFERRY_MAX_UPLOAD_MIB="1") as server, login(server) as http:
        answer = http.post(way, content=body_of(way, MIB), headers={"Content-Type": WAYS[way][0]})
        assert answer.json() == SUCCESS


@ways
@pytest.mark.parametrize("framing", [{"Content_Length": "400000"}, {"Transfer_Encoding": "chunked"}])
def test_a_client_that_goes_away(
    server: Server, http: httpx.Client, way: str, framing: dict[str, str]
) -> None:
    body = body_of(way, 300_000)[:200_000]
    chunk = b"%x\r\n%b\r\n" % (len(body), body) if "Transfer_Encoding" in framing else body
    with sent(server, http, "POST", way, chunk, Content_Type=WAYS[way][0], **framing):
        until(lambda: server.uploads != [])
    until(lambda: server.uploads == [])
    assert latest(http) == []


@ways
@pytest.mark.parametrize("sent_so_far", [0, 100, 200_000])
def test_a_client_that_falls_silent(server: Server, http: httpx.Client, way: str, sent_so_far: int) -> None:
    """It gets an error, and other callers are served meanwhile."""
    head = {"Content_Type": WAYS[way][0], "Content_Length": "300000"}
    body = body_of(way, 300_000)[:sent_so_far]
    with sent(server, http, "POST", way, body, **head) as connection:
        until(lambda: server.uploads != [])
        assert http.get("importers.list").status_code == 200
        answer = answered(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"Nothing came for 1 s," in answer
    assert (latest(http), server.uploads) == ([], [])


def test_many_clients_that_never_finish(server: Server, http: httpx.Client) -> None:
    """Half a head, half a body: other callers are served all the same."""
    waiting: list[socket.socket] = []
    try:
        for _ in range(40):
            connection = socket.create_connection(("127.0.0.1", server.port))
            connection.sendall(b"POST /api/v1/uploadImportFile HTTP/1.1\r\nHost: ")
            waiting.append(connection)
            headers = {"Content_Type": FORM_TYPE, "Content_Length": "300000"}
            waiting.append(sent(server, http, "POST", "import.upload?replace=true", KEY, **headers))
        assert http.get("importers.list").status_code == 200
    finally:
        for connection in waiting:
            connection.close()
    until(lambda: server.uploads == [])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits another process's files")
@ways
def test_no_room(tmp_path: Path, way: str) -> None:
    """The client gets the error of the disk, and the partial file is removed."""
    with serving(tmp_path) as server, login(server) as http:
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (4 * MIB, 4 * MIB))
        content = body_of(way, 8 * MIB)
        answer = http.post(way, content=content, headers={"Content-Type": WAYS[way][0]})
        refused(server, http, answer, 507, "The file cannot be stored on the server: File too large.")
        if way == "import.upload":
            assert post_form(http, KEY, FILE).json() == SUCCESS
        else:
            assert http.post(way, json=upload_body(b"x")).json() == SUCCESS


@ways
def test_no_folder(tmp_path: Path, way: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "uploads").write_text("in the way")
    with serving(tmp_path / "data") as server, login(server) as http:
        answer = http.post(way, content=body_of(way, 1000), headers={"Content-Type": WAYS[way][0]})
        assert answer.status_code == 400
        assert "The file cannot be stored on the server" in answer.json()["error"]
        assert latest(http) == []


@ways
def test_killed_inside_an_upload(tmp_path: Path, way: str) -> None:
    """Nobody can go on with it: the next start removes what had come."""
    with serving(tmp_path) as server, login(server) as http:
        head = {"Content_Type": WAYS[way][0], "Content_Length": "900000"}
        with sent(server, http, "POST", way, body_of(way, 900_000)[:800_000], **head):
            until(lambda: any(path.stat().st_size for path in server.uploads))
            server.kill()
        assert server.uploads != []
    with serving(tmp_path) as server, login(server) as http:
        assert (server.uploads, latest(http)) == ([], [])


def test_a_form_can_name_the_origin(importing: httpx.Client) -> None:
    assert post_form(importing, KEY, part("origin", b"acme-2019"), FILE).json() == SUCCESS
    refused = post_form(importing, KEY, part("origin", b"no name"), FILE)
    assert refused.status_code == 400
    assert refused.json()["errorType"] == "error-import-origin"
