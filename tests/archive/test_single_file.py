"""A text file as an archive of itself."""

import random
import re
from pathlib import Path

import pytest

from chatferry.archive import DEFAULT_LIMITS, Archive, Limits, open_archive
from chatferry.errors import ArchiveError
from tests.support.archives import EXPORT, NOT_ARCHIVES, PACK, packed, refusal, written

PEOPLE = b"username,email\nalice,alice@example.org\n"


def single(path: Path, limits: Limits = DEFAULT_LIMITS, name: str = "") -> Archive:
    return open_archive(path, limits, name, single=True)


@pytest.mark.parametrize(
    "data",
    [PEOPLE, b"x", b"a,\0b\n" * 300, "\ufeffgrüße\n".encode("utf-16-le"), b"\x01" + PEOPLE * 20],
)
def test_a_text_file_is_an_archive_of_itself_if_the_format_allows_it(data: bytes, tmp_path: Path) -> None:
    path = written(tmp_path / "members.csv", data)
    with single(path) as archive:
        assert (archive.names(), archive.is_single) == (["members.csv"], True)
        assert archive.read("members.csv") == data
    assert "is neither a zip nor a tar" in refusal(path)


@pytest.mark.parametrize(
    "name", ["a/b/members.csv", "..", "", ".DS_Store", "/", "\0", "C:\\x\\members.csv", "._x"]
)
def test_the_name_of_a_single_file_is_nothing_to_fear(name: str, tmp_path: Path) -> None:
    with single(written(tmp_path / "upload", PEOPLE), name=name) as archive:
        (entry,) = archive.names()
        assert entry in ("members.csv", "file", "upload")
        assert archive.read(entry) == PEOPLE


@pytest.mark.parametrize("form", PACK)
def test_an_archive_is_read_as_one_also_if_a_single_file_is_allowed(form: str, tmp_path: Path) -> None:
    source = packed(form, EXPORT, tmp_path)
    with open_archive(source, single=True) as archive:
        assert (archive.names(), archive.is_single) == (sorted(EXPORT), False)


@pytest.mark.parametrize("data", [data for data, why in NOT_ARCHIVES.items() if "neither" not in why])
def test_files_of_other_known_types_are_no_single_file(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=re.escape(NOT_ARCHIVES[data])):
        single(written(tmp_path / "members.csv", data))


PICTURES = [
    b"\x89PNG\r\n\x1a\n" + bytes(1000),
    b"\xff\xd8\xff\xe0" + bytes(100),
    b"%PDF-1.7\n" + b"text" * 100,
]


@pytest.mark.parametrize("data", [*PICTURES, random.Random(1).randbytes(3000)])
def test_a_picture_is_no_single_file(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="is neither a zip nor a tar"):
        single(written(tmp_path / "members.csv", data))


def test_limits_hold_for_single_files(tmp_path: Path) -> None:
    path = written(tmp_path / "members.csv", PEOPLE * 100)
    for limits in (Limits(entry_bytes=100), Limits(total_bytes=100)):
        with pytest.raises(ArchiveError, match=r"members\.csv"):
            single(path, limits)
