"""uploadImportFile: refusals, and names of files."""

import json
import re
import socket
from pathlib import Path

import httpx
import pytest

from chatferry.ids import ALPHABET
from tests.support.refusals import JSON_TYPE, MIB, UPLOAD, action_error, invalid, refusal
from tests.support.serving import Server, half_sent, until, upload_body, wait_for

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def without(key: str) -> dict[str, str]:
    return {name: value for name, value in UPLOAD.items() if name != key}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "must have required property 'binaryContent'"),
        (without("contentType"), "must have required property 'contentType'"),
        (without("fileName"), "must have required property 'fileName'"),
        (without("importerKey"), "must have required property 'importerKey'"),
        ({**without("fileName"), "extra": 1}, "must have required property 'fileName'"),
        ({**UPLOAD, "extra": 1}, "must NOT have additional properties"),
        ({**UPLOAD, "binaryContent": {}}, "must be string"),
        ({**UPLOAD, "fileName": ["x"]}, "must be string"),
    ],
)
def test_bodies_that_do_not_fit(http: httpx.Client, body: object, reason: str) -> None:
    assert refusal(http.post("uploadImportFile", json=body)) == invalid(reason)


@pytest.mark.parametrize(
    "key", ["png", "", "SLACK", "slack ", "../slack", "__class__", "slack\0", "x" * 5000, "é"]
)
def test_unknown_importers(http: httpx.Client, key: str) -> None:
    reason, code = f"The importer ({key}) has no import class defined.", "error-importer-not-defined"
    answer = http.post("uploadImportFile", json={**UPLOAD, "importerKey": key})
    assert refusal(answer) == action_error(reason, code, "uploadImportFile")
    unknown = {**UPLOAD, "importerKey": key, "extra": 1}
    assert refusal(http.post("uploadImportFile", json=unknown)) == invalid(
        "must NOT have additional properties"
    )


def test_an_importer_key_that_is_a_number(http: httpx.Client) -> None:
    answer = http.post("uploadImportFile", json={**UPLOAD, "importerKey": 5.0})
    assert "The importer (5) has no import class" in refusal(answer)[1]["error"]


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
