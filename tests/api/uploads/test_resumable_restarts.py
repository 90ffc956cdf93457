"""Uploads in pieces across crashes, restarts and the end of their time."""

import resource
import sys
from pathlib import Path

import pytest
from tusclient.storage.filestorage import FileStorage

from chatferry.clock import now
from tests.support.paths import GOLDEN
from tests.support.resumable import (
    ARCHIVE,
    MIB,
    TUS,
    create,
    created,
    offset,
    on_disk,
    patch,
    piece,
    promise,
    refused,
    tus_client,
)
from tests.support.serving import answered, latest, login, serving, start, until, wait_for

# ---------------------------------------------------------------- broken off


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits another process's files")
@pytest.mark.parametrize("checked", [False, True])
def test_no_room(tmp_path: Path, checked: bool) -> None:
    """Bytes that fit are kept, so that the rest can follow; with a checksum none are."""
    content = b"x" * (8 * MIB)
    headers = {"Upload_Checksum": promise("sha1", content)} if checked else {}
    with serving(tmp_path) as server, login(server) as http:
        path = created(http, len(content))
        unlimited = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (4 * MIB, unlimited[1]))
        refused(
            patch(http, path, 0, content, **headers), 507, "cannot be stored on the server: File too large."
        )
        refused(create(http, len(content), content), 507, "cannot be stored on the server: File too large.")
        assert offset(http, path) == (0 if checked else 4 * MIB)
        assert [path.name for path in server.uploads] == [Path(path).name]
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, unlimited)
        at = offset(http, path)
        assert "Import-Operation-Id" in patch(http, path, at, content[at:]).headers


# ---------------------------------------------------------------- crashes and restarts


def test_killed_inside_a_piece(tmp_path: Path) -> None:
    """As many bytes have come as are on the disk; the rest follows after the restart."""
    content = ARCHIVE + bytes(2 * MIB)
    server = start(tmp_path)
    with login(server) as http:
        path = created(http, len(content))
        with piece(server, http, path, content[:MIB], len(content)):
            until(lambda: on_disk(server, path) > 500_000)
            server.kill()
    kept = on_disk(server, path)
    with serving(tmp_path) as server, login(server) as http:
        assert offset(http, path) == kept == on_disk(server, path)
        assert latest(http) == []
        id = patch(http, path, kept, content[kept:]).headers["Import-Operation-Id"]
        assert (server.data / "uploads" / id).read_bytes() == content


def test_killed_inside_a_piece_with_a_checksum(tmp_path: Path) -> None:
    """Its bytes cannot be trusted, whether or not the next piece has a checksum."""
    server = start(tmp_path)
    with login(server) as http:
        path = created(http, 3 * MIB)
        assert patch(http, path, 0, b"a" * 1000).status_code == 204
        headers = {"Upload_Offset": "1000", "Upload_Checksum": promise("md5", b"")}
        with piece(server, http, path, b"b" * MIB, 2 * MIB, **headers):
            until(lambda: on_disk(server, path) > 500_000)
            server.kill()
    with serving(tmp_path) as server, login(server) as http:
        assert offset(http, path) == 1000
        assert patch(http, path, 1000, b"c" * MIB).headers["Upload-Offset"] == str(1000 + MIB)
        assert offset(http, path) == on_disk(server, path) == 1000 + MIB
        assert (server.data / "uploads" / Path(path).name).read_bytes() == b"a" * 1000 + b"c" * MIB


def test_killed_between_the_last_byte_and_the_operation(tmp_path: Path) -> None:
    """The next start begins the import."""
    server = start(tmp_path)
    with login(server) as http:
        path = created(http)
        patch(http, path, 0, ARCHIVE[:1000])
    server.kill()
    with (tmp_path / "uploads" / Path(path).name).open("ab") as file:
        file.write(ARCHIVE[1000:])
    with serving(tmp_path) as server, login(server) as http:
        wait_for(http, "importer_user_selection", id=Path(path).name)
        answer = http.head(path, headers=TUS)
        assert answer.headers["Import-Operation-Id"] == Path(path).name
        assert answer.headers["Upload-Offset"] == str(len(ARCHIVE))


def test_a_restart_forgets_no_upload(tmp_path: Path) -> None:
    with serving(tmp_path) as server, login(server) as http:
        paths = [created(http), created(http, 5)]
        patch(http, paths[0], 0, ARCHIVE[:1000])
        patch(http, paths[1], 0, b"bytes")
        server.stop()
    with serving(tmp_path) as server, login(server) as http:
        assert [offset(http, path) for path in paths] == [1000, 5]
        patch(http, paths[0], 1000, ARCHIVE[1000:])
        wait_for(http, "importer_user_selection", id=Path(paths[0]).name)


# ---------------------------------------------------------------- expiry


def test_unfinished_uploads_expire(tmp_path: Path) -> None:
    """While the server runs, and when it starts. What became an operation stays one."""
    with serving(tmp_path, CHATFERRY_UPLOAD_KEPT_SECONDS="1") as server, login(server) as http:
        done = create(http, 5, b"bytes").headers["Import-Operation-Id"]
        path = created(http)
        patch(http, path, 0, ARCHIVE[:1000])
        assert len(server.uploads) == 2
        until(lambda: [path.name for path in server.uploads] == [done])
        refused(patch(http, path, 1000, ARCHIVE[1000:]), 404, "There is no such upload, or no more")
        wait_for(http, "importer_import_failed", id=done)
        patch(http, created(http), 0, ARCHIVE[:1000])
        server.kill()
    assert len(server.uploads) == 2
    until(lambda: server.uploads[0].stat().st_mtime * 1000 < now() - 1100)
    until(lambda: server.uploads[1].stat().st_mtime * 1000 < now() - 1100)
    with serving(tmp_path) as server:
        assert [path.name for path in server.uploads] == [done]


def test_an_upload_does_not_expire_while_bytes_come(tmp_path: Path) -> None:
    with serving(tmp_path, CHATFERRY_UPLOAD_KEPT_SECONDS="1") as server, login(server) as http:
        path = created(http, 700_000)
        with piece(server, http, path, bytes(300_000), 700_000) as connection:
            began = now()
            until(lambda: now() > began + 2500)
            assert http.head(path, headers=TUS).status_code == 200
            connection.sendall(bytes(400_000))
            assert b"Import-Operation-Id: ".lower() in answered(connection).lower()


# ---------------------------------------------------------------- a client that is not ours


def test_tuspy_goes_on_after_a_crash(tmp_path: Path) -> None:
    """The client remembers the upload in a file of its own."""
    remembered = FileStorage(str(tmp_path / "urls.json"))  # type: ignore[no-untyped-call]  # tuspy has few types
    names = {"importerKey": "slack", "filename": "export.zip"}
    port = 0
    for stop_at in (20_000, None):
        with (
            serving(tmp_path / "data", *(["--port", str(port)] if port else [])) as server,
            login(server) as http,
        ):
            port = server.port
            uploader = tus_client(server, http).uploader(
                str(GOLDEN), chunk_size=10_000, metadata=names, store_url=True, url_storage=remembered
            )
            assert uploader.offset == (0 if stop_at else 20_000)
            uploader.upload(stop_at=stop_at)
            if stop_at is None:
                assert wait_for(http, "importer_user_selection")["count"]["messages"] == 300
            server.kill()
    remembered.close()  # type: ignore[no-untyped-call]  # as above
