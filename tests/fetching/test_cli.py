"""`chatferry files`: what is pending is fetched without a server."""

import json
import subprocess
from pathlib import Path

from tests.downloads.filehost import FileHost, noise
from tests.fetching.exports import DAY, TOKEN, file, message, png, user, write_export
from tests.serving import PATIENCE, command, documents, environment


def run(folder: Path, *arguments: str, host: FileHost) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(*arguments, "--data", str(folder / "data")),
        cwd=folder,
        env=environment(CHATFERRY_DOWNLOAD_HOSTS=host.name),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_files_and_avatars(tmp_path: Path, host: FileHost) -> None:
    picture = png(10, 10, noise(1000))
    url = host.put("/a.png", lambda to: to.whole(picture, content_type="image/png"))
    day = [message(1, file("F1", f"{url}?t={TOKEN}")), message(2, file("F2", host.put("/b.png", b"gone")))]
    host.put("/b.png", lambda to: to.whole(b"", 404))
    users = [user("UALICE001", "alice", image_original=f"{url}?t={TOKEN}")]
    export = write_export(tmp_path / "export", {DAY: day}, users=users)
    assert run(tmp_path, "import", "slack", str(export), host=host).returncode == 0

    first = run(tmp_path, "files", host=host)
    assert first.returncode == 3, first.stderr
    assert "file-not-fetched: 1 failed" in first.stdout and "404" in first.stdout
    assert "abcdefSECRET" not in first.stdout + first.stderr
    assert len(documents(tmp_path / "data", "rocketchat_uploads")) == 1
    assert len(documents(tmp_path / "data", "rocketchat_avatars")) == 1

    host.put("/b.png", picture)
    second = run(tmp_path, "files", "--json", host=host)
    assert second.returncode == 0, second.stderr
    found = json.loads(second.stdout)
    assert (found["files"]["files"]["inserted"], found["avatars"]["files"]["read"]) == (1, 0)
    assert found["files"]["operation"]["importerKey"] == "pending-files"

    third = run(tmp_path, "files", host=host)
    assert (third.returncode, third.stdout) == (0, "Nothing is pending.\n")
    assert list(json.loads(run(tmp_path, "files", "--json", host=host).stdout)) == ["files", "avatars"]


def test_there_is_nothing_here(tmp_path: Path, host: FileHost) -> None:
    done = run(tmp_path, "files", host=host)
    assert done.returncode == 2
    assert "holds no operations" in done.stderr
