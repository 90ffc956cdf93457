"""Uploads by the tus protocol: in pieces, with checksums, by a client that is not ours."""

import json
import re
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from chatferry.clock import now
from tests.support.paths import GOLDEN
from tests.support.resumable import (
    ARCHIVE,
    BYTES,
    MIB,
    NAMED,
    TUS,
    create,
    created,
    encoded,
    metadata,
    offset,
    on_disk,
    patch,
    piece,
    promise,
    refused,
    tus_client,
)
from tests.support.serving import (
    NOT_ALLOWED,
    UNAUTHORIZED,
    Server,
    add_users,
    answered,
    client,
    latest,
    login,
    sent,
    serving,
    until,
    upload,
    wait_for,
)

Headers = dict[str, str]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes uploads of 1 MiB."""
    data = tmp_path_factory.mktemp("resumable") / "data"
    add_users(data, {"plain": ["user"], "second": ["starter"]}, run_import=("starter",))
    with serving(data, CHATFERRY_MAX_UPLOAD_MIB="1", CHATFERRY_UPLOAD_SILENCE_SECONDS="1") as running:
        yield running


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    with login(server) as admin:
        yield admin


@pytest.fixture(autouse=True)
def no_failure_is_logged(server: Server) -> Iterator[None]:
    yield
    assert not (server.data / "errors.log").exists()


def told(operation: dict[str, Any]) -> dict[str, Any]:
    """What an operation says beside its id and its times."""
    kept = {key: value for key, value in operation.items() if key not in ("_id", "ts", "_updatedAt")}
    return {**kept, "file": re.sub(r"^\d+_", "", operation["file"])}


# ---------------------------------------------------------------- from the first byte to the operation


def test_options_lists_the_extensions(http: httpx.Client) -> None:
    answer = http.options("import.uploads")
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["Tus-Version"] == "1.0.0"
    assert answer.headers["Tus-Max-Size"] == str(MIB)
    assert set(answer.headers["Tus-Extension"].split(",")) == {
        "creation", "creation-with-upload", "termination", "checksum", "expiration",
    }  # fmt: skip
    assert set(answer.headers["Tus-Checksum-Algorithm"].split(",")) == {"sha1", "sha256", "md5"}


def test_an_upload_in_pieces_ends_as_one_in_one_request_does(server: Server, http: httpx.Client) -> None:
    upload(http)
    expected = told(wait_for(http, "importer_user_selection"))
    operations = len(latest(http))
    answer = create(
        http, len(ARCHIVE), Upload_Metadata=NAMED.replace("ZXhwb3J0LnppcA==", encoded(GOLDEN.name))
    )
    assert (answer.status_code, answer.content) == (201, b"")
    assert answer.headers["Upload-Offset"] == "0"
    path = answer.headers["Location"].removeprefix("/api/v1/")
    for at in range(0, len(ARCHIVE), 10_000):
        assert offset(http, path) == at
        assert len(latest(http)) == operations
        answer = patch(http, path, at, ARCHIVE[at : at + 10_000])
        assert (answer.status_code, answer.content) == (204, b"")
        assert int(answer.headers["Upload-Offset"]) == min(at + 10_000, len(ARCHIVE))
        assert answer.headers["Tus-Resumable"] == "1.0.0"
    id = answer.headers["Import-Operation-Id"]
    assert "Upload-Expires" not in answer.headers
    assert told(wait_for(http, "importer_user_selection", id=id)) == expected
    assert (server.data / "uploads" / id).read_bytes() == ARCHIVE
    answer = http.head(path, headers=TUS)
    assert answer.headers["Upload-Offset"] == answer.headers["Upload-Length"] == str(len(ARCHIVE))
    assert answer.headers["Import-Operation-Id"] == id


def test_all_of_it_with_its_announcement(http: httpx.Client) -> None:
    answer = create(http, len(ARCHIVE), ARCHIVE)
    assert answer.status_code == 201
    assert answer.headers["Upload-Offset"] == str(len(ARCHIVE))
    wait_for(http, "importer_user_selection", id=answer.headers["Import-Operation-Id"])


def test_the_first_bytes_with_the_announcement(http: httpx.Client) -> None:
    answer = create(http, len(ARCHIVE), ARCHIVE[:1000])
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, "1000")
    path = answer.headers["Location"].removeprefix("/api/v1/")
    answer = patch(http, path, 1000, ARCHIVE[1000:])
    wait_for(http, "importer_user_selection", id=answer.headers["Import-Operation-Id"])


def test_an_empty_file_is_complete_at_once(http: httpx.Client) -> None:
    answer = create(http, 0)
    assert answer.status_code == 201
    wait_for(http, "importer_import_failed", id=answer.headers["Import-Operation-Id"])


def test_head_returns_length_and_metadata_as_announced(http: httpx.Client) -> None:
    """As it was written, with keys that mean nothing here."""
    text = f"{metadata(importerKey='slack', relativePath='null')}, empty,void"
    path = created(http, 12, Upload_Metadata=text)
    answer = http.head(path, headers=TUS)
    assert (answer.headers["Upload-Length"], answer.headers["Upload-Metadata"]) == ("12", text)


@pytest.mark.parametrize(
    ("text", "name", "type"),
    [
        (metadata(importerKey="slack"), "import", "application/octet-stream"),
        (metadata(importerKey="slack", filename="../../a\0b.zip", filetype=""), "ab.zip", ""),
        (metadata(importerKey="slack", filename="日" * 4096), "日" * 200, "application/octet-stream"),
        (metadata(importerKey="slack", filename="Übung 🎉.zip", filetype="a/b"), "Übung 🎉.zip", "a/b"),
        (metadata(importerKey="slack") + ",filename /w==", "\ufffd", "application/octet-stream"),
    ],
)
def test_names_and_types(http: httpx.Client, text: str, name: str, type: str) -> None:
    answer = create(http, 5, b"bytes", Upload_Metadata=text)
    operation = wait_for(http, "importer_import_failed", id=answer.headers["Import-Operation-Id"])
    assert operation["file"].partition(f"_{operation['user']}_")[2] == name
    assert operation["contentType"] == type


def test_the_last_answer_can_be_asked_for_again(server: Server, http: httpx.Client) -> None:
    """Also when the operation is over and its archive is gone."""
    path = created(http, 5)
    id = patch(http, path, 0, b"bytes").headers["Import-Operation-Id"]
    wait_for(http, "importer_import_failed", id=id)
    (server.data / "uploads" / id).unlink()
    operations = len(latest(http))
    for answer in (patch(http, path, 5, b""), http.head(path, headers=TUS)):
        assert (answer.headers["Upload-Offset"], answer.headers["Import-Operation-Id"]) == ("5", id)
    refused(patch(http, path, 5, b"x"), 413, "goes beyond the 5 bytes")
    refused(patch(http, path, 0, b"bytes"), 409, "5 bytes have come")
    assert (len(latest(http)), (server.data / "uploads" / id).exists()) == (operations, False)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("headers", "status", "reason"),
    [
        ({"Upload_Length": str(MIB + 1)}, 413, "The upload is larger than 1 MiB"),
        ({"Upload_Length": "9" * 18}, 413, "The upload is larger than 1 MiB"),
        ({"Upload_Length": "9" * 5000}, 400, "The header Upload-Length must be"),
        ({"Upload_Length": "-1"}, 400, "The header Upload-Length must be"),
        ({"Upload_Length": "1e3"}, 400, "The header Upload-Length must be"),
        ({"Upload_Length": ""}, 400, "The header Upload-Length must be"),
        ({"Upload_Metadata": ""}, 400, "must have an importerKey"),
        ({"Upload_Metadata": metadata(filename="a.zip")}, 400, "must have an importerKey"),
        ({"Upload_Metadata": metadata(importerKey="png")}, 400, "The importer (png) has no import class"),
        ({"Upload_Metadata": "importerKey slack!"}, 400, "the value of importerKey is not base64"),
        (
            {"Upload_Metadata": f"{NAMED},importerKey eA=="},
            400,
            "'importerKey' is no key, or stands there twice",
        ),
        ({"Upload_Metadata": f"{NAMED},,"}, 400, "'' is no key"),
        ({"Tus_Resumable": "0.2.2"}, 412, "This server speaks tus 1.0.0"),
        ({"Tus_Resumable": ""}, 412, "This server speaks tus 1.0.0"),
        ({"Content_Type": "application/zip", "Content_Length": "5"}, 415, "application/offset+octet-stream"),
    ],
)
def test_announcements_that_do_not_fit(
    server: Server, http: httpx.Client, headers: Headers, status: int, reason: str
) -> None:
    before = server.uploads
    content = b"bytes" if "Content_Type" in headers else b""
    answer = create(http, 5, content, **headers)
    refused(answer, status, reason)
    assert answer.headers["Tus-Version"] == "1.0.0"
    assert server.uploads == before


@pytest.mark.parametrize(
    ("headers", "status", "reason"),
    [
        ({"Upload_Offset": "4"}, 409, "10 bytes have come: go on from there"),
        ({"Upload_Offset": "11"}, 409, "10 bytes have come: go on from there"),
        ({"Upload_Offset": ""}, 400, "The header Upload-Offset must be"),
        ({"Upload_Offset": "-1"}, 400, "The header Upload-Offset must be"),
        ({"Content_Type": "application/octet-stream"}, 415, "application/offset+octet-stream"),
        ({"Content_Type": ""}, 415, "application/offset+octet-stream"),
        ({"Tus_Resumable": "2.0.0"}, 412, "This server speaks tus 1.0.0"),
        ({"Upload_Checksum": "crc32 eA=="}, 400, "'crc32' is not known here. Take one of: sha1, sha256, md5"),
        ({"Upload_Checksum": "sha1 !"}, 400, "the checksum is not base64"),
        ({"Upload_Checksum": ""}, 400, "is not known here"),
        ({"Upload_Checksum": "sha1"}, 460, "do not have the sha1 checksum"),
    ],
)
def test_pieces_that_do_not_fit(http: httpx.Client, headers: Headers, status: int, reason: str) -> None:
    path = created(http, 100)
    assert patch(http, path, 0, bytes(10)).status_code == 204
    refused(patch(http, path, 10, bytes(10), **headers), status, reason)
    assert offset(http, path) == 10


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("already", [0, 300_000])
def test_more_than_was_announced(server: Server, http: httpx.Client, chunked: bool, already: int) -> None:
    """None of such a piece is kept: it is of another file."""
    path = created(http, 600_000)
    patch(http, path, 0, bytes(already))
    pieces = (b"x" * 100_000 for _ in range(7))
    content: Any = pieces if chunked else b"".join(pieces)
    refused(patch(http, path, already, content), 413, "The body goes beyond the 600000 bytes")
    assert offset(http, path) == already
    assert (server.data / "uploads" / Path(path).name).stat().st_size == already


def test_more_than_was_announced_with_the_announcement(server: Server, http: httpx.Client) -> None:
    before = server.uploads
    refused(create(http, 5, b"six by"), 413, "The body goes beyond the 5 bytes")
    assert server.uploads == before


@pytest.mark.parametrize("id", ["23456789ABCDEFGHJ", "..", "%2e%2e%2fstore.sqlite3", "%00", "x" * 5000])
def test_uploads_that_there_are_not(http: httpx.Client, id: str) -> None:
    path = f"import.uploads/{id}"
    assert http.head(path, headers=TUS).status_code in (404, 405)
    assert patch(http, path, 0, b"x").status_code in (404, 405)
    assert http.delete(path, headers=TUS).status_code in (404, 405)


def test_an_upload_belongs_to_its_creator(server: Server, http: httpx.Client) -> None:
    path = created(http)
    with (
        client(server) as nobody,
        login(server, "plain", "plain") as plain,
        login(server, "second", "second") as other,
    ):
        for somebody, status, body in ((nobody, 401, UNAUTHORIZED), (plain, 403, NOT_ALLOWED)):
            for method in ("PATCH", "DELETE", "POST"):
                answer = somebody.request(method, path, headers=BYTES)
                assert (answer.status_code, answer.json()) == (status, body)
                assert answer.headers["Tus-Resumable"] == "1.0.0"
            assert somebody.head(path, headers=TUS).status_code == status
            assert somebody.options("import.uploads").status_code == status
            assert create(somebody, 10).status_code == status
        assert other.head(path, headers=TUS).status_code == 404
        refused(patch(other, path, 0, b"x"), 404, "There is no such upload")
        refused(other.delete(path, headers=TUS), 404, "There is no such upload")
    assert offset(http, path) == 0


# ---------------------------------------------------------------- checksums


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "md5"])
def test_checksums(http: httpx.Client, algorithm: str) -> None:
    path = created(http, 600_000)
    first, second = b"a" * 300_000, b"b" * 300_000
    assert patch(http, path, 0, first, Upload_Checksum=promise(algorithm, first)).status_code == 204
    wrong = patch(http, path, 300_000, second, Upload_Checksum=promise(algorithm, first))
    refused(wrong, 460, f"do not have the {algorithm} checksum that Upload-Checksum promises")
    assert offset(http, path) == 300_000
    answer = patch(http, path, 300_000, second, Upload_Checksum=promise(algorithm, second))
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, "600000")


def test_a_checksum_with_the_announcement(server: Server, http: httpx.Client) -> None:
    answer = create(http, 10, b"bytes", Upload_Checksum=promise("sha1", b"bytes"))
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, "5")
    before = server.uploads
    refused(create(http, 10, b"bytes", Upload_Checksum=promise("sha1", b"other")), 460, "thrown away")
    assert server.uploads == before


# ---------------------------------------------------------------- giving up


def test_giving_up(server: Server, http: httpx.Client) -> None:
    path = created(http)
    patch(http, path, 0, ARCHIVE[:100])
    file = server.data / "uploads" / Path(path).name
    assert file.exists()
    answer = http.delete(path, headers=TUS)
    assert (answer.status_code, answer.content) == (204, b"")
    assert not file.exists()
    assert http.head(path, headers=TUS).status_code == 404
    refused(patch(http, path, 100, ARCHIVE[100:]), 404, "There is no such upload")
    refused(http.delete(path, headers=TUS), 404, "There is no such upload")


def test_a_complete_upload_cannot_be_given_up(server: Server, http: httpx.Client) -> None:
    path = created(http, 5)
    id = patch(http, path, 0, b"bytes").headers["Import-Operation-Id"]
    refused(http.delete(path, headers=TUS), 409, "take that back with import.clear")
    assert (server.data / "uploads" / id).exists()


def test_methods_by_header(http: httpx.Client) -> None:
    """For clients, and proxies between, that know only POST."""
    path = created(http, 10)
    more = {"X-HTTP-Method-Override": "PATCH", "Upload-Offset": "0"}
    assert http.post(path, content=b"bytes", headers={**BYTES, **more}).headers["Upload-Offset"] == "5"
    assert http.post(path, headers={**TUS, "X-HTTP-Method-Override": "HEAD"}).headers["Upload-Offset"] == "5"
    assert http.post(path, headers={**TUS, "X-HTTP-Method-Override": "DELETE"}).status_code == 204
    refused(http.post(path, headers=TUS), 405, "X-HTTP-Method-Override")
    refused(http.post(path, headers={**TUS, "X-HTTP-Method-Override": "PUT"}), 405, "X-HTTP-Method-Override")


# ---------------------------------------------------------------- broken off


def test_the_bytes_of_a_broken_piece_are_kept(server: Server, http: httpx.Client) -> None:
    path = created(http, 600_000)
    piece(server, http, path, bytes(400_000), 600_000).close()
    until(lambda: offset(http, path) == 400_000)
    until(lambda: patch(http, path, 400_000, bytes(200_000)).status_code == 204)


def test_a_client_that_falls_silent(server: Server, http: httpx.Client) -> None:
    path = created(http, 600_000)
    with piece(server, http, path, bytes(100_000), 600_000) as connection:
        answer = answered(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"Nothing came for 1 s," in answer
    assert offset(http, path) == 100_000


def test_all_bytes_without_an_end(http: httpx.Client, server: Server) -> None:
    """The last chunk of a chunked body is missing; of the upload nothing is."""
    path = created(http, 100_000)
    head = {"Tus_Resumable": "1.0.0", "Content_Type": BYTES["Content-Type"], "Upload_Offset": "0"}
    body = b"%x\r\n%b\r\n" % (100_000, bytes(100_000))
    sent(server, http, "PATCH", path, body, Transfer_Encoding="chunked", **head).close()
    until(lambda: "Import-Operation-Id" in http.head(path, headers=TUS).headers)


def test_without_its_checksum_nothing_of_a_piece_stays(server: Server, http: httpx.Client) -> None:
    path = created(http, 600_000)
    headers = {"Upload_Checksum": promise("sha1", bytes(600_000))}
    with piece(server, http, path, bytes(400_000), 600_000, **headers):
        until(lambda: on_disk(server, path) > 0)
        assert offset(http, path) == 0
    until(lambda: on_disk(server, path) == 0)
    until(lambda: patch(http, path, 0, bytes(600_000), **headers).status_code == 204)


def test_an_announcement_that_is_cut_off_leaves_nothing(server: Server, http: httpx.Client) -> None:
    before = server.uploads
    headers = {"Tus_Resumable": "1.0.0", "Content_Type": BYTES["Content-Type"], "Upload_Length": "600000"}
    named = {"Upload_Metadata": NAMED, "Content_Length": "600000"}
    with sent(server, http, "POST", "import.uploads", bytes(400_000), **headers, **named):
        until(lambda: server.uploads != before)
    until(lambda: server.uploads == before)


def test_one_writer_at_a_time(server: Server, http: httpx.Client) -> None:
    path = created(http, 600_000)
    with piece(server, http, path, bytes(400_000), 600_000):
        until(lambda: on_disk(server, path) > 0)
        refused(
            patch(http, path, on_disk(server, path), b"x"), 423, "Another request is writing to this upload"
        )
        refused(http.delete(path, headers=TUS), 423, "Another request is writing to this upload")
        assert http.head(path, headers=TUS).status_code == 200
    until(lambda: http.delete(path, headers=TUS).status_code == 204)


# ---------------------------------------------------------------- expiry


def expiry(answer: httpx.Response) -> float:
    return parsedate_to_datetime(answer.headers["Upload-Expires"]).timestamp() * 1000


def test_it_is_told_until_when_an_upload_is_kept(http: httpx.Client) -> None:
    day = 24 * 60 * 60 * 1000
    before = now()
    answer = create(http, 10)
    path = answer.headers["Location"].removeprefix("/api/v1/")
    for told in (answer, http.head(path, headers=TUS), patch(http, path, 0, b"x")):
        assert before + day - 1000 <= expiry(told) <= now() + day


# ---------------------------------------------------------------- a client that is not ours


@pytest.mark.parametrize("checked", [False, True])
@pytest.mark.parametrize("size", [5000, 10**9])
def test_tuspy(server: Server, http: httpx.Client, checked: bool, size: int) -> None:
    uploader = tus_client(server, http).uploader(
        str(GOLDEN),
        chunk_size=size,
        metadata={"importerKey": "slack", "filename": "Übung.zip"},
        upload_checksum=checked,
    )
    uploader.upload()
    operation = wait_for(http, "importer_user_selection", id=str(uploader.url).rpartition("/")[2])
    assert operation["file"].endswith("_Übung.zip")
    assert operation["count"]["messages"] == 300


def test_errors_are_json_also_here(http: httpx.Client) -> None:
    answer = http.patch("import.uploads/nothing", headers=TUS)
    assert answer.headers["Content-Type"] == "application/json"
    assert json.loads(answer.content).keys() == {"success", "error"}


def test_an_origin_that_cannot_be(http: httpx.Client) -> None:
    named = metadata(importerKey="slack", origin="no name")
    refused = create(http, len(ARCHIVE), Upload_Metadata=named)
    assert refused.status_code == 400
    assert "cannot be the name of an origin" in refused.text
    named = metadata(importerKey="slack", origin="acme")
    assert create(http, len(ARCHIVE), Upload_Metadata=named).status_code == 201
