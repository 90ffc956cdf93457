"""Pending files: they are stored, shown in their messages, or reported."""

import hashlib
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from chatferry.destinations import open_destination
from chatferry.documents import COLLECTIONS, MESSAGES, ROOMS, UPLOADS, Document
from chatferry.errors import CancelledError
from chatferry.importers import PENDING_AVATARS, PENDING_FILES
from chatferry.operations import Operation, Status
from chatferry.pipeline.operation import run_operation
from chatferry.reports import operation as report
from chatferry.settings import Settings
from chatferry.store import Store
from tests.support.exports import DAY, TOKEN, channel, file, message, png, write_export
from tests.support.fetching import begin, fetch, files_of
from tests.support.filehost import Exchange, FileHost, noise
from tests.support.importing import Imported, import_archive, lasting, workspace

PNG = png(640, 480, noise(600_000))


def stored(imported: Imported) -> dict[str, str]:
    """The names of the stored files, and the hashes of their bytes."""
    return {
        upload["name"]: sha256(b"".join(imported.destination.read_file(upload["_id"])))
        for upload in imported.documents(UPLOADS)
    }


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def the_message(imported: Imported, text: str) -> Document:
    (found,) = [one for one in imported.documents(MESSAGES) if one["msg"] == text]
    return found


def test_a_file_is_stored_and_shown(tmp_path: Path, host: FileHost, settings: Settings) -> None:
    url = host.put("/a.png", PNG)
    day = [message(1, file("F1", f"{url}?t={TOKEN}", "a plan?.png"))]
    imported = import_archive(write_export(tmp_path / "export", {DAY: day}), settings=settings)
    fetched = fetch(imported, settings)
    assert fetched.operation.status == Status.DONE
    assert fetched.operation.count.total == fetched.operation.count.completed == 1
    assert stored(fetched) == {"a plan?.png": sha256(PNG)}
    (upload,) = fetched.documents(UPLOADS)
    found = the_message(fetched, "message 1")
    link = f"/file-upload/{upload['_id']}/a%20plan%3F.png"
    assert found["attachments"] == [
        {
            "title": "Title of F1",
            "type": "file",
            "fileId": upload["_id"],
            "title_link": link,
            "title_link_download": True,
            "image_url": link,
            "image_type": "image/png",
            "image_size": len(PNG),
            "image_dimensions": {"width": 640, "height": 480},
        }
    ]
    assert found["files"] == [
        {"_id": upload["_id"], "name": "a plan?.png", "type": "image/png", "size": len(PNG), "format": "png"}
    ]
    assert len(upload.pop("token")) == 10
    del upload["uploadedAt"], upload["etag"]
    path = f"/ufs/GridFS:Uploads/{upload['_id']}/a%20plan%3F.png"
    assert lasting(upload) == {
        "_id": upload["_id"],
        "name": "a plan?.png",
        "size": len(PNG),
        "type": "image/png",
        "userId": found["u"]["_id"],
        "rid": found["rid"],
        "message_id": f"{found['_id']}-file-F1",
        "store": "GridFS:Uploads",
        "complete": True,
        "uploading": False,
        "progress": 1,
        "path": path,
        "url": path,
        "identify": {"format": "png", "size": {"width": 640, "height": 480}},
    }
    (room,) = [room for room in fetched.documents(ROOMS) if room["_id"] == found["rid"]]
    assert room["lastMessage"]["attachments"] == found["attachments"]
    assert list((settings.fetched / "files").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "mime", "shown"),
    [
        ("a.mp3", "audio/mpeg", {"audio_type": "audio/mpeg", "audio_size": 4}),
        ("a.mp4", "video/mp4", {"video_type": "video/mp4", "video_size": 4}),
        ("a.tar.gz", "application/gzip", {"format": "gz", "size": 4}),
        ("a.heic", "image/heic", {"image_type": "image/heic", "image_size": 4}),
        ("README", "", {"size": 4}),
    ],
)
def test_each_kind_of_file_is_shown_in_its_own_way(
    tmp_path: Path, host: FileHost, settings: Settings, name: str, mime: str, shown: dict[str, Any]
) -> None:
    url = host.put("/file", b"\x89abc")
    day = [message(1, file("F1", url, name, mime))]
    imported = import_archive(write_export(tmp_path / "export", {DAY: day}), settings=settings)
    (card,) = the_message(fetch(imported, settings), "message 1")["attachments"]
    for key in ("title", "type", "fileId", "title_link_download"):
        del card[key]
    link = card.pop("title_link")
    kind = mime.partition("/")[0]
    assert card == shown | ({f"{kind}_url": link} if kind in ("image", "audio", "video") else {})


