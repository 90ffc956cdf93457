"""Names of entries: which are shown, how they are cleaned, and which are refused."""

import gzip
import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from chatferry.archive import open_archive
from chatferry.errors import ArchiveError
from tests.support.archives import (
    EXPORT,
    MADE_BY,
    PACK,
    Source,
    central,
    contents_of,
    every_form,
    folder_of,
    names_of,
    packed,
    refusal,
    tar_of,
    written,
    zip_bytes,
)

# ---------------------------------------------------------------- the forms


every_packed_form = pytest.mark.parametrize("form", [form for form in PACK if form != "folder"])


# ---------------------------------------------------------------- wrapping folders and junk


WRAPPED = [
    ("one folder", {"export/users.json": "users.json", "export/general/1.json": "general/1.json"}),
    ("nested", {"a/b/c/users.json": "users.json", "a/b/c/general/1.json": "general/1.json"}),
    ("same beginning", {"ab/c/1.json": "ab/c/1.json", "ab/cd/2.json": "ab/cd/2.json"}),
    ("a file at top", {"users.json": "users.json", "general/1.json": "general/1.json"}),
    ("two folders", {"a/users.json": "a/users.json", "b/users.json": "b/users.json"}),
    ("no file at any level", {"a/b/1.json": "a/b/1.json", "a/c/1.json": "a/c/1.json"}),
    ("a deeper file first", {"a/b/1.json": "b/1.json", "a/2.json": "2.json"}),
    ("teams", {"teams/x/users.json": "teams/x/users.json", "teams/y/users.json": "teams/y/users.json"}),
    ("a single team", {"teams/x/users.json": "teams/x/users.json", "teams/x/c/1.json": "teams/x/c/1.json"}),
    ("wrapped teams", {"export/teams/x/users.json": "teams/x/users.json"}),
    ("wrapped grid", {"e/org_users.json": "org_users.json", "e/teams/x/users.json": "teams/x/users.json"}),
    ("a wrapper named teams", {"teams/users.json": "users.json", "teams/general/1.json": "general/1.json"}),
]


@every_form
@pytest.mark.parametrize("names", [names for _, names in WRAPPED], ids=[case for case, _ in WRAPPED])
def test_sees_through_wrapping_folders(names: dict[str, str], form: str, tmp_path: Path) -> None:
    contents = {name: name.encode() for name in names}
    shown = {short: name.encode() for name, short in names.items()}
    assert contents_of(packed(form, contents, tmp_path)) == shown


@every_form
def test_junk_is_ignored_before_wrapping_is_judged(form: str, tmp_path: Path) -> None:
    junk = [".DS_Store", "export/.DS_Store", "export/general/.DS_Store", "__MACOSX/._export"]
    junk += ["__MACOSX/export/users.json", "export/__MACOSX/users.json"]
    contents = dict.fromkeys(junk, b"junk") | {"export/users.json": b"[]", "export/general/DS_Store": b"1"}
    assert contents_of(packed(form, contents, tmp_path)) == {"users.json": b"[]", "general/DS_Store": b"1"}


@pytest.mark.parametrize("form", ["zip", "tar", "tar.gz", "dict"])
def test_names_are_cleaned(form: str, tmp_path: Path) -> None:
    contents = {"./users.json": b"1", ".//general/./1.json": b"2"}
    assert contents_of(packed(form, contents, tmp_path)) == {"users.json": b"1", "general/1.json": b"2"}


@pytest.mark.parametrize("form", ["zip", "tar", "tar.gz"])
def test_folder_entries_are_not_shown(form: str, tmp_path: Path) -> None:
    original = folder_of({"users.json": b"[]", "general/1.json": b"[]"}, tmp_path / "original")
    (original / "empty").mkdir()
    path = tmp_path / "export"
    if form == "zip":
        with zipfile.ZipFile(path, "w") as out:
            for item in [original, *sorted(original.rglob("*"))]:
                out.write(item, f"./{item.relative_to(original)}")
    else:
        with tarfile.open(path, "w:gz" if form == "tar.gz" else "w:") as tar:
            tar.add(original, ".")
    assert names_of(path) == ["general/1.json", "users.json"]


# ---------------------------------------------------------------- names in zips


def test_zip_names_in_utf8_without_the_flag_are_repaired(tmp_path: Path) -> None:
    data = zip_bytes({"XXXXX/1.json": b"1", "users.json": b"[]"}).replace(b"XXXXX", "käse".encode())
    assert names_of(written(tmp_path / "export.zip", data)) == ["käse/1.json", "users.json"]


def test_zip_names_in_utf8_with_the_flag_are_kept(tmp_path: Path) -> None:
    names = ["café/日本語.json", "caf├⌐/1.json", "users.json"]  # the second is mojibake, but on purpose
    assert names_of(written(tmp_path / "export.zip", zip_bytes(dict.fromkeys(names, b"")))) == sorted(names)


