"""What is refused, in which words, and that a refused request leaves nothing behind."""

import hashlib
import json
import os
import re
import shutil
import socket
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

import chatferry.server
from chatferry.api.imports import get_import_file_data
from chatferry.api.services import Call, Services
from chatferry.documents import USERS
from chatferry.errors import RequestError
from chatferry.ids import ALPHABET, new_id, new_token
from chatferry.settings import Settings
from chatferry.store import Store
from chatferry.worker import Worker
from tests.importing import new_operation, workspace
from tests.serving import (
    ADMIN,
    EMAIL,
    GOLDEN,
    NOT_ALLOWED,
    PASSWORD,
    UNAUTHORIZED,
    Server,
    add_users,
    client,
    documents,
    half_sent,
    latest,
    login,
    raw,
    serving,
    until,
    upload_body,
    wait_for,
)

MIB = 2**20
UPLOAD = upload_body(b"This is no archive.")
BODIES: dict[str, Any] = {
    "uploadImportFile": UPLOAD,
    "downloadPublicImportFile": {"fileUrl": "/srv/export.zip", "importerKey": "slack"},
    "startImport": {"input": {}},
    "import.clear": {},
}
CHECKED_GETS = (
    "getImportFileData",
    "getImportProgress",
    "getLatestImportOperations",
    "getCurrentImportOperation",
    "importers.list",
)
ENDPOINTS = (*CHECKED_GETS, "import.status", *BODIES)
NO_OPERATION = {"state": "none", "success": True}
NO_LOGIN = {"success": False, "error": "Unauthorized", "status": "error", "message": "Unauthorized"}
JSON_TYPE = {"Content-Type": "application/json"}
Refusal = tuple[int, dict[str, Any]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes uploads of 1 MiB and never gets an operation."""
    data = tmp_path_factory.mktemp("refusing") / "data"
    add_users(
        data,
        {"plain": ["user"], "starter": ["starter"], "watcher": ["watcher"], "inactive": ["user"]},
        run_import=("starter",),
        view_import_operations=("watcher",),
    )
    with serving(data, CHATFERRY_MAX_UPLOAD_MIB="1") as running:
        yield running


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    with login(server) as admin:
        yield admin


@pytest.fixture(scope="module")
def plain(server: Server) -> Iterator[httpx.Client]:
    """Somebody who may do nothing."""
    with login(server, "plain", "plain") as nobody_special:
        yield nobody_special


@pytest.fixture(autouse=True)
def nothing_is_left(server: Server, http: httpx.Client) -> Iterator[None]:
    """Whatever a test sends to `server`: no operation, no file, no trace of a failure."""
    yield
    assert latest(http) == []
    log = server.data / "errors.log"
    failures = log.read_text() if log.exists() else ""
    log.unlink(missing_ok=True)  # the next test is not to blame
    assert failures == ""
    assert server.uploads == []
    assert [path.name for path in server.data.parent.iterdir()] == ["data"]
    stores = [f"{name}.sqlite3{more}" for name in ("store", "workspace") for more in ("", "-wal", "-shm")]
    assert {path.name for path in server.data.iterdir()} <= {*stores, "lock", "stderr", "uploads"}


def call(http: httpx.Client, endpoint: str, **more: Any) -> httpx.Response:
    """An endpoint as it is meant to be called."""
    if endpoint in BODIES:
        return http.post(endpoint, json=BODIES[endpoint], **more)
    return http.get(endpoint, **more)


def refusal(answer: httpx.Response) -> Refusal:
    """Status and body; the headers are those of every answer."""
    assert answer.headers["content-type"] == "application/json"
    assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
    body: dict[str, Any] = answer.json()
    return answer.status_code, body


def invalid(reason: str, type: str = "invalid-params") -> Refusal:
    return 400, {"success": False, "errorType": type, "error": reason}


def action_error(reason: str, code: str, details: str) -> Refusal:
    error = f"{reason} [{code}]".strip()
    return 400, {"success": False, "error": error, "errorType": code, "details": details}


# ---------------------------------------------------------------- who may call


@pytest.mark.parametrize("endpoint", [*ENDPOINTS, "me", "logout"])
def test_without_credentials(server: Server, http: httpx.Client, endpoint: str) -> None:
    user, token = http.headers["X-User-Id"], http.headers["X-Auth-Token"]
    with client(server) as nobody:
        for user_id, auth_token in [
            ("", ""),
            (user, ""),
            ("", token),
            (user, new_token()),
            (new_id(), token),
        ]:
            headers = {"X-User-Id": user_id, "X-Auth-Token": auth_token}
            assert refusal(call(nobody, endpoint, headers=headers)) == (401, UNAUTHORIZED)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_without_permission(plain: httpx.Client, endpoint: str) -> None:
    assert refusal(call(plain, endpoint)) == (403, NOT_ALLOWED)


def test_each_endpoint_asks_for_its_permission(server: Server) -> None:
    with login(server, "starter", "starter") as starter, login(server, "watcher", "watcher") as watcher:
        for endpoint in ENDPOINTS:
            to_view = endpoint == "getLatestImportOperations"
            allowed, refused = (watcher, starter) if to_view else (starter, watcher)
            assert refusal(call(refused, endpoint)) == (403, NOT_ALLOWED)
            if endpoint != "uploadImportFile":  # would begin an operation
                assert call(allowed, endpoint).status_code in (200, 400)


def test_me_needs_no_permission(plain: httpx.Client) -> None:
    assert plain.get("me").json()["username"] == "plain"


def test_checks_have_an_order(server: Server, http: httpx.Client, plain: httpx.Client) -> None:
    """Who, may, query or body, and only then what it is about."""
    with client(server) as nobody:
        wrong = "getImportFileData?a=1"
        assert refusal(nobody.get(wrong)) == (401, UNAUTHORIZED)
        assert refusal(plain.get(wrong)) == (403, NOT_ALLOWED)
        assert refusal(http.get(wrong))[1]["errorType"] == "error-invalid-params"
        for endpoint in ("uploadImportFile", "downloadPublicImportFile", "startImport"):
            assert refusal(nobody.post(endpoint, json=[])) == (401, UNAUTHORIZED)
            assert refusal(plain.post(endpoint, json=[])) == (403, NOT_ALLOWED)
            assert refusal(http.post(endpoint, json=[])) == invalid("must be object")
    unknown = {**UPLOAD, "importerKey": "png", "extra": 1}
    assert refusal(http.post("uploadImportFile", json=unknown)) == invalid(
        "must NOT have additional properties"
    )


# ---------------------------------------------------------------- queries and bodies


@pytest.mark.parametrize("endpoint", CHECKED_GETS)
def test_no_query_is_allowed(http: httpx.Client, endpoint: str) -> None:
    wrong = invalid("must NOT have additional properties", "error-invalid-params")
    for query in ("?a=1", "?count=50&offset=0", "?a", "?%61=%zz", "?a=%ff%fe", "?%00=%00", "?a[]=1&a[]=2"):
        assert refusal(http.get(endpoint + query)) == wrong


@pytest.mark.parametrize("query", ["?", "?&", "?&&&"])
def test_empty_queries(http: httpx.Client, query: str) -> None:
    assert http.get(f"importers.list{query}").json() == [{"key": "slack", "name": "Slack"}]


def test_the_query_of_import_status_is_not_checked(http: httpx.Client) -> None:
    assert http.get("import.status?a=1&b=%ff").json() == NO_OPERATION


def without(key: str) -> dict[str, str]:
    return {name: value for name, value in UPLOAD.items() if name != key}


@pytest.mark.parametrize(
    ("endpoint", "body", "reason"),
    [
        ("uploadImportFile", {}, "must have required property 'binaryContent'"),
        ("uploadImportFile", without("contentType"), "must have required property 'contentType'"),
        ("uploadImportFile", without("fileName"), "must have required property 'fileName'"),
        ("uploadImportFile", without("importerKey"), "must have required property 'importerKey'"),
        ("uploadImportFile", {**without("fileName"), "extra": 1}, "must have required property 'fileName'"),
        ("uploadImportFile", {**UPLOAD, "extra": 1}, "must NOT have additional properties"),
        ("uploadImportFile", {**UPLOAD, "binaryContent": {}}, "must be string"),
        ("uploadImportFile", {**UPLOAD, "fileName": ["x"]}, "must be string"),
        ("downloadPublicImportFile", {}, "must have required property 'fileUrl'"),
        ("downloadPublicImportFile", {"fileUrl": "x"}, "must have required property 'importerKey'"),
        (
            "downloadPublicImportFile",
            {"fileUrl": "x", "importerKey": "slack", "extra": 1},
            "must NOT have additional properties",
        ),
        ("startImport", {}, "must have required property 'input'"),
        ("startImport", {"input": None}, "must be object"),
        ("startImport", {"input": {"users": None}}, "must be object"),
        ("startImport", {"input": {"users": {"all": "yes"}}}, "must be boolean"),
        ("startImport", {"input": {"users": {"list": "a"}}}, "must be array"),
        (
            "startImport",
            {"input": {"users": [], "channels": [{}]}},
            "must have required property 'channel_id'",
        ),
        ("startImport", {"input": {}, "extra": 1}, "must NOT have additional properties"),
        *((endpoint, [], "must be object") for endpoint in list(BODIES)[:3]),
    ],
)
def test_bodies_that_do_not_fit(http: httpx.Client, endpoint: str, body: object, reason: str) -> None:
    assert refusal(http.post(endpoint, json=body)) == invalid(reason)


FIRST_REQUIRED = {
    "uploadImportFile": "must have required property 'binaryContent'",
    "downloadPublicImportFile": "must have required property 'fileUrl'",
    "startImport": "must have required property 'input'",
}


@pytest.mark.parametrize("endpoint", FIRST_REQUIRED)
@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"", None),
        (b"", b"application/json"),
        (b" \n", b"application/json"),
        (b"{", b"application/json"),
        (b'{"input":{}', b"application/json"),
        (b"{'input':{}}", b"application/json"),
        (b"\xff\xfe", b"application/json"),
        (b'{"input":1e999,"fileUrl":NaN}', b"application/json"),
        (b"PK\3\4 raw bytes of a file", b"application/zip"),
        (b"hello", b"text/plain"),
        (b"hello", None),
        (b"a=1&b=%ff&c", b"application/x-www-form-urlencoded"),
        (b"--x\r\n\r\nhello\r\n--x--", b"multipart/form-data; boundary=x"),
        (b"hello", b"nonsense"),
        (b"hello", b";;;=\xff"),
    ],
)
def test_bodies_that_are_no_json_count_as_empty(
    http: httpx.Client, endpoint: str, content: bytes, content_type: bytes | None
) -> None:
    headers = {b"Content-Type": content_type} if content_type else {}
    answer = http.post(endpoint, content=content, headers=headers)
    assert refusal(answer) == invalid(FIRST_REQUIRED[endpoint])


@pytest.mark.parametrize("endpoint", ["downloadPublicImportFile", "startImport"])
def test_json_that_is_not_called_json(http: httpx.Client, endpoint: str) -> None:
    """Rocket.Chat takes such a text apart sign by sign."""
    answer = http.post(
        endpoint, content=json.dumps(BODIES[endpoint]).encode(), headers={"Content-Type": "text/plain"}
    )
    assert refusal(answer) == invalid(FIRST_REQUIRED[endpoint])


# ---------------------------------------------------------------- what the endpoints themselves refuse


@pytest.mark.parametrize("endpoint", ["startImport", "getImportFileData", "getImportProgress"])
def test_before_the_first_operation(http: httpx.Client, endpoint: str) -> None:
    expected = action_error("Import Operation Not Found", "error-operation-not-found", endpoint)
    assert refusal(call(http, endpoint)) == expected


def test_answers_before_the_first_operation(http: httpx.Client) -> None:
    assert http.get("getCurrentImportOperation").content == b'{"success":true}'
    assert http.get("getLatestImportOperations").content == b"[]"
    assert http.post("import.clear").json() == {"success": True}
    assert http.post("import.clear", content=b"{ignored").json() == {"success": True}


def test_waiting_for_an_operation_that_was_taken_back(tmp_path: Path) -> None:
    """Over HTTP this shows only for the moment until the worker takes notice: so here without HTTP."""
    settings = Settings(data=tmp_path)
    taken_back = replace(new_operation(tmp_path / "x.zip", workspace()), valid=False)
    with Store() as store, pytest.raises(RequestError) as caught:
        store.operations.add(taken_back)
        services = Services(settings, store, Worker(store, settings))
        get_import_file_data(Call(services=services, user={}, token="", body={}, site=""))
    error = caught.value
    wire = {"success": False, "error": str(error), "errorType": error.type, "details": error.details}
    reason, code = "Invalid Import Operation", "error-import-operation-invalid"
    assert (error.status, wire) == action_error(reason, code, "getImportFileData")


@pytest.mark.parametrize(
    "key", ["png", "", "SLACK", "slack ", "../slack", "__class__", "slack\0", "x" * 5000, "é"]
)
def test_unknown_importers(http: httpx.Client, key: str) -> None:
    reason, code = f"The importer ({key}) has no import class defined.", "error-importer-not-defined"
    answer = http.post("uploadImportFile", json={**UPLOAD, "importerKey": key})
    assert refusal(answer) == action_error(reason, code, "uploadImportFile")
    answer = http.post("downloadPublicImportFile", json={"fileUrl": "/srv/x.zip", "importerKey": key})
    assert refusal(answer) == action_error(reason, code, "downloadImportFile")


def test_an_importer_key_that_is_a_number(http: httpx.Client) -> None:
    answer = http.post("uploadImportFile", json={**UPLOAD, "importerKey": 5.0})
    assert "The importer (5) has no import class" in refusal(answer)[1]["error"]


# ---------------------------------------------------------------- uploads that go wrong


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({**UPLOAD, "binaryContent": "QUJD%%"}, "not base64: at byte offset 4 it has '%'"),
        ({**UPLOAD, "binaryContent": "A" * 100_000 + "!"}, "not base64: at byte offset 100000 it has '!'"),
        ({**UPLOAD, "binaryContent": "QUJDR"}, "a character is missing or one too many"),
        ({**UPLOAD, "binaryContent": "QUJD="}, "ends with too many '='"),
        ({**UPLOAD, "binaryContent": "\0"}, "not base64: at byte offset 0"),
        ({**UPLOAD, "binaryContent": "é"}, "not base64: at byte offset 0"),
    ],
)
def test_bad_base64(http: httpx.Client, body: object, reason: str) -> None:
    assert_invalid_upload(http.post("uploadImportFile", json=body), reason)


def assert_invalid_upload(answer: httpx.Response, reason: str) -> None:
    status, body = refusal(answer)
    assert (status, body["success"], body["errorType"]) == (400, False, "invalid-params")
    assert reason in body["error"]


@pytest.mark.parametrize("kept", [20, 1000, 100_000, -1])
def test_json_that_ends_early(http: httpx.Client, kept: int) -> None:
    whole = json.dumps(upload_body(bytes(200_000))).encode()
    answer = http.post("uploadImportFile", content=whole[:kept], headers=JSON_TYPE)
    assert_invalid_upload(answer, f"The body ended after {len(whole[:kept])} bytes")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ('"binaryContent":"QUJD","binaryContent":"QUJD"', "has binaryContent twice"),
        ('"binaryContent":"QUJD","fileName":x', "not JSON"),
        ('"binaryContent":"QUJD","fileName":"\\ud800"', "not JSON"),
        ('"binaryContent":"QUJD","fileName":"' + "x" * 70_000 + '"', "more than 64 KiB beside"),
        ('"binaryContent":"QUJD","fileName":' + "[" * 30_000 + "]" * 30_000, "not JSON"),
        ('"binaryContent":"QUJD","fileName":' + "[" * 100_000 + "]" * 100_000, "more than 64 KiB beside"),
    ],
)
def test_broken_around_the_file(http: httpx.Client, fields: str, reason: str) -> None:
    content = f'{{"contentType":"a","importerKey":"slack",{fields}}}'.encode()
    assert_invalid_upload(http.post("uploadImportFile", content=content, headers=JSON_TYPE), reason)


@pytest.mark.parametrize("chunked", [False, True])
def test_too_large(http: httpx.Client, chunked: bool) -> None:
    content = json.dumps(upload_body(bytes(MIB))).encode()
    blocks = (content[at : at + 50_000] for at in range(0, len(content), 50_000))
    answer = http.post("uploadImportFile", content=blocks if chunked else content, headers=JSON_TYPE)
    status, body = refusal(answer)
    assert (status, body["success"], body["errorType"]) == (413, False, "invalid-params")
    assert "larger than 1 MiB" in body["error"]


@pytest.mark.parametrize("endpoint", ["downloadPublicImportFile", "startImport", "login"])
def test_other_bodies_are_limited_too(http: httpx.Client, endpoint: str) -> None:
    blocks = (bytes(MIB) for _ in range(17))
    status, body = refusal(http.post(endpoint, content=blocks, headers=JSON_TYPE))
    assert (status, body) == (413, {"success": False, "error": "The body is larger than 16 MiB."})


@pytest.mark.parametrize("framing", ["Content-Length: 400000", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("says_so", [True, False])
def test_connection_that_ends_early(server: Server, http: httpx.Client, framing: str, says_so: bool) -> None:
    """More was promised than comes. Nobody is left to be told; nothing stays of it."""
    body = json.dumps(upload_body(bytes(200_000))).encode()
    part = b"%x\r\n%b\r\n" % (len(body), body) if "chunked" in framing else body
    with half_sent(server, http, part, framing) as connection:
        if says_so:
            connection.shutdown(socket.SHUT_WR)
            assert not re.match(rb"HTTP/1.1 [25]", connection.recv(100))
    until(lambda: not server.uploads)


# ---------------------------------------------------------------- hostile requests


@pytest.mark.parametrize("endpoint", ["downloadPublicImportFile", "startImport", "login"])
@pytest.mark.parametrize("opening", ["[", '{"input":[', '{"input":', '{"fileUrl":[', '{"user":['])
def test_deep_nesting(http: httpx.Client, endpoint: str, opening: str) -> None:
    closing = opening.replace("{", "}").replace("[", "]")[::-1]
    content = opening + "[" * 100_000 + "]" * 100_000 + "".join(sign for sign in closing if sign in "]}")
    answer = http.post(endpoint, content=content.encode(), headers=JSON_TYPE)
    assert refusal(answer) == ((401, NO_LOGIN) if endpoint == "login" else invalid(FIRST_REQUIRED[endpoint]))


def test_of_equal_keys_the_last_counts(http: httpx.Client) -> None:
    content = b'{"fileUrl":"/first","fileUrl":"/second","importerKey":"slack"}'
    answer = http.post("downloadPublicImportFile", content=content, headers=JSON_TYPE)
    assert refusal(answer) == missing("/second")


def missing(url: str) -> Refusal:
    return action_error(url, "error-import-file-missing", "downloadPublicImportFile")


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
    status, body = refusal(http.request(method, endpoint))
    assert (status, sorted(body), body["success"]) == (405, ["error", "success"], False)


@pytest.mark.parametrize("endpoint", ["import.clear", "startImport", "uploadImportFile"])
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
        b"GET /api/info HTTP/9.9\r\nHost: x\r\n\r\n",
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


def test_http_1_0(server: Server, http: httpx.Client) -> None:
    answer = raw(server, b"GET /api/info HTTP/1.0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["success"] is True
    body = json.dumps({"user": ADMIN, "password": "wrong"}).encode()
    head = b"POST /api/v1/login HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    answer = raw(server, head % len(body) + body)
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == NO_LOGIN


@pytest.mark.parametrize("size", [1, 7, 100])
def test_chunked_bodies(http: httpx.Client, size: int) -> None:
    def blocks(body: object) -> Iterator[bytes]:
        content = json.dumps(body).encode()
        yield from (content[at : at + size] for at in range(0, len(content), size))

    answer = http.post(
        "downloadPublicImportFile", content=blocks(BODIES["downloadPublicImportFile"]), headers=JSON_TYPE
    )
    assert refusal(answer) == missing("/srv/export.zip")
    answer = http.post(
        "uploadImportFile", content=blocks({**UPLOAD, "importerKey": "png"}), headers=JSON_TYPE
    )
    assert refusal(answer)[1]["errorType"] == "error-importer-not-defined"


def test_answers_are_not_held_back() -> None:
    """asyncio sets TCP_NODELAY only where the protocol is TCP; a connection has its listener's."""
    with chatferry.server._listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_the_server_still_works(server: Server, http: httpx.Client) -> None:
    """A connection that is kept open serves on after every kind of refusal."""
    with client(server) as nobody:
        for body in (b"", b"[" * 100_000, bytes(2 * MIB)):
            nobody.post("uploadImportFile", content=body)
            http.post("uploadImportFile", content=body)
            assert http.get("importers.list").status_code == 200


# ---------------------------------------------------------------- file names


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What lies on the machine of the server `library`: an allowed directory, and others beside it."""
    root = tmp_path_factory.mktemp("shelf")
    for folder in ("allowed/inside", "allowed-not", "outside"):
        (root / folder).mkdir(parents=True)
        shutil.copy(GOLDEN, root / folder / "export.zip")
    with zipfile.ZipFile(GOLDEN) as archive:
        archive.extractall(root / "allowed" / "folder")
    (root / "allowed" / "within.zip").symlink_to(root / "allowed" / "inside" / "export.zip")
    (root / "allowed" / "out.zip").symlink_to(root / "outside" / "export.zip")
    (root / "allowed" / "out").symlink_to(root / "outside")
    (root / "allowed" / "loop").symlink_to("loop")
    (root / "allowed" / "nowhere.zip").symlink_to(root / "gone.zip")
    os.mkfifo(root / "allowed" / "pipe")
    return root


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory, shelf: Path) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("library") / "data"
    dirs = os.pathsep.join([str(shelf / "allowed"), str(shelf / "another")])
    with serving(data, CHATFERRY_IMPORT_DIRS=dirs) as running:
        yield running


@pytest.fixture(scope="module")
def librarian(library: Server) -> Iterator[httpx.Client]:
    with login(library) as admin:
        yield admin


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../../../../../tmp/chatferry-was-here.zip", "chatferry-was-here.zip"),
        ("..\\..\\chatferry-was-here.zip", "chatferry-was-here.zip"),
        ("/etc/passwd", "passwd"),
        ("C:\\Users\\ann\\export.zip", "export.zip"),
        ("..", ".."),
        ("a\0b.zip", "ab.zip"),
        ("a\r\nSet-Cookie: b=c\n.zip", "aSet-Cookie: b=c.zip"),
        ("\u202egpj.zip\x1b[31m", "gpj.zip[31m"),
        ("x" * 4096 + ".zip", "x" * 196 + ".zip"),
        ("Übung 日本 🎉.zip", "Übung 日本 🎉.zip"),
        ("", "import"),
        ("folder/", "import"),
        (True, "true"),
        (None, "import"),
    ],
)
def test_file_names(library: Server, librarian: httpx.Client, name: object, shown: str) -> None:
    """The name is shown, without what could do harm, and never used for a path."""
    answer = librarian.post("uploadImportFile", json={**UPLOAD, "fileName": name, "contentType": "a\r\nb: c"})
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    operation = wait_for(librarian, "importer_import_failed")
    user = librarian.headers["X-User-Id"]
    stamp, _, rest = operation["file"].partition(f"_{user}_")
    assert (stamp.isdigit(), rest) == (True, shown)
    assert operation["contentType"] == "a\r\nb: c"
    assert library.data / "uploads" / operation["_id"] in library.uploads
    assert all(re.fullmatch(f"[{ALPHABET}]{{17}}", path.name) for path in library.uploads)
    assert [path.name for path in library.data.parent.iterdir()] == ["data"]
    assert {path.name for path in library.data.iterdir() if path.is_dir()} == {"uploads"}
    assert not list(Path("/tmp").glob("chatferry-was-here*"))


def test_scalars_are_taken_for_strings(librarian: httpx.Client) -> None:
    body = {"binaryContent": 5, "contentType": None, "fileName": True, "importerKey": "slack"}
    assert librarian.post("uploadImportFile", json=body).json() == {"success": True}
    operation = wait_for(librarian, "importer_import_failed")
    assert (operation["contentType"], operation["file"].rpartition("_")[2]) == ("", "true")


# ---------------------------------------------------------------- files on the server


def download(http: httpx.Client, url: object) -> httpx.Response:
    return http.post("downloadPublicImportFile", json={"fileUrl": str(url), "importerKey": "slack"})


@pytest.mark.parametrize(
    "path", ["inside/export.zip", "within.zip", "inside/../inside/export.zip", "../allowed/inside/export.zip"]
)
def test_a_file_on_the_server(librarian: httpx.Client, shelf: Path, path: str) -> None:
    assert download(librarian, f"{shelf}/allowed/{path}").json() == {"success": True}
    operation = wait_for(librarian, "importer_user_selection")
    assert "contentType" not in operation
    assert re.fullmatch(rf"\d+_{operation['user']}_export\.zip", operation["file"])
    assert operation["count"]["messages"] == 300


def test_a_folder_on_the_server(library: Server, librarian: httpx.Client, shelf: Path) -> None:
    folder = f"{shelf}/allowed/folder"
    before = sorted(path.relative_to(shelf) for path in shelf.rglob("*"))
    assert download(librarian, folder).json() == {"success": True}
    operation = wait_for(librarian, "importer_user_selection")
    assert (operation["file"], operation["count"]["messages"]) == (folder, 300)
    answer = librarian.post(
        "startImport", json={"input": {"users": {"all": True}, "channels": {"all": True}}}
    )
    assert answer.json() == {"success": True}
    assert wait_for(librarian, "importer_done")["count"]["completed"] == 331
    assert sorted(path.relative_to(shelf) for path in shelf.rglob("*")) == before


@pytest.mark.parametrize(
    "path",
    [
        "{shelf}/allowed/missing.zip",
        "{shelf}/another/missing.zip",
        "{shelf}/outside/export.zip",
        "{shelf}/outside/missing.zip",
        "{shelf}/outside",
        "{shelf}",
        "{shelf}/allowed-not/export.zip",
        "{shelf}/allowed/../outside/export.zip",
        "{shelf}/allowed/inside/../../outside/export.zip",
        "{shelf}/allowed/out.zip",
        "{shelf}/allowed/out/export.zip",
        "{shelf}/allowed/out",
        "{shelf}/allowed/loop",
        "{shelf}/allowed/nowhere.zip",
        "{shelf}/allowed/inside/export.zip/x",
        "{shelf}/allowed/%2e%2e/outside/export.zip",
        "{shelf}/allowed/inside/export.zip\0",
        " {shelf}/allowed/inside/export.zip",
        "file://{shelf}/allowed/inside/export.zip",
        "ftp://example.com/export.zip",
        "httpfoo",
        "allowed/inside/export.zip",
        "~/export.zip",
        "/etc/passwd",
        "/proc/self/environ",
        "/dev/zero",
        "/",
        "..",
        "",
        "x" * 5000,
        "a\nb",
    ],
)
def test_other_paths_are_missing(librarian: httpx.Client, shelf: Path, path: str) -> None:
    """Whether nothing is there or it is not allowed, the answer is the same."""
    before = latest(librarian)
    url = path.format(shelf=shelf)
    assert refusal(download(librarian, url)) == missing(url)
    assert latest(librarian) == before


def test_without_allowed_directories_every_path_is_missing(http: httpx.Client, shelf: Path) -> None:
    for path in (shelf / "allowed" / "inside" / "export.zip", Path("/"), shelf / "gone"):
        assert refusal(download(http, path)) == missing(str(path))


def test_what_is_neither_file_nor_folder(librarian: httpx.Client, shelf: Path) -> None:
    """A pipe would keep its reader waiting for ever."""
    assert download(librarian, shelf / "allowed" / "pipe").json() == {"success": True}
    wait_for(librarian, "importer_import_failed")
    assert "neither a file nor a folder" in librarian.get("getImportFileData").json()["error"]


def test_a_name_that_is_not_utf8(librarian: httpx.Client, shelf: Path) -> None:
    """A link can lead to a file with a name from an older system."""
    old = shelf / "allowed" / os.fsdecode(b"\xe9t\xe9.zip")
    shutil.copy(GOLDEN, old)
    link = shelf / "allowed" / "summer.zip"
    link.symlink_to(old)
    assert download(librarian, link).status_code in (200, 400)


# ---------------------------------------------------------------- logging in and out


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
        {"user": ADMIN, "password": "x" * 100_000},
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


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_logout(server: Server, method: str) -> None:
    with login(server, "plain", "plain") as plain, login(server, "plain", "plain") as other:
        answer = plain.request(method, "logout")
        wire = {"status": "success", "data": {"message": "You've been logged out!"}}
        assert refusal(answer) == (200, wire)
        for endpoint in ("me", "logout", *ENDPOINTS):
            assert refusal(call(plain, endpoint)) == (401, UNAUTHORIZED)
        assert other.get("me").status_code == 200


def test_me(server: Server, http: httpx.Client) -> None:
    status, me = refusal(http.get("me"))
    assert status == 200
    address = {"address": EMAIL, "verified": True}
    expected = {
        "_id": http.headers["X-User-Id"],
        "username": ADMIN,
        "roles": ["admin"],
        "active": True,
        "emails": [address],
        "email": EMAIL,
        "settings": {"profile": {}, "preferences": {}, "calendar": {}},
        "avatarUrl": f"{server.address}/avatar/{ADMIN}",
        "isOAuthUser": False,
        "services": {"password": {"exists": True}},
        "success": True,
    }
    assert {key: me.get(key) for key in expected} == expected


def test_no_secret_is_told(server: Server, http: httpx.Client) -> None:
    token = http.headers["X-Auth-Token"]
    account = next(user for user in documents(server.data, USERS) if user["username"] == ADMIN)
    tokens = [entry["hashedToken"] for entry in account["services"]["resume"]["loginTokens"]]
    secrets = [token, account["services"]["password"]["bcrypt"], *tokens]
    with client(server) as nobody:
        told = nobody.post("login", json={"user": ADMIN, "password": PASSWORD}).json()["data"]["me"]
    texts = [http.get("me").text, json.dumps(told), *(call(http, endpoint).text for endpoint in CHECKED_GETS)]
    assert len(tokens) > 0
    assert not [secret for secret in secrets for text in texts if secret in text]


@pytest.mark.parametrize("query", ["", "?a=1"])
def test_info(server: Server, query: str) -> None:
    with client(server) as nobody:
        answer = nobody.get(f"{server.address}/api/info{query}")
    status, info = refusal(answer)
    assert (status, info["version"], info["success"]) == (200, "8.8", True)
    assert info["minimumClientVersions"].keys() == {"desktop", "mobile"}