def test_nothing_pending_is_done_at_once(settings: Settings) -> None:
    for key in (PENDING_FILES, PENDING_AVATARS):
        operation = begin(Store(), workspace(), key)
        assert (operation.status, operation.count.total) == (Status.DONE, None)


def _login_page(to: Exchange) -> None:
    to.whole(b"<!DOCTYPE html><html>log in</html>", content_type="text/html")


def _cut(to: Exchange) -> None:
    to.head(content_length=1000)
    to.wfile.write(b"\x89" * 500)
    to.cut()


def _loop(to: Exchange) -> None:
    to.head(302, location="/loop", content_length=0)


FAULTS = {
    "gone": (lambda to: to.whole(b"gone", 404), "the host answered 404 (not found)"),
    "secret": (lambda to: to.whole(b"no", 403), "the host answered 403 (forbidden)"),
    "busy": (lambda to: to.whole(b"later", 503), "the host answered 503"),
    "page": (_login_page, "the host sent a web page, perhaps one to log in, instead of the file"),
    "cut": (_cut, "the connection broke, or the host does not speak HTTP"),
    "loop": (_loop, "the host redirects again and again"),
    "silent": (lambda to: to.stall(), "the host fell silent"),
    "large": (lambda to: to.head(content_length=1 << 50), "the file is larger than 102400 MiB"),
}


def test_every_fault_is_told_once_and_good_files_come(
    tmp_path: Path, host: FileHost, settings: Settings
) -> None:
    """Also: no token is told, nothing else is stored, and a second run fetches only what failed."""
    good = host.put("/good", PNG)
    urls = {name: host.put(f"/{name}", answer) for name, (answer, _) in FAULTS.items()}
    urls |= {"inside": "http://169.254.169.254/latest", "strange": "http://example.com:22/x", "good": good}
    whys = {name: why for name, (_, why) in FAULTS.items()}
    whys |= {
        "inside": "169.254.169.254 leads to an address that is not public, and chatferry asks only public "
        "hosts",
        "strange": "port 22 is not one that files are usually offered at",
    }
    day = [
        message(n, file(f"F{name.upper()}", f"{url}?t={TOKEN}", f"{name}.png"))
        for n, (name, url) in enumerate(urls.items())
    ]
    imported = import_archive(write_export(tmp_path / "export", {DAY: day}), settings=settings)
    fetched = fetch(imported, settings)
    assert fetched.operation.status == Status.DONE, fetched.operation.error
    assert (fetched.operation.count.completed, fetched.operation.count.error) == (1, len(whys))
    assert stored(fetched) == {"good.png": sha256(PNG)}
    problems = fetched.report["problems"]
    assert {problem["file"] for problem in problems} == {f"{name}.png" for name in whys}
    assert len(problems) == len(whys)
    for problem in problems:
        name = problem["file"].removesuffix(".png")
        assert (problem["kind"], problem["reason"]) == ("file-not-fetched", whys[name]), problem
        assert problem["field"].startswith("files (http") and "?t=***" in problem["field"]
        assert problem["remedy"].endswith(".") and problem["position"].startswith("slack-")
    assert files_of(fetched) == {"read": 11, "inserted": 1, "failed": 10}
    assert not tells_token(fetched, settings)

    for name in FAULTS:
        host.put(f"/{name}", PNG + name.encode())
    host.asked.clear()
    again = fetch(imported, settings)
    assert files_of(again) == {"read": 10, "inserted": len(FAULTS), "failed": 2}
    assert {path.partition("?")[0] for path, _ in host.asked} == {f"/{name}" for name in FAULTS}
    assert stored(again) == {"good.png": sha256(PNG)} | {
        f"{name}.png": sha256(PNG + name.encode()) for name in FAULTS
    }
    assert report.as_json(fetched.operation, fetched.store)["files"]["failed"] == len(whys)


def tells_token(fetched: Imported, settings: Settings) -> bool:
    """Whether the token is anywhere that people look."""
    lines = [line for name in COLLECTIONS for line in fetched.destination.dump(name)]
    told = [*lines, repr(fetched.report).encode(), fetched.operation.error.encode()]
    told += [path.read_bytes() for path in settings.fetched.rglob("*") if path.is_file()]
    return any(b"abcdefSECRET" in text for text in told)


