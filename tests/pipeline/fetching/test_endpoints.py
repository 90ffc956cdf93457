"""downloadPendingFiles, downloadPendingAvatars and what they store, over HTTP against the real server."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from chatferry.documents import COLLECTIONS
from tests.support.exports import ALICE, BOB, DAY, TOKEN, channel, file, message, png, user, write_export
from tests.support.filehost import Exchange, FileHost, hosting, noise
from tests.support.serving import (
    NOT_ALLOWED,
    UNAUTHORIZED,
    Server,
    add_users,
    client,
    current,
    documents,
    latest,
    login,
    run_import,
    serving,
    wait_for,
)

PICTURE = png(300, 200, noise(700_000))
PAGE = b"<!DOCTYPE html><script>alert(1)</script>"


@pytest.fixture(scope="module")
def host() -> Iterator[FileHost]:
    with hosting() as found:
        found.put("/picture", lambda to: to.whole(PICTURE, content_type="image/png"))
        found.put("/page", lambda to: to.whole(PAGE, content_type="text/html"))
        found.put("/none", lambda to: to.whole(b"", 404))
        yield found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, host: FileHost) -> Iterator[Server]:
    """A server with people, rooms, files and avatars, some of which could not be fetched."""
    folder = tmp_path_factory.mktemp("served")
    add_users(folder / "data", {name: ["user"] for name in ("alice", "bob", "carol")} | {"gus": ["guest"]})
    with serving(folder / "data", CHATFERRY_DOWNLOAD_HOSTS=host.name) as running, login(running) as http:
        run_import(http, export(folder, host))
        yield running


@pytest.fixture(scope="module")
def fetched(server: Server) -> dict[str, Any]:
    """Both operations at their ends."""
    with login(server) as http:
        return {name: fetch(http, name) for name in ("downloadPendingFiles", "downloadPendingAvatars")}


def fetch(http: httpx.Client, endpoint: str) -> dict[str, Any]:
    answer = http.post(endpoint, json={})
    assert answer.status_code == 200, answer.text
    assert list(answer.json()) == ["count", "success"]
    operation = wait_for(http, "importer_done")
    progress = http.get("getImportProgress").json()
    return {**answer.json(), "operation": operation, "progress": progress}


def export(folder: Path, host: FileHost) -> Path:
    picture = f"{host.url('/picture')}?t={TOKEN}"
    days = {
        DAY: [
            message(1, file("F1", picture, "open.png")),
            message(2, file("F2", host.url("/page"), "page.html", "text/html")),
            message(3, file("F3", host.url("/none"), "none.png")),
        ],
        "secret/2020-09-13.json": [message(4, file("F4", f"{picture}&n=4", "secret.png"))],
        "D0ALICEBOB/2020-09-13.json": [message(5, file("F5", f"{picture}&n=5", "direct.png"))],
    }
    users = [
        user("UALICE001", "alice", image_original=picture),
        user("UBOB00001", "bob", image_original=host.url("/none")),
    ]
    assert users[0]["id"] == ALICE["id"] and users[1]["id"] == BOB["id"]
    groups = [channel("G0SECRET1", "secret", "UALICE001")]
    dms = [{"id": "D0ALICEBOB", "members": ["UALICE001", "UBOB00001"], "created": 1600000000}]
    return write_export(folder / "export", days, users=users, groups=groups, dms=dms)


def test_the_answers_count_the_stored_and_failed_files(server: Server, fetched: dict[str, Any]) -> None:
    files, avatars = fetched["downloadPendingFiles"], fetched["downloadPendingAvatars"]
    assert (files["count"], files["success"]) == (5, True)
    assert files["progress"] == {
        "key": "pending-files",
        "name": "Pending Files",
        "step": "importer_done",
        "count": {"completed": 4, "total": 5, "error": 1},
        "success": True,
    }
    operation = files["operation"]
    assert (operation["type"], operation["importerKey"]) == ("Pending Files", "pending-files")
    assert operation["count"] == {"total": 5, "messages": 5, "completed": 4, "error": 1}
    assert "file" not in operation and operation["valid"]
    # alice and bob are accounts that were there before: the import does not touch their avatars
    assert avatars["count"] == 0
    assert avatars["operation"]["type"] == "Pending Avatars"
    assert (avatars["operation"]["status"], "count" in avatars["operation"]) == ("importer_done", False)


def test_no_token_is_told(server: Server, fetched: dict[str, Any]) -> None:
    told = [repr(fetched).encode(), (server.data / "stderr").read_bytes()]
    told += [repr(documents(server.data, name)).encode() for name in COLLECTIONS]
    with login(server) as http:
        told += [repr(latest(http)).encode(), http.get("getImportFileData").content]
    log = server.data / "errors.log"
    assert not log.exists()
    assert not [text for text in told if b"abcdefSECRET" in text]


@pytest.mark.parametrize("endpoint", ["downloadPendingFiles", "downloadPendingAvatars"])
def test_fetching_needs_a_login_and_the_permission(
    server: Server, fetched: dict[str, Any], endpoint: str
) -> None:
    with client(server) as nobody:
        answer = nobody.post(endpoint, json={})
        assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED)
    with login(server, "carol", "carol") as plain:
        answer = plain.post(endpoint, json={})
        assert (answer.status_code, answer.json()) == (403, NOT_ALLOWED)
    with login(server) as http:
        answer = http.post(endpoint, json={"a": 1})
        assert answer.json()["error"] == "must NOT have additional properties"
        assert not {"pending-files", "pending-avatars"} & {
            one["key"] for one in http.get("importers.list").json()
        }


# ---------------------------------------------------------------- serving


def link(server: Server, name: str) -> str:
    (upload,) = [one for one in documents(server.data, "rocketchat_uploads") if one["name"] == name]
    return f"{server.address}/file-upload/{upload['_id']}/{name}"


def ask(server: Server, who: str, url: str, **more: Any) -> httpx.Response:
    with login(server, *([who, who] if who != "admin" else [])) as http:
        return http.get(url, **more)


@pytest.mark.parametrize(
    ("name", "who", "status"),
    [
        *(("open.png", who, 200) for who in ("alice", "bob", "carol", "admin")),
        ("open.png", "gus", 403),
        ("secret.png", "alice", 200),
        *(("secret.png", who, 403) for who in ("bob", "carol", "admin", "gus")),
        *(("direct.png", who, 200) for who in ("alice", "bob")),
        *(("direct.png", who, 403) for who in ("carol", "admin", "gus")),
    ],
)
def test_files_are_served_to_members_of_their_room_only(
    server: Server, fetched: dict[str, Any], name: str, who: str, status: int
) -> None:
    answer = ask(server, who, link(server, name))
    assert answer.status_code == status, answer.text
    assert (answer.content == PICTURE) == (status == 200)
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_how_to_say_who_asks(server: Server, fetched: dict[str, Any]) -> None:
    url = link(server, "secret.png")
    with login(server, "alice", "alice") as http, client(server) as nobody:
        uid, token = http.headers["X-User-Id"], http.headers["X-Auth-Token"]
        pair = {"rc_uid": uid, "rc_token": token}
        assert nobody.get(url).status_code == 403
        assert nobody.get(url, params=pair).content == PICTURE
        cookies = {"Cookie": f"rc_uid={uid}; rc_token={token}"}
        assert nobody.get(url, headers=cookies).content == PICTURE
        assert nobody.get(url, params={"rc_uid": uid, "rc_token": "wrong"}).status_code == 403
        assert nobody.get(url, params={"rc_uid": uid}).status_code == 403
        http.post("logout")
        assert nobody.get(url, params=pair).status_code == 403


def test_html_files_are_served_as_sandboxed_downloads(server: Server, fetched: dict[str, Any]) -> None:
    answer = ask(server, "alice", link(server, "page.html"))
    assert answer.content == PAGE
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''page.html"
    assert "sandbox" in answer.headers["content-security-policy"]


def test_headers_of_a_file(server: Server, fetched: dict[str, Any]) -> None:
    url = link(server, "open.png")
    with login(server, "alice", "alice") as http:
        answer = http.get(url)
        assert answer.headers["content-type"] == "image/png"
        assert answer.headers["content-length"] == str(len(PICTURE))
        assert answer.headers["content-disposition"] == "inline; filename*=UTF-8''open.png"
        download = http.get(f"{url}?download")
        assert download.headers["content-disposition"] == "attachment; filename*=UTF-8''open.png"
        head = http.head(url)
        assert (head.status_code, head.headers["content-length"]) == (200, str(len(PICTURE)))
        assert http.head(url, headers={"Range": "bytes=0-9"}).status_code == 200  # ranges are for GET alone
        again = http.get(url, headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert http.get(f"{server.address}/file-upload/{'0' * 24}/x.png").status_code == 404
        assert http.get(url.rpartition("/")[0] + "/another/name%2F").content == PICTURE


@pytest.mark.parametrize(
    ("asked", "status", "start", "end"),
    [
        ("bytes=0-0", 206, 0, 1),
        ("bytes=261119-261121", 206, 261_119, 261_122),
        ("bytes=700000-", 206, 700_000, None),
        ("bytes=-5", 206, -5, None),
        ("bytes=5-99999999", 206, 5, None),
        ("bytes=99999999-", 416, 0, 0),
        ("bytes=-0", 416, 0, 0),
        ("bytes=0-1,5-6", 200, 0, None),
        ("bytes=9-3", 200, 0, None),
        ("lines=1-2", 200, 0, None),
        ("bytes=-", 200, 0, None),
    ],
)
def test_ranges(
    server: Server, fetched: dict[str, Any], asked: str, status: int, start: int, end: int | None
) -> None:
    answer = ask(server, "alice", link(server, "open.png"), headers={"Range": asked})
    assert (answer.status_code, answer.content) == (status, PICTURE[start:end])
    if status == 206:
        first = start % len(PICTURE)
        expected = f"bytes {first}-{first + len(answer.content) - 1}/{len(PICTURE)}"
        assert answer.headers["content-range"] == expected


def test_a_range_of_another_version(server: Server, fetched: dict[str, Any]) -> None:
    headers = {"Range": "bytes=0-9", "If-Range": '"other"'}
    assert ask(server, "alice", link(server, "open.png"), headers=headers).content == PICTURE


# ---------------------------------------------------------------- avatars


@pytest.fixture(scope="module")
def with_avatars(tmp_path_factory: pytest.TempPathFactory, host: FileHost) -> Iterator[Server]:
    """A server whose people came with the import."""
    folder = tmp_path_factory.mktemp("avatars")
    with serving(folder / "data", CHATFERRY_DOWNLOAD_HOSTS=host.name) as running, login(running) as http:
        run_import(http, export(folder, host))
        found = fetch(http, "downloadPendingAvatars")
        assert (found["count"], found["progress"]["count"]) == (2, {"completed": 1, "total": 2, "error": 1})
        yield running


def test_avatars_are_served(with_avatars: Server) -> None:
    with login(with_avatars) as http, client(with_avatars) as nobody:
        url = f"{with_avatars.address}/avatar/alice"
        answer = http.get(url)
        assert (answer.headers["content-type"], answer.content) == ("image/png", PICTURE)
        assert nobody.get(url).status_code == 403
        for name in ("bob", "nobody"):
            answer = http.get(f"{with_avatars.address}/avatar/{name}")
            assert answer.headers["content-type"] == "image/svg+xml"
            assert f">{name[0].upper()}</text>" in answer.text
            assert "sandbox" in answer.headers["content-security-policy"]
        assert "<script" not in http.get(f"{with_avatars.address}/avatar/%3Cscript%3E").text


# ---------------------------------------------------------------- crashes and cancelling


def test_cancel_and_crash(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with hosting() as host:
        host.put("/picture", lambda to: to.whole(PICTURE))
        slow = host.put("/slow", Exchange.endless)
        day = [message(1, file("F1", host.url("/picture"))), message(2, file("F2", slow))]
        archive = write_export(tmp_path / "export", {DAY: day})
        with serving(data, CHATFERRY_DOWNLOAD_HOSTS=host.name) as server:
            with login(server) as http:
                run_import(http, archive)
                http.post("downloadPendingFiles")
                wait_for(http, "importer_importing_files", completed=1)
                id = current(http)["_id"]
                http.post("import.clear")
                found = wait_for(http, "importer_import_cancelled", id=id)
                assert not found["valid"]
                http.post("downloadPendingFiles")
                wait_for(http, "importer_importing_files")
                assert current(http)["count"]["total"] == 1
            server.kill()
        host.put("/slow", lambda to: to.whole(b"\x89 at last"))
        with serving(data, CHATFERRY_DOWNLOAD_HOSTS=host.name) as server, login(server) as http:
            done = wait_for(http, "importer_done")
            assert done["count"] == {"total": 1, "messages": 1, "completed": 1, "error": 0}
            answer = http.post("downloadPendingFiles", json={})
            assert answer.json() == {"count": 0, "success": True}
            assert "count" not in current(http)
            assert sum(path == "/picture" for path, _ in host.asked) == 1
            name = hashlib.sha256(http.get(link(server, "F2.png")).content).hexdigest()
            assert name == hashlib.sha256(b"\x89 at last").hexdigest()