def test_zip_names_that_really_are_cp437_are_kept(tmp_path: Path) -> None:
    data = zip_bytes({"kXse/1.json": b"1", "users.json": b"[]"}).replace(b"kXse", b"k\x84se")
    assert names_of(written(tmp_path / "export.zip", data)) == ["käse/1.json", "users.json"]


def test_backslashes_separate_in_zips_made_on_windows(tmp_path: Path) -> None:
    data = zip_bytes({"a\\general\\1.json": b"1", "a\\users.json": b"[]", "a\\empty\\": b""})
    for entry in range(3):
        data = central(data, MADE_BY, b"\0", entry)
    assert names_of(written(tmp_path / "export.zip", data)) == ["general/1.json", "users.json"]


def test_backslashes_are_kept_in_zips_made_elsewhere(tmp_path: Path) -> None:
    data = zip_bytes({"a\\b.json": b"1", "users.json": b"[]"})
    assert names_of(written(tmp_path / "export.zip", data)) == ["a\\b.json", "users.json"]


@pytest.mark.parametrize("form", ["tar", "folder"])
def test_names_that_are_no_text_are_made_so(form: str, tmp_path: Path) -> None:
    contents = {os.fsdecode(b"k\xe4se.json"): b"1", "users.json": b"[]"}
    shown = contents_of(packed(form, contents, tmp_path))
    assert shown == {"k\ufffdse.json": b"1", "users.json": b"[]"}


# ---------------------------------------------------------------- names that are refused


UNSAFE = {
    "/etc/passwd": "absolute",
    "//etc/passwd": "absolute",
    "C:\\Windows\\x": "absolute",
    "c:/Windows/x": "absolute",
    "\\\\server\\share": "absolute",
    "../x": '".."',
    "general/../../x": '".."',
    "general/..": '".."',
    "general\\..\\x": '".."',
}


@every_packed_form
@pytest.mark.parametrize("name", UNSAFE)
def test_unsafe_names_are_refused(name: str, form: str, tmp_path: Path) -> None:
    text = refusal(packed(form, {"users.json": b"[]", name: b"x"}, tmp_path))
    assert f'"{name}"' in text
    assert UNSAFE[name] in text
    assert "pack it again" in text


@pytest.mark.parametrize("name", ["C:\\Windows\\x", "\\\\server\\share", "general\\..\\x"])
def test_unsafe_names_are_refused_in_folders(name: str, tmp_path: Path) -> None:
    assert UNSAFE[name] in refusal(packed("folder", {"users.json": b"[]", name: b"x"}, tmp_path))


@every_form
def test_names_with_dots_and_colons_are_fine(form: str, tmp_path: Path) -> None:
    contents = dict.fromkeys(["..a/b..json", "FC:F0EXAMPLE1:Plan/1.json", "a/.../x", "users.json"], b"x")
    assert contents_of(packed(form, contents, tmp_path)) == contents


def with_zero_byte(form: str, tmp_path: Path) -> Source:
    if form == "dict":
        return {"a\0b.json": b""}
    if form == "zip":
        data = zip_bytes({"aXXb.json": b""}).replace(b"aXXb", b"a\0\0b")
        return written(tmp_path / "export.zip", data)
    info = tarfile.TarInfo("x")
    info.pax_headers = {"path": "a\0b.json"}
    return written(tmp_path / "export.tar", tar_of((info, b"")))


@pytest.mark.parametrize("form", ["zip", "tar", "dict"])
def test_zero_bytes_in_names_are_refused(form: str, tmp_path: Path) -> None:
    text = refusal(with_zero_byte(form, tmp_path))
    assert "zero byte" in text
    assert '"a\\x00' in text


def test_control_characters_are_not_shown_raw() -> None:
    assert "\x1b" not in refusal({"../\x1b[31m\n": b""})


def test_very_long_names_are_shown_in_part() -> None:
    text = refusal({"../" + "a" * 10_000 + "z": b""})
    assert len(text) < 1000
    assert '"../aaa' in text
    assert 'aaaz"' in text


@pytest.mark.parametrize("form", ["zip", "tar", "dict"])
def test_an_entry_without_a_name_is_refused(form: str, tmp_path: Path) -> None:
    assert '"." has no name' in refusal(packed(form, {".": b"x"}, tmp_path))


# ---------------------------------------------------------------- links and devices


def zip_entry(mode: int) -> bytes:
    info = zipfile.ZipInfo("general/odd")
    info.external_attr = mode << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as out:
        out.writestr("users.json", b"[]")
        out.writestr(info, b"../../etc/passwd")
    return buffer.getvalue()


def tar_entry(kind: bytes) -> bytes:
    info = tarfile.TarInfo("general/odd")
    info.type = kind
    info.linkname = "users.json"
    return tar_of((tarfile.TarInfo("users.json"), b"[]"), (info, b""))


