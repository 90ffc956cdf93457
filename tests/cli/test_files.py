"""`chatferry files`: pending files are fetched without a server."""

import json
from pathlib import Path

from tests.support.command_line import chatferry_in
from tests.support.exports import DAY, TOKEN, file, message, png, user, write_export
from tests.support.filehost import FileHost, noise
from tests.support.serving import documents


def test_files_and_avatars(tmp_path: Path, host: FileHost) -> None:
    picture = png(10, 10, noise(1000))
    url = host.put("/a.png", lambda to: to.whole(picture, content_type="image/png"))
    day = [message(1, file("F1", f"{url}?t={TOKEN}")), message(2, file("F2", host.put("/b.png", b"gone")))]
    host.put("/b.png", lambda to: to.whole(b"", 404))
    users = [user("UALICE001", "alice", image_original=f"{url}?t={TOKEN}")]
    export = write_export(tmp_path / "export", {DAY: day}, users=users)
    assert chatferry_in(tmp_path, "import", "slack", str(export), host=host).returncode == 0

    first = chatferry_in(tmp_path, "files", host=host)
    assert first.returncode == 3, first.stderr
    assert "file-not-fetched: 1 failed" in first.stdout and "404" in first.stdout
    assert "abcdefSECRET" not in first.stdout + first.stderr
    assert len(documents(tmp_path / "data", "rocketchat_uploads")) == 1
    assert len(documents(tmp_path / "data", "rocketchat_avatars")) == 1

    host.put("/b.png", picture)
    second = chatferry_in(tmp_path, "files", "--json", host=host)
    assert second.returncode == 0, second.stderr
    found = json.loads(second.stdout)
    assert (found["files"]["files"]["inserted"], found["avatars"]["files"]["read"]) == (1, 0)
    assert found["files"]["operation"]["importerKey"] == "pending-files"

    third = chatferry_in(tmp_path, "files", host=host)
    assert (third.returncode, third.stdout) == (0, "Nothing is pending.\n")
    assert list(json.loads(chatferry_in(tmp_path, "files", "--json", host=host).stdout)) == [
        "files",
        "avatars",
    ]


def test_there_is_nothing_here(tmp_path: Path, host: FileHost) -> None:
    done = chatferry_in(tmp_path, "files", host=host)
    assert done.returncode == 2
    assert "holds no operations" in done.stderr
