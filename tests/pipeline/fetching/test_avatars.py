"""Pending avatars: stored, noted on their users, and said when they do not come."""

import base64
from pathlib import Path

from msgspec.structs import replace

from chatferry.convert.files import avatar_id
from chatferry.documents import AVATARS, UPLOADS, USERS, Document, Update
from chatferry.importers import PENDING_AVATARS
from chatferry.operations import Status
from chatferry.pipeline.operation import run_operation
from chatferry.settings import Settings
from tests.support.exports import DAY, TOKEN, png, user, write_export
from tests.support.fetching import fetch, files_of
from tests.support.filehost import Exchange, FileHost, noise
from tests.support.importing import Imported, import_archive

PICTURE = png(96, 96, noise(300_000))


def picture(to: Exchange) -> None:
    to.whole(PICTURE, content_type="image/png")


def people(imported: Imported) -> dict[str, Document]:
    return {one["username"]: one for one in imported.documents(USERS)}


def test_avatars_are_stored_once_and_noted(tmp_path: Path, host: FileHost, settings: Settings) -> None:
    """Also: a second run fetches only what failed, and importing again asks for nothing again."""
    url = host.put("/a.png", picture)
    page = host.put("/page", lambda to: to.whole(b"<html>", content_type="text/html"))
    text = host.put("/text", lambda to: to.whole(b"text", content_type="text/plain"))
    large = host.put("/large", lambda to: to.head(content_length=1 << 30, content_type="image/png"))
    users = [
        user("U1", "ann", image_original=f"{url}?t={TOKEN}"),
        user("U2", "ben", image_original=f"{url}?t={TOKEN}"),
        user("U3", "cat", image_original=page),
        user("U4", "dan", image_original=text),
        user("U5", "eve", image_original=large),
        user("U6", "fay"),
    ]
    export = write_export(tmp_path / "export", {DAY: []}, users=users)
    imported = import_archive(export, settings=settings)
    assert people(imported)["ann"]["_pendingAvatarUrl"] == f"{url}?t=***"
    assert people(imported)["cat"]["_pendingAvatarUrl"] == page
    fetched = fetch(imported, settings, PENDING_AVATARS)
    assert fetched.operation.status == Status.DONE, fetched.operation.error
    assert files_of(fetched) == {"read": 5, "inserted": 2, "failed": 3}
    assert sorted(one["field"].partition(" (")[0] for one in fetched.report["problems"]) == [
        f"avatar of {name}" for name in ("cat", "dan", "eve")
    ]
    assert set(fetched.problem_kinds) == {"avatar-not-fetched"}
    assert len(host.asked) == 4
    for name in ("ann", "ben"):
        found = people(fetched)[name]
        avatar = fetched.by_id(AVATARS)[avatar_id(found["_id"])]
        assert b"".join(fetched.destination.read_file(avatar["_id"], AVATARS)) == PICTURE
        assert "_pendingAvatarUrl" not in found
        assert (found["avatarOrigin"], found["avatarETag"]) == ("url", avatar["etag"])
        assert (avatar["userId"], avatar["name"], avatar["type"], avatar["size"]) == (
            found["_id"],
            name,
            "image/png",
            len(PICTURE),
        )
    assert len(fetched.documents(AVATARS)) == 2 and fetched.documents(UPLOADS) == []
    assert list((settings.fetched / "files").iterdir()) == []

    again = import_archive(export, fetched.destination, fetched.store, settings=settings)
    assert again.report["users"]["unchanged"] == 6
    host.put("/page", picture)
    host.asked.clear()
    more = fetch(again, settings, PENDING_AVATARS)
    assert files_of(more) == {"read": 3, "inserted": 1, "failed": 2}
    assert {path for path, _ in host.asked} == {"/page", "/text", "/large"}


def test_a_picture_in_the_address_itself(tmp_path: Path, settings: Settings) -> None:
    export = write_export(tmp_path / "export", {DAY: []})
    imported = import_archive(export, settings=settings)
    urls = {
        "alice": f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}",
        "bob": "data:text/html;base64,PGh0bWw+",
    }
    for name, url in urls.items():
        change = Update(collection=USERS, id=people(imported)[name]["_id"], set={"_pendingAvatarUrl": url})
        imported.destination.apply([change])
    fetched = fetch(imported, settings, PENDING_AVATARS)
    assert files_of(fetched) == {"read": 2, "inserted": 1, "failed": 1}
    (avatar,) = fetched.documents(AVATARS)
    assert b"".join(fetched.destination.read_file(avatar["_id"], AVATARS)) == PICTURE


def test_avatars_that_are_dealt_with_are_not_dealt_with_again(
    tmp_path: Path, host: FileHost, settings: Settings
) -> None:
    """An operation that is taken up again counts each avatar once."""
    users = [
        user("U1", "ann", image_original=host.put("/a.png", picture)),
        user("U2", "ben", image_original=host.put("/b.png", lambda to: to.whole(b"", 404))),
    ]
    export = write_export(tmp_path / "export", {DAY: []}, users=users)
    imported = import_archive(export, settings=settings)
    fetched = fetch(imported, settings, PENDING_AVATARS)
    interrupted = replace(fetched.operation, status=Status.IMPORTING_FILES)
    host.asked.clear()
    ended = run_operation(interrupted, fetched.store, fetched.destination, settings)
    assert (ended.status, ended.count.completed, ended.count.error) == (Status.DONE, 1, 1)
    assert host.asked == []