def test_a_file_is_fetched_once_for_all_its_messages(
    tmp_path: Path, host: FileHost, settings: Settings
) -> None:
    url = host.put("/a.png", PNG)
    days = {
        DAY: [message(1, file("F1", url)), message(2, file("F1", url)), message(3, file("F2", url))],
        "other/2020-09-13.json": [message(4, file("F1", url))],
    }
    channels = [channel("C0GENERAL", "general", "UALICE001"), channel("C0OTHER01", "other", "UBOB00001")]
    export = write_export(tmp_path / "export", days, channels=channels)
    fetched = fetch(import_archive(export, settings=settings), settings)
    assert files_of(fetched) == {"read": 4, "inserted": 4}
    assert len(host.asked) == 1
    assert stored(fetched) == {"F1.png": sha256(PNG), "F2.png": sha256(PNG)}
    for n in range(1, 5):
        assert "title_link" in the_message(fetched, f"message {n}")["attachments"][0]
    one = next(upload["_id"] for upload in fetched.documents(UPLOADS) if upload["name"] == "F1.png")
    assert len(fetched.store.pending_files.rooms(one)) == 2


def test_importing_again_changes_nothing_and_edits_keep_files(
    tmp_path: Path, host: FileHost, settings: Settings
) -> None:
    url = host.put("/a.png", PNG)
    day = [message(1, file("F1", f"{url}?t={TOKEN}")), message(2)]
    export = write_export(tmp_path / "export", {DAY: day})
    imported = import_archive(export, settings=settings)
    fetched = fetch(imported, settings)
    before = {name: lasting(fetched.by_id(name)) for name in COLLECTIONS}
    again = import_archive(export, fetched.destination, fetched.store, settings=settings)
    assert again.report["messages"]["unchanged"] == 2
    assert files_of(again) == {"read": 1, "unchanged": 1}
    assert {name: lasting(again.by_id(name)) for name in COLLECTIONS} == before

    day[0] = message(1, file("F1", f"{url}?t={TOKEN}-new"), text="edited")
    newer = write_export(tmp_path / "newer", {DAY: day})
    edited = import_archive(newer, fetched.destination, fetched.store, settings=settings)
    assert edited.report["messages"]["updated"] == 1
    assert files_of(edited) == {"read": 1, "unchanged": 1}
    found = the_message(edited, "edited")
    (old,) = [one for one in before[MESSAGES].values() if one["msg"] == "message 1"]
    assert (found["attachments"], found["files"]) == (old["attachments"], old["files"])
    assert fetch(edited, settings).operation.count.total is None


def test_bytes_in_the_archive_are_taken_from_there(
    tmp_path: Path, host: FileHost, settings: Settings
) -> None:
    day = [
        message(1, file("F1", "", "kept.png")),
        message(2, file("F2", host.put("/b.png", PNG), "b.png")),
    ]
    files = {DAY: day, "__uploads/F1/kept.png": PNG, "__uploads/F2/b.png": PNG + b"b"}
    export = write_export(tmp_path / "export", files)
    imported = import_archive(export, settings=settings)
    fetched = fetch(imported, settings)
    assert stored(fetched) == {"kept.png": sha256(PNG), "b.png": sha256(PNG + b"b")}
    assert host.asked == []


def test_an_archive_that_is_gone(tmp_path: Path, host: FileHost, settings: Settings) -> None:
    day = [
        message(1, file("F1", "", "kept.png")),
        message(2, file("F2", host.put("/b.png", PNG), "b.png")),
    ]
    files = {DAY: day, "__uploads/F1/kept.png": PNG, "__uploads/F2/b.png": PNG + b"b"}
    export = write_export(tmp_path / "export", files)
    imported = import_archive(export, settings=settings)
    assert imported.store.pending_files.sources() == {imported.operation.id}
    export.rename(tmp_path / "elsewhere.zip")
    fetched = fetch(imported, settings)
    assert stored(fetched) == {"b.png": sha256(PNG)}
    assert fetched.problem_kinds == ["file-archive-gone"]
    (tmp_path / "elsewhere.zip").rename(export)
    assert files_of(fetch(imported, settings)) == {"read": 1, "inserted": 1}


def test_damaged_bytes_in_the_archive(tmp_path: Path, settings: Settings) -> None:
    files = {DAY: [message(1, file("F1", "", "kept.png"))], "__uploads/F1/kept.png": PNG}
    export = write_export(tmp_path / "export", files)
    imported = import_archive(export, settings=settings)
    data = bytearray(export.read_bytes())
    place = data.index(PNG[1000:1100])
    data[place] ^= 1
    export.write_bytes(data)
    fetched = fetch(imported, settings)
    assert stored(fetched) == {}
    ((kind, reason),) = [(one["kind"], one["reason"]) for one in fetched.report["problems"]]
    assert kind == "file-not-fetched" and "its checksum is wrong" in reason


