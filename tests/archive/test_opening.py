"""Paths that lead to no archive."""

import os
import random
import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chatferry.archive import MIB
from tests.support.archives import EXPORT, folder_of, packed, reading_refusal, refusal, written


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    text = refusal(tmp_path / "export.zip")
    assert str(tmp_path / "export.zip") in text
    assert "(no such file or directory). Check the path." in text
    assert "Check the path." in refusal(written(tmp_path / "file", b"x") / "export.zip")
    assert "Check the path." in refusal(tmp_path / "a\0b")


def test_pipes_and_devices_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "is neither a file nor a folder" in refusal(tmp_path / "pipe")
    assert "is neither a file nor a folder" in refusal(Path("/dev/zero"))


def test_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "export.zip").symlink_to("export.zip")
    assert "cannot be read" in refusal(tmp_path / "export.zip")


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's right to read everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("form", ["zip", "tar", "tar.gz", "folder"])
def test_a_path_without_permission_is_refused(form: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        source = packed(form, {"users.json": b"[]", "general/1.json": b"[]"}, Path(place))
        assert isinstance(source, Path)
        for path, named in [(source, source.name), *[(source / "general", '"general"')] * (form == "folder")]:
            path.chmod(0o000)
            with as_nobody():
                text = refusal(source)
            path.chmod(0o755)
            assert named in text
            assert "(permission denied). Let the account that chatferry runs under read it." in text


def test_a_file_without_permission_in_a_folder_is_refused() -> None:
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        root = folder_of(EXPORT, Path(place) / "export")
        for path in (root, *root.rglob("*")):  # whatever the umask of this process
            path.chmod(0o755)
        (root / "users.json").chmod(0o000)
        with as_nobody():
            assert '"users.json" cannot be read (permission denied)' in reading_refusal(root, "users.json")


def test_a_tar_gz_that_does_not_fit_on_the_disk_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    source = packed("tar.gz", {"a.bin": random.Random(1).randbytes(2 * MIB)}, tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, hard))
    try:
        text = refusal(source)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "cannot be unpacked (file too large)" in text
    assert f"Make room in {tmp_path}" in text
