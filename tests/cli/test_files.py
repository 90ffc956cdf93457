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


def test_addresses_that_are_none_do_not_hide_the_end_of_an_import(tmp_path: Path, host: FileHost) -> None:
    """Anybody in the source may have shared a file from anywhere."""
    files = [file("F1", "https://[bad/x.png"), file("F2", "https://ok.example:99999999/x.png")]
    day = [message(number, one) for number, one in enumerate(files, 1)]
    export = write_export(tmp_path / "export", {DAY: day})
    done = chatferry_in(tmp_path, "import", "slack", str(export), host=host)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert "Next: 2 files " in done.stdout


def test_an_import_fetches_files_at_once(tmp_path: Path, host: FileHost) -> None:
    picture = png(10, 10, noise(1000))
    there = host.put("/a.png", lambda to: to.whole(picture, content_type="image/png"))
    gone = host.put("/b.png", lambda to: to.whole(b"", 404))
    day = [message(1, file("F1", there)), message(2, file("F2", gone))]
    export = write_export(tmp_path / "export", {DAY: day})
    both = chatferry_in(tmp_path, "import", "slack", str(export), "--files", "--json", host=host)
    assert (both.returncode, "are two reports" in both.stderr) == (2, True)
    assert not (tmp_path / "data").exists()
    done = chatferry_in(tmp_path, "import", "slack", str(export), "--files", host=host)
    assert (done.returncode, "file-not-fetched: 1 failed" in done.stdout) == (3, True), done.stderr
    assert len(documents(tmp_path / "data", "rocketchat_uploads")) == 1