def test_a_message_that_is_gone_needs_no_file(tmp_path: Path, host: FileHost, settings: Settings) -> None:
    gone, there = (message(n, file(f"F{n}", host.put(f"/{n}.png", PNG))) for n in (1, 2))
    imported = import_archive(write_export(tmp_path / "export", {DAY: [gone, there]}), settings=settings)
    with_one = import_archive(write_export(tmp_path / "other", {DAY: [there]}), settings=settings)
    elsewhere = Imported(imported.operation, imported.store, with_one.destination)
    fetched = fetch(elsewhere, settings)
    assert files_of(fetched) == {"read": 2, "inserted": 1, "skipped": 1}
    assert fetched.problem_kinds == ["file-without-message"]
    assert [path for path, _ in host.asked] == ["/2.png"]
    assert fetch(elsewhere, settings).operation.count.total is None


def test_files_stay_pending_if_all_their_messages_are_gone(
    tmp_path: Path, host: FileHost, settings: Settings
) -> None:
    day = [message(n, file(f"F{n}", host.put(f"/{n}.png", PNG))) for n in (1, 2)]
    imported = import_archive(write_export(tmp_path / "export", {DAY: day}), settings=settings)
    emptied = Imported(imported.operation, imported.store, workspace())
    fetched = fetch(emptied, settings)
    assert files_of(fetched) == {"read": 2, "failed": 2}
    assert fetched.problem_kinds == ["file-messages-missing"] * 2
    assert host.asked == []
    assert files_of(fetch(imported, settings)) == {"read": 2, "inserted": 2}


def test_a_stored_file_is_not_fetched_for_another_message(
    tmp_path: Path, host: FileHost, settings: Settings
) -> None:
    url = host.put("/a.png", PNG)
    day = [message(1, file("F1", url))]
    first = fetch(import_archive(write_export(tmp_path / "export", {DAY: day}), settings=settings), settings)
    newer = write_export(tmp_path / "newer", {DAY: [*day, message(2, file("F1", f"{url}?new"))]})
    imported = import_archive(newer, first.destination, first.store, settings=settings)
    host.asked.clear()
    fetched = fetch(imported, settings)
    assert (files_of(fetched), host.asked) == ({"read": 1, "inserted": 1}, [])
    cards = [the_message(fetched, f"message {n}")["attachments"] for n in (1, 2)]
    assert cards[0] == cards[1]


class _Crash(BaseException):
    pass


def test_work_that_breaks_off_goes_on(tmp_path: Path, host: FileHost, settings: Settings) -> None:
    """The process ends at every second file: stored files are not fetched again, and each counts once."""
    urls = [host.put(f"/{n}", png(n + 1, 1) if n % 3 else lambda to: to.whole(b"", 404)) for n in range(9)]
    day = [message(n, file(f"F{n}", url)) for n, url in enumerate(urls)]
    export = write_export(tmp_path / "export", {DAY: day})
    with closing(open_destination(f"sqlite:{tmp_path / 'workspace.sqlite3'}")) as destination:
        imported = import_archive(export, destination, settings=settings)
        operation = begin(imported.store, destination)
        for _ in range(20):
            seen = 0

            def watch(current: Operation) -> None:
                nonlocal seen
                seen += 1
                if seen == 3:
                    raise _Crash

            try:
                found = imported.store.operations.get(operation.id)
                assert found is not None
                operation = run_operation(found, imported.store, destination, settings, watch=watch)
                break
            except _Crash:
                continue
        fetched = Imported(operation, imported.store, destination)
        assert files_of(fetched) == {"read": 9, "inserted": 6, "failed": 3}
        assert len(fetched.report["problems"]) == 3
        assert all("lastMessage" in room for room in fetched.documents(ROOMS) if room["msgs"])
        assert len(stored(fetched)) == 6


def test_cancelling_ends_a_download(tmp_path: Path, host: FileHost, settings: Settings) -> None:
    url = host.put("/slow", Exchange.endless)
    export = write_export(tmp_path / "export", {DAY: [message(1, file("F1", url))]})
    imported = import_archive(export, settings=settings)

    def check() -> None:
        if host.asked:
            raise CancelledError("The operation was cancelled.")

    operation = begin(imported.store, imported.destination)
    ended = run_operation(operation, imported.store, imported.destination, settings, check)
    assert ended.status == Status.CANCELLED
    assert imported.store.pending_files.count() == 1
    assert all(path.suffix == ".part" for path in (settings.fetched / "files").iterdir())
