"""Generated exports with files and pictures on a host, against their truth manifests: every byte comes."""

import gzip
import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import quote

from chatferry.documents import AVATARS, COLLECTIONS, MESSAGES, ROOMS, UPLOADS, USERS, Document
from chatferry.importers import PENDING_AVATARS
from chatferry.operations import Status
from chatferry.settings import Settings
from testdata.entries import Avatar, File, read_lines
from testdata.pending_export import TOKEN, Export, Served, Shape, write_export
from tests.support.entries import counts, of_kind
from tests.support.fetching import fetch
from tests.support.filehost import Answer, Exchange, FileHost
from tests.support.importing import Imported, import_archive, lasting, sqlite_workspace
from tests.support.truth import assert_sums

PLAIN = "!$&'()*+,:;=@-._~"  # what stands in a step of a path as it is


def serve(host: FileHost, export: Export) -> None:
    for path, served in export.served.items():
        host.put(path, _answer(served))
        if served.how == "moved":
            host.put(f"/moved{path}", _answer(Served(data=served.data, type=served.type)))


def _answer(served: Served) -> Answer:
    headers: dict[str, Any] = {"content_type": served.type} if served.type else {}

    def answer(to: Exchange) -> None:
        match served.how:
            case "whole":
                to.whole(served.data, served.status, **headers)
            case "gzip":
                to.whole(gzip.compress(served.data), content_encoding="gzip", **headers)
            case "moved":
                to.head(302, location=f"/moved{to.path}", content_length=0)
            case "broken":
                to.ranged(served.data, until=len(served.data) // 2 if to.attempt == 1 else None)

    return answer


def paths(host: FileHost) -> set[str]:
    return {path.partition("?")[0] for path, _ in host.asked}


def everything(found: Imported) -> Any:
    return {name: lasting(found.by_id(name)) for name in COLLECTIONS}


def tells_token(found: Imported) -> bool:
    lines = [line for name in COLLECTIONS for line in found.destination.dump(name)]
    return any(TOKEN.encode() in text for text in [*lines, repr(found.report).encode()])


# ---------------------------------------------------------------- files


def test_every_file_is_stored_and_shown_and_again_is_no_news(
    tmp_path: Path, host: FileHost, settings: Settings
) -> None:
    export = write_export(tmp_path / "export.zip", host.url(""), Shape(), tmp_path / "truth.jsonl")
    serve(host, export)
    lines = of_kind(File, read_lines(tmp_path / "truth.jsonl"))
    shows = sum(len(line.messages) for line in lines)
    lost = sum(len(line.messages) for line in lines if not line.sha256)
    with sqlite_workspace(tmp_path / "workspace.sqlite3") as destination:
        imported = import_archive(tmp_path / "export.zip", destination, settings=settings)
        assert imported.operation.status == Status.DONE, imported.operation.error
        assert_sums(imported)
        kept = shows + export.external  # what is to be fetched, and links
        tally = {"read": kept + export.gone, "inserted": kept, "skipped": export.gone}
        assert counts(imported.report["files"]) == tally
        fetched = fetch(imported, settings)
        assert fetched.operation.status == Status.DONE, fetched.operation.error
        assert counts(fetched.report["files"]) == {"read": shows, "inserted": shows - lost, "failed": lost}
        assert fetched.problem_kinds == ["file-not-fetched"] * lost
        assert_files(fetched, lines)
        assert not tells_token(fetched)
        assert list((settings.fetched / "files").iterdir()) == []

        before = everything(fetched)
        missing = {path for path, served in export.served.items() if is_lost(path, served)}
        host.asked.clear()
        again = fetch(fetched, settings)
        assert counts(again.report["files"]) == {"read": lost, "failed": lost}
        assert paths(host) == missing
        reimported = import_archive(tmp_path / "export.zip", destination, fetched.store, settings=settings)
        assert_sums(reimported)
        assert reimported.report["messages"]["unchanged"] == reimported.report["messages"]["read"]
        assert everything(reimported) == before


def is_lost(path: str, served: Served) -> bool:
    return path.startswith("/files/") and (served.status != 200 or served.type == "text/html")


def assert_files(found: Imported, lines: list[File]) -> None:
    uploads = {upload["message_id"].rpartition("-file-")[2]: upload for upload in found.documents(UPLOADS)}
    messages = {message["msg"]: message for message in found.documents(MESSAGES)}
    rooms = found.by_id(ROOMS)
    assert uploads.keys() == {line.id for line in lines if line.sha256}
    for line in lines:
        showing = [messages[text] for text in line.messages]
        if not line.sha256:
            assert all("title_link" not in card for one in showing for card in one["attachments"]), line
            continue
        upload = uploads[line.id]
        assert _stored(found, upload) == line_without_messages(line)
        assert (upload["rid"], upload["userId"]) in [(one["rid"], one["u"]["_id"]) for one in showing]
        assert upload["message_id"] in [f"{one['_id']}-file-{line.id}" for one in showing]
        for one in showing:
            assert _card(line, upload["_id"]) in one["attachments"], line
            assert _entry(line, upload["_id"]) in one["files"], line
            assert len(one["attachments"]) == len(one["files"])
            assert rooms[one["rid"]]["importIds"]


def line_without_messages(line: File) -> tuple[Any, ...]:
    return line.name, line.type, line.sha256, line.size, line.size, line.pixels, True, "GridFS:Uploads"


def _stored(found: Imported, upload: Document) -> tuple[Any, ...]:
    data = b"".join(found.destination.read_file(upload["_id"]))
    size = upload.get("identify", {}).get("size", {})
    return (
        upload["name"],
        upload["type"],
        hashlib.sha256(data).hexdigest(),
        len(data),
        upload["size"],
        [size["width"], size["height"]] if size else [],
        upload["complete"],
        upload["store"],
    )


def _card(line: File, upload_id: str) -> Document:
    """Return how a message shows a file."""
    link = f"/file-upload/{upload_id}/{quote(line.name, safe=PLAIN)}"
    card: Document = {"title": line.title, "type": "file", "fileId": upload_id}
    card |= {"title_link": link, "title_link_download": True}
    kind = line.type.partition("/")[0]
    if kind in ("image", "audio", "video"):
        card |= {f"{kind}_url": link, f"{kind}_type": line.type, f"{kind}_size": line.size}
    else:
        card |= {"size": line.size, **_format(line)}
    if line.pixels:
        card["image_dimensions"] = {"width": line.pixels[0], "height": line.pixels[1]}
    return card


def _entry(line: File, upload_id: str) -> Document:
    return {"_id": upload_id, "name": line.name, "type": line.type, "size": line.size, **_format(line)}


def _format(line: File) -> dict[str, str]:
    suffix = Path(line.name).suffix
    return {"format": suffix[1:].lower()} if suffix else {}


# ---------------------------------------------------------------- avatars


def test_every_avatar_is_stored_and_noted_and_again_is_no_news(
    tmp_path: Path, host: FileHost, settings: Settings
) -> None:
    export = write_export(
        tmp_path / "export.zip", host.url(""), Shape(users=240, messages=0), tmp_path / "truth.jsonl"
    )
    serve(host, export)
    lines = of_kind(Avatar, read_lines(tmp_path / "truth.jsonl"))
    wanted = {line.username: line for line in lines if line.sha256}
    lost = {line.username for line in lines if not line.sha256}
    with sqlite_workspace(tmp_path / "workspace.sqlite3") as destination:
        imported = import_archive(tmp_path / "export.zip", destination, settings=settings)
        assert imported.operation.status == Status.DONE, imported.operation.error
        fetched = fetch(imported, settings, PENDING_AVATARS)
        assert fetched.operation.status == Status.DONE, fetched.operation.error
        tally = {"read": len(lines), "inserted": len(wanted), "failed": len(lost)}
        assert counts(fetched.report["files"]) == tally
        assert fetched.problem_kinds == ["avatar-not-fetched"] * len(lost)
        assert avatars(fetched) == wanted
        assert_noted(fetched, wanted, lost)
        assert not tells_token(fetched)
        assert list((settings.fetched / "files").iterdir()) == []

        before = everything(fetched)
        again = fetch(fetched, settings, PENDING_AVATARS)
        assert counts(again.report["files"]) == {"read": len(lost), "failed": len(lost)}
        reimported = import_archive(tmp_path / "export.zip", destination, fetched.store, settings=settings)
        assert counts(reimported.report["users"]) == {"read": 240, "unchanged": 240}
        assert everything(reimported) == before


def avatars(found: Imported) -> dict[str, Avatar]:
    names = {user["_id"]: user["username"] for user in found.documents(USERS)}
    seen = {}
    for avatar in found.documents(AVATARS):
        data = b"".join(found.destination.read_file(avatar["_id"], AVATARS))
        assert (avatar["size"], avatar["name"]) == (len(data), names[avatar["userId"]])
        sha256 = hashlib.sha256(data).hexdigest()
        seen[avatar["name"]] = Avatar(
            username=avatar["name"], type=avatar["type"], sha256=sha256, size=avatar["size"]
        )
    return seen


def assert_noted(found: Imported, wanted: dict[str, Avatar], lost: set[str]) -> None:
    """Check that users show the avatars that came, and that the rest stay pending."""
    etags = {avatar["userId"]: avatar["etag"] for avatar in found.documents(AVATARS)}
    for user in found.documents(USERS):
        has_come = user["username"] in wanted
        assert user.get("avatarETag") == etags.get(user["_id"])
        assert (user.get("avatarOrigin") == "url") == has_come
        assert ("_pendingAvatarUrl" in user) == (user["username"] in lost)


def test_the_same_shape_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_export(tmp_path / f"{name}.zip", "http://x", Shape(), tmp_path / f"{name}.jsonl")
    for suffix in ("zip", "jsonl"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
