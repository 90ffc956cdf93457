"""Room for uploads: it is reserved when an upload is announced, or the upload is refused."""

import os
from pathlib import Path

import httpx
import pytest

from chatferry.api.uploads.room import UploadRoom
from chatferry.disks import RESERVE, Disk, disk_of, require_reserve, require_rest, reserve
from chatferry.errors import NoRoomError
from chatferry.sizes import MIB
from tests.support.paths import GOLDEN
from tests.support.serving import Server, login, sent, serving, upload, wait_for

TUS = {"Tus-Resumable": "1.0.0", "Upload-Metadata": "importerKey c2xhY2s="}
LARGEST = {"CHATFERRY_MAX_UPLOAD_MIB": str(2**30)}


def announce(http: httpx.Client, size: int) -> httpx.Response:
    return http.post("import.uploads", headers={**TUS, "Upload-Length": str(size)})


def refused(answer: httpx.Response) -> str:
    body = answer.json()
    assert (answer.status_code, body["success"], body["errorType"]) == (507, False, "error-no-room")
    assert body["error"].endswith(" [error-no-room]")
    return str(body["error"])


def test_announced_uploads_have_room_for_all_of_them(tmp_path: Path) -> None:
    """Sixty of 100 GiB on a disk with 76 GiB free were accepted once."""
    with serving(tmp_path, **LARGEST) as server, login(server) as http:
        share = disk_of(tmp_path).free * 2 // 5
        assert "it needs" in refused(announce(http, 3 * share))
        first, second = announce(http, share), announce(http, share)
        assert (first.status_code, second.status_code) == (201, 201)
        for _ in range(60):
            assert "promised to uploads that have begun" in refused(announce(http, share))
        assert len(server.uploads) == 2  # of the others nothing stays
        assert http.delete(server.address + first.headers["Location"], headers=TUS).status_code == 204
        assert announce(http, share).status_code == 201
        refused(announce(http, share))
        server.stop()
    with serving(tmp_path, **LARGEST) as server, login(server) as http:
        assert "promised" in refused(announce(http, share))  # promises outlive the process


@pytest.mark.parametrize("way", ["uploadImportFile", "import.upload"])
def test_an_upload_in_one_request_is_refused_before_its_body_comes(tmp_path: Path, way: str) -> None:
    with serving(tmp_path, **LARGEST) as server, login(server) as http:
        type_ = "application/json" if way == "uploadImportFile" else "multipart/form-data; boundary=x"
        answer = begun(server, http, way, disk_of(tmp_path).free, type_)
        assert answer.startswith(b"HTTP/1.1 507 ") and b"error-no-room" in answer
        assert server.uploads == []
        upload(http, GOLDEN)  # its room is free again
        wait_for(http, "importer_user_selection")


def begun(server: Server, http: httpx.Client, way: str, size: int, type_: str) -> bytes:
    """Send the head of a call and the first bytes of a body; what comes back."""
    with sent(server, http, "POST", way, b"{", Content_Type=type_, Content_Length=str(size)) as connection:
        connection.settimeout(60)
        answer = b""
        while b"error-no-room" not in answer and (piece := connection.recv(65536)):
            answer += piece
        return answer


def test_a_reserve_is_kept_for_databases(tmp_path: Path) -> None:
    """The setting says how much; nothing can be uploaded where less is free."""
    more_than_all = str(disk_of(tmp_path).size // MIB + 1)
    with serving(tmp_path, CHATFERRY_MIN_FREE_MIB=more_than_all) as server, login(server) as http:
        assert "kept for databases" in refused(announce(http, 1))
        answer = http.post("uploadImportFile", json={"importerKey": "slack", "binaryContent": "QUJD"})
        refused(answer)
        assert server.uploads == []


def test_bytes_that_have_arrived_need_no_more_room(tmp_path: Path) -> None:
    room = UploadRoom(tmp_path, 0)
    half = disk_of(tmp_path).free * 3 // 5
    room.promise(tmp_path / "a", half)
    with pytest.raises(NoRoomError):
        room.promise(tmp_path / "b", half)
    with (tmp_path / "a").open("wb") as file:
        os.truncate(file.fileno(), half)  # a hole: it takes no room
    room.promise(tmp_path / "b", half)
    room.check(tmp_path / "b")
    (tmp_path / "a").unlink()
    room.release(tmp_path / "b")
    with pytest.raises(NoRoomError), room.promised(tmp_path / "b", half):
        raise AssertionError("it was promised")
    room.promise_again(tmp_path / "b", half)
    room.check(tmp_path / "b")  # it was promised: the first come go on
    with pytest.raises(NoRoomError):
        room.check(tmp_path / "unknown")


def test_the_reserve_of_a_small_disk_is_small() -> None:
    assert reserve(None, Disk(size=1 << 40, free=0)) == RESERVE
    assert reserve(None, Disk(size=64 * MIB, free=0)) == 64 * MIB // 20
    assert reserve(7, Disk(size=1 << 40, free=0)) == 7


def test_databases_may_use_the_reserve_up_to_its_last_part(tmp_path: Path) -> None:
    free = disk_of(tmp_path).free
    require_rest([tmp_path, tmp_path / "not" / "there"], 2 * free)
    with pytest.raises(NoRoomError, match=r"has less than the .* free that have to stay free"):
        require_reserve(tmp_path, 2 * free)
    with pytest.raises(NoRoomError):
        require_rest([tmp_path], 5 * free)