SPECIAL = [
    (zip_entry(stat.S_IFLNK | 0o777), "symbolic link"),
    (zip_entry(stat.S_IFIFO), "named pipe"),
    (zip_entry(stat.S_IFCHR), "device"),
    (zip_entry(stat.S_IFBLK), "device"),
    (zip_entry(stat.S_IFSOCK), "socket"),
    (tar_entry(tarfile.SYMTYPE), "symbolic link"),
    (tar_entry(tarfile.LNKTYPE), "hard link"),
    (tar_entry(tarfile.CHRTYPE), "device"),
    (tar_entry(tarfile.BLKTYPE), "device"),
    (tar_entry(tarfile.FIFOTYPE), "named pipe"),
    (tar_entry(tarfile.GNUTYPE_SPARSE), "sparse"),
    (tar_entry(b"V"), "no ordinary file"),
    (gzip.compress(tar_entry(tarfile.SYMTYPE)), "symbolic link"),
    (gzip.compress(tar_entry(tarfile.LNKTYPE)), "hard link"),
]


@pytest.mark.parametrize(("data", "why"), SPECIAL)
def test_links_and_devices_are_refused(data: bytes, why: str, tmp_path: Path) -> None:
    text = refusal(written(tmp_path / "export", data))
    assert '"general/odd"' in text
    assert why in text
    assert "pack it again" in text


def test_ordinary_modes_are_fine(tmp_path: Path) -> None:
    for mode in (0, 0o644, stat.S_IFREG | 0o644):
        data = written(tmp_path / "export", zip_entry(mode))
        assert names_of(data) == ["general/odd", "users.json"]
    assert names_of(written(tmp_path / "export", zip_entry(stat.S_IFDIR | 0o755))) == ["users.json"]


@pytest.mark.parametrize("target", ["users.json", "general", "nowhere", "/etc/passwd"])
def test_links_in_a_folder_are_refused(target: str, tmp_path: Path) -> None:
    root = folder_of(EXPORT, tmp_path / "export")
    (root / "general/odd").symlink_to(root / target)
    text = refusal(root)
    assert '"general/odd" is a symbolic link' in text


def test_pipes_in_a_folder_are_refused(tmp_path: Path) -> None:
    root = folder_of(EXPORT, tmp_path / "export")
    os.mkfifo(root / "general/odd")
    assert '"general/odd" is a named pipe' in refusal(root)


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder_of(EXPORT, tmp_path / "export"))
    assert contents_of(tmp_path / "link") == EXPORT


def test_a_link_put_in_place_of_a_listed_file_is_not_followed(tmp_path: Path) -> None:
    root = folder_of(EXPORT, tmp_path / "export")
    secret = written(tmp_path / "secret", EXPORT["users.json"])
    with open_archive(root) as archive:
        (root / "users.json").unlink()
        (root / "users.json").symlink_to(secret)
        with pytest.raises(ArchiveError, match=r'"users.json" cannot be read'):
            archive.read("users.json")


# ---------------------------------------------------------------- names that are there twice


def twice(form: str, first: str, second: str, tmp_path: Path) -> Path:
    if form == "zip":
        stand_in = "X" * len(second.encode())
        data = zip_bytes({first: b"1", stand_in: b"2"})
        return written(tmp_path / "export.zip", data.replace(stand_in.encode(), second.encode()))
    data = tar_of((tarfile.TarInfo(first), b"1"), (tarfile.TarInfo(second), b"2"))
    return written(tmp_path / "export", gzip.compress(data) if form == "tar.gz" else data)


@pytest.mark.parametrize("form", ["zip", "tar", "tar.gz"])
@pytest.mark.parametrize(("first", "second"), [("a/b.json", "a/b.json"), ("./a//b.json", "a/./b.json")])
def test_names_that_are_there_twice_are_refused(first: str, second: str, form: str, tmp_path: Path) -> None:
    text = refusal(twice(form, first, second, tmp_path))
    assert f'"{first}" is there twice' in text
    assert f'as "{second}"' in text


def test_names_that_are_there_twice_once_repaired_are_refused(tmp_path: Path) -> None:
    text = refusal(twice("zip", "käse.json", "käse.json", tmp_path))  # with the flag and without
    assert '"käse.json" is there twice, the second time as "käse.json"' in text


def test_names_that_are_there_twice_in_a_dict_are_refused() -> None:
    text = refusal({"a//b.json": b"1", "a/b.json": b"2"})
    assert '"a//b.json" is there twice, the second time as "a/b.json"' in text


def test_names_that_are_there_twice_in_a_folder_are_refused(tmp_path: Path) -> None:
    contents = {os.fsdecode(b"k\xe4se"): b"1", os.fsdecode(b"k\xf6se"): b"2"}
    assert "is there twice" in refusal(folder_of(contents, tmp_path / "export"))
