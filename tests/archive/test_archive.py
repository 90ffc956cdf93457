"""What an archive shows, in every form it comes in, and what it refuses."""

import gzip
import io
import os
import random
import re
import resource
import stat
import struct
import tarfile
import tempfile
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import copy
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from chatferry.archive import DEFAULT_LIMITS, GIB, MIB, Archive, Limits, open_archive
from chatferry.errors import ArchiveError

Contents = Mapping[str, bytes]
Source = Path | Mapping[str, bytes | str]

EXPORT: Contents = {
    "channels.json": b"[]",
    "general/2020-01-01.json": b'[{"type": "message", "text": "hello"}]\n' * 50,
    "general/2020-01-02.json": b"",
    "käse/2020-01-01.json": "Grüße".encode(),
    "users.json": b"[1]\n[2]\n",
}

# ---------------------------------------------------------------- the forms


def zip_bytes(contents: Contents, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", method) as out:
        warnings.simplefilter("ignore")  # about names that are there twice
        for name, data in contents.items():
            out.writestr(name, data)
    return buffer.getvalue()


def tar_bytes(contents: Contents) -> bytes:
    return tar_of(*((tarfile.TarInfo(name), data) for name, data in contents.items()))


def tar_of(*entries: tuple[tarfile.TarInfo, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as out:
        for info, data in entries:
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def written(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def folder_of(contents: Contents, path: Path) -> Path:
    path.mkdir()
    for name, data in contents.items():
        written(path / name, data)
    return path


PACK: Mapping[str, Callable[[Contents, Path], Source]] = {
    "zip": lambda contents, place: written(place / "export.zip", zip_bytes(contents)),
    "stored": lambda contents, place: written(place / "export.zip", zip_bytes(contents, zipfile.ZIP_STORED)),
    "tar": lambda contents, place: written(place / "export.tar", tar_bytes(contents)),
    "tar.gz": lambda contents, place: written(place / "export.tar.gz", gzip.compress(tar_bytes(contents), 1)),
    "folder": lambda contents, place: folder_of(contents, place / "export"),
    "dict": lambda contents, place: dict(contents),
}
every_form = pytest.mark.parametrize("form", PACK)
every_packed_form = pytest.mark.parametrize("form", [form for form in PACK if form != "folder"])


def packed(form: str, contents: Contents, place: Path) -> Source:
    return PACK[form](contents, place)


def contents_of(source: Source, limits: Limits = DEFAULT_LIMITS) -> dict[str, bytes]:
    with open_archive(source, limits) as archive:
        return {name: archive.read(name) for name in archive.names()}


def names_of(source: Source) -> list[str]:
    with open_archive(source) as archive:
        return archive.names()


def refusal(source: Source, limits: Limits = DEFAULT_LIMITS) -> str:
    """Why an archive is refused when it is opened."""
    with pytest.raises(ArchiveError) as caught:
        open_archive(source, limits).close()
    return plain(caught.value, source)


def reading_refusal(source: Source, name: str) -> str:
    """Why an entry is refused when it is read; read whole and as a stream must agree."""
    with open_archive(source) as archive:
        with pytest.raises(ArchiveError) as caught:
            archive.read(name)
        with archive.open(name) as stream, pytest.raises(ArchiveError) as streamed:
            while stream.read(1000):
                pass
    assert str(streamed.value) == str(caught.value)
    return plain(caught.value, source)


def plain(error: ArchiveError, source: Source) -> str:
    """The text of an error: it must name the archive and end in what to do."""
    text = str(error)
    assert (source.name if isinstance(source, Path) else "archive") in text
    assert text.count(". ") >= 1
    assert text.endswith(".")
    assert "Errno" not in text
    return text


# ---------------------------------------------------------------- what it shows


@every_form
def test_shows_the_files_of_every_form(form: str, tmp_path: Path) -> None:
    with open_archive(packed(form, EXPORT, tmp_path)) as archive:
        assert archive.names() == sorted(EXPORT)
        for name, data in EXPORT.items():
            assert name in archive
            assert archive.size(name) == len(data)
            assert archive.read(name) == data
            with archive.open(name) as stream:
                assert stream.read() == data
        assert "general" not in archive
        assert "general/" not in archive
        assert "nothing.json" not in archive


@every_form
def test_a_stream_is_read_in_pieces_and_lines(form: str, tmp_path: Path) -> None:
    data = random.Random(1).randbytes(3 * MIB) + b"\nthe\nend"  # several blocks
    with open_archive(packed(form, {"a.bin": data, "users.json": b"1\n2\n"}, tmp_path)) as archive:
        with archive.open("a.bin") as stream:
            pieces = list(iter(lambda: stream.read(100_003), b""))
            assert b"".join(pieces) == data
            assert {len(piece) for piece in pieces[:-1]} == {100_003}
        with archive.open("users.json") as stream:
            assert list(stream) == [b"1\n", b"2\n"]
        with archive.open("a.bin") as one, archive.open("users.json") as other:
            assert (one.read(5), other.read(1), one.read(5)) == (data[:5], b"1", data[5:10])


@every_form
def test_a_stream_begins_where_it_is_told_to(form: str, tmp_path: Path) -> None:
    data = random.Random(1).randbytes(3 * MIB) + b"end"
    with open_archive(packed(form, {"a.bin": data, "b": b"1"}, tmp_path)) as archive:
        for start in (1, MIB, 2 * MIB + 5, len(data) - 1, len(data), len(data) + 1):
            with archive.open("a.bin", start) as stream:
                assert stream.read(2 * MIB) == data[start : start + 2 * MIB]


@every_form
def test_is_named_for_messages(form: str, tmp_path: Path) -> None:
    source = packed(form, EXPORT, tmp_path)
    with open_archive(source) as archive:
        assert archive.name == (source.name if isinstance(source, Path) else "archive")


def test_a_folder_without_a_name_of_its_own_is_named_by_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder_of(EXPORT, tmp_path / "export"))
    with open_archive(Path()) as archive:
        assert archive.name == "export"
        assert archive.read("users.json") == EXPORT["users.json"]


def test_a_dict_may_hold_text() -> None:
    with open_archive({"users.json": "Grüße", "folder/": b""}) as archive:
        assert archive.names() == ["users.json"]
        assert archive.read("users.json") == "Grüße".encode()
        assert archive.size("users.json") == 7


@every_form
def test_may_be_empty(form: str, tmp_path: Path) -> None:
    assert names_of(packed(form, {}, tmp_path)) == []


@every_form
def test_an_entry_that_is_not_there_is_refused_by_name(form: str, tmp_path: Path) -> None:
    source = packed(form, EXPORT, tmp_path)
    with open_archive(source) as archive:
        for method in (archive.size, archive.read, archive.open):
            for name in ("nothing.json", "general"):
                with pytest.raises(ArchiveError) as caught:
                    method(name)
                assert f'"{name}"' in plain(caught.value, source)


@pytest.mark.parametrize("form", ["zip", "stored", "tar", "tar.gz"])
def test_is_told_apart_by_content_and_not_by_suffix(form: str, tmp_path: Path) -> None:
    source = packed(form, EXPORT, tmp_path)
    assert isinstance(source, Path)
    for suffix in (".zip", ".tar", ".tgz", ".txt"):
        assert contents_of(source.rename(tmp_path / f"renamed{suffix}")) == EXPORT
        source = tmp_path / f"renamed{suffix}"


@every_form
def test_several_threads_read_at_once(form: str, tmp_path: Path) -> None:
    contents = {f"{n}.bin": random.Random(n).randbytes(50_000) for n in range(40)}
    with open_archive(packed(form, contents, tmp_path)) as archive, ThreadPoolExecutor(8) as threads:
        names = archive.names() * 5
        assert list(threads.map(archive.read, names)) == [contents[name] for name in names]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@every_form
def test_closing_leaves_no_file_open_or_behind(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    source = packed(form, {**EXPORT, "a.bin": bytes(3 * MIB)}, tmp_path)
    before = open_files()
    with open_archive(source) as archive:
        archive.read("users.json")
        stream = archive.open("a.bin")
        stream.read(1)
        stream.close()
    assert open_files() == before
    refusal(source, Limits(entries=1))
    assert open_files() == before
    assert list((tmp_path / "temporary").iterdir()) == []


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


def central(data: bytes, offset: int, field: bytes, entry: int = 0) -> bytes:
    """A zip with a field of an entry's central header written over."""
    start = -1
    for _ in range(entry + 1):
        start = data.index(b"PK\1\2", start + 1)
    return data[: start + offset] + field + data[start + offset + len(field) :]


FLAGS, METHOD, CRC, PACKED, SIZE, MODE, LOCAL = 8, 10, 16, 20, 24, 40, 42  # in a central header
MADE_BY, NEEDS = 5, 6


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


# ---------------------------------------------------------------- limits


@every_form
def test_too_many_entries_are_refused(form: str, tmp_path: Path) -> None:
    source = packed(form, EXPORT, tmp_path)
    folders = 2 if form == "folder" else 0  # they count where they are entries
    text = refusal(source, Limits(entries=len(EXPORT) + folders - 1))
    assert f"more than the {len(EXPORT) + folders - 1} entries" in text
    assert "raise the limit entries" in text
    assert contents_of(source, Limits(entries=len(EXPORT) + folders)) == EXPORT


def test_junk_and_folders_count_as_entries() -> None:
    limits = Limits(entries=2)
    assert "more than the 2 entries" in refusal({"a/": b"", "__MACOSX/x": b"", "users.json": b""}, limits)


def test_a_huge_table_of_contents_is_refused_before_it_is_taken_apart(tmp_path: Path) -> None:
    data = zip_bytes({"a": b""})
    header = data[data.index(b"PK\1\2") : data.index(b"PK\5\6")]
    count = 2 * MIB // len(header)
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 0, 0, count * len(header), data.index(b"PK\1\2"), 0)
    path = written(tmp_path / "export.zip", data[: data.index(b"PK\1\2")] + header * count + end)
    tracemalloc.start()
    text = refusal(path, Limits(entries=1000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "more than the 1000 entries" in text
    assert peak < 3 * (2 * MIB)  # some copies of the table, no objects of 600 bytes each


def test_what_the_end_of_a_zip_says_of_its_table_is_judged_before_the_table_is_read(tmp_path: Path) -> None:
    """A zip of 285 MB, nearly all of it table, once took 575 MiB to be refused."""
    data = zip_bytes({"a": b""})
    start = data.index(b"PK\1\2")
    path = tmp_path / "export.zip"
    for count, text in (
        (1, "names of 64 MiB, more than the 8 MiB allowed"),
        (2000, "more than the 1000 entries"),
    ):
        with path.open("wb") as file:
            file.write(data[:start])
            file.truncate(start + 64 * MIB)
            file.seek(0, os.SEEK_END)
            file.write(b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, count, count, 64 * MIB, start, 0))
        tracemalloc.start()
        assert text in refusal(path, Limits(entries=1000, names_bytes=8 * MIB))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < MIB


@every_form
def test_names_beyond_the_limit_are_refused(form: str, tmp_path: Path) -> None:
    source = packed(form, {"a" * 100: b"", "b" * 150: b"", "c/" + "ä" * 100: b""}, tmp_path)
    assert "more than the 650 bytes allowed" in refusal(source, Limits(names_bytes=650))
    assert len(contents_of(source, Limits(names_bytes=1000))) == 3


@every_form
def test_entries_beyond_the_limit_are_refused(form: str, tmp_path: Path) -> None:
    source = packed(form, {"users.json": b"[]", "general/1.json": b"x" * 2048}, tmp_path)
    text = refusal(source, Limits(entry_bytes=2047))
    assert '"general/1.json" has 2 KiB, more than the 1.999 KiB allowed' in text
    assert "raise the limit entry_bytes" in text
    assert len(contents_of(source, Limits(entry_bytes=2048))) == 2


@every_form
def test_a_total_beyond_the_limit_is_refused(form: str, tmp_path: Path) -> None:
    source = packed(form, {"a.json": b"x" * 2000, "b.json": b"x" * 2000}, tmp_path)
    text = refusal(source, Limits(total_bytes=3999))
    assert '.json" brings the total beyond' in text
    assert "raise the limit total_bytes" in text
    assert len(contents_of(source, Limits(total_bytes=4000))) == 2


ZEROS = {"users.json": b"[]", "zeros": bytes(MIB)}  # inflates to 1000 times its size


@pytest.mark.parametrize("form", ["zip", "tar.gz"])
def test_a_ratio_beyond_the_limit_is_refused(form: str, tmp_path: Path) -> None:
    source = packed("zip" if form == "zip" else "tar", ZEROS, tmp_path)
    if form == "tar.gz" and isinstance(source, Path):
        source.write_bytes(gzip.compress(source.read_bytes(), 9))
    text = refusal(source, Limits(ratio_from=MIB - 1))
    assert "more than 200 times" in text
    assert "raise the limit ratio" in text
    assert ('"zeros"' in text) == (form == "zip")
    assert contents_of(source, Limits(ratio_from=MIB - 1, ratio=2000)) == ZEROS
    assert contents_of(source) == ZEROS  # small enough


@pytest.mark.parametrize("form", ["stored", "tar", "folder", "dict"])
def test_what_is_not_packed_has_no_ratio(form: str, tmp_path: Path) -> None:
    assert contents_of(packed(form, ZEROS, tmp_path), Limits(ratio_from=0, ratio=2)) == ZEROS


def test_the_ratio_is_judged_on_the_whole_too(tmp_path: Path) -> None:
    contents = {f"{n}.json": bytes(100_000) for n in range(10)}
    source = packed("zip", contents, tmp_path)
    assert "inflates to 976.6 KiB, more than 200 times" in refusal(source, Limits(ratio_from=999_999))
    assert contents_of(source, Limits(ratio_from=1_000_000)) == contents


def test_a_tar_gz_bomb_is_stopped_early(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(tar_bytes({"zeros": bytes(20 * MIB)}), 9))
    data[-8:] = b"\0" * 8  # whoever gets here meets a wrong checksum
    text = refusal(written(tmp_path / "export.tar.gz", bytes(data)), Limits(ratio_from=MIB))
    assert "more than 200 times" in text


def test_a_tar_gz_that_goes_on_after_its_end_is_stopped(tmp_path: Path) -> None:
    data = gzip.compress(tar_bytes({"users.json": b"[]"}) + random.Random(1).randbytes(3 * MIB), 1)
    path = written(tmp_path / "export.tar.gz", data)
    assert names_of(path) == ["users.json"]
    text = refusal(path, Limits(total_bytes=MIB, entries=100))
    assert "inflates to more than 1 MiB" in text


# ---------------------------------------------------------------- zips that lie


def lying_zip(field: int, value: int, tmp_path: Path, contents: Contents | None = None) -> Path:
    data = zip_bytes(contents or {"general/1.json": b"hello " * 1000, "users.json": b"[]"})
    return written(tmp_path / "export.zip", central(data, field, struct.pack("<I", value)))


def test_an_entry_that_declares_too_little_is_refused_and_not_cut(tmp_path: Path) -> None:
    path = lying_zip(SIZE, 12, tmp_path)
    path.write_bytes(central(path.read_bytes(), CRC, struct.pack("<I", zlib.crc32(b"hello hello "))))
    with zipfile.ZipFile(path) as silent:
        assert silent.read("general/1.json") == b"hello hello "  # the checksum agrees with what is left
    text = reading_refusal(path, "general/1.json")
    assert '"general/1.json" is damaged: it holds more than the 12 bytes it declares' in text


def test_an_entry_that_declares_too_much_is_refused(tmp_path: Path) -> None:
    assert "1 of its 6001 bytes are missing" in reading_refusal(
        lying_zip(SIZE, 6001, tmp_path), "general/1.json"
    )


def test_a_bomb_that_declares_little_does_not_get_memory(tmp_path: Path) -> None:
    path = lying_zip(SIZE, 12, tmp_path, {"bomb": bytes(100 * MIB)})
    tracemalloc.start()
    text = reading_refusal(path, "bomb")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "more than the 12 bytes" in text
    assert peak < 5 * MIB


def test_a_stored_entry_that_is_longer_than_it_declares_is_refused(tmp_path: Path) -> None:
    data = zip_bytes({"a.json": b"hello"}, zipfile.ZIP_STORED)
    path = written(tmp_path / "export.zip", central(data, SIZE, struct.pack("<I", 3)))
    assert "more than the 3 bytes" in reading_refusal(path, "a.json")


def test_an_entry_outside_of_the_zip_is_refused(tmp_path: Path) -> None:
    for field, value in ((LOCAL, 60_000), (PACKED, 60_000)):
        assert '"general/1.json" lies outside' in refusal(lying_zip(field, value, tmp_path))


@pytest.mark.parametrize("form", ["zip", "stored"])
def test_an_entry_whose_local_header_is_damaged_is_refused(form: str, tmp_path: Path) -> None:
    path = packed(form, {"users.json": b"[]"}, tmp_path)
    assert isinstance(path, Path)
    path.write_bytes(b"PK\5\6" + path.read_bytes()[4:])  # still looks like a zip
    assert '"users.json" is damaged' in reading_refusal(path, "users.json")


def test_an_entry_without_its_local_header_is_refused(tmp_path: Path) -> None:
    path = lying_zip(LOCAL, 1, tmp_path)
    assert '"general/1.json" is damaged' in reading_refusal(path, "general/1.json")


def test_many_entries_that_share_their_data_are_refused(tmp_path: Path) -> None:
    data = zip_bytes({"00000.bin": bytes(MIB)})
    start, end = data.index(b"PK\1\2"), data.index(b"PK\5\6")
    table = b"".join(data[start:end].replace(b"00000", b"%05d" % n) for n in range(500))
    tail = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 500, 500, len(table), start, 0)
    path = written(tmp_path / "export.zip", data[:start] + table + tail)
    with open_archive(path, Limits(ratio=10**6)) as archive:
        assert len(archive.names()) == 500
    assert "inflates to 500 MiB, more than 200 times its size" in refusal(path)
    text = refusal(path, Limits(total_bytes=100 * MIB))
    assert '"00100.bin" brings the total beyond the 100 MiB allowed' in text


# ---------------------------------------------------------------- zips that cannot be read


def test_an_empty_entry_may_be_called_deflated(tmp_path: Path) -> None:
    data = zip_bytes({"users.json": b"[]", "a/1.json": b""}, zipfile.ZIP_STORED)
    path = written(tmp_path / "export.zip", central(data, METHOD, b"\x08\0", 1))
    with open_archive(path) as archive:
        assert archive.read("a/1.json") == b""
        assert archive.open("a/1.json").read() == b""


def test_encrypted_entries_are_refused(tmp_path: Path) -> None:
    for flag in (0x1, 0x41, 0x2000):
        data = central(zip_bytes({"users.json": b"[]", "a/1.json": b"x"}), FLAGS, struct.pack("<H", flag), 1)
        text = refusal(written(tmp_path / "export.zip", data))
        assert '"a/1.json" is encrypted' in text
        assert "without a password" in text


@pytest.mark.parametrize(
    ("method", "name"), [(9, "Deflate64"), (12, "bzip2"), (14, "LZMA"), (93, "Zstandard"), (77, "method 77")]
)
def test_other_compression_is_refused_by_name(method: int, name: str, tmp_path: Path) -> None:
    data = central(zip_bytes({"users.json": b"[]"}), METHOD, struct.pack("<H", method))
    assert f'"users.json" is compressed with {name}. ' in refusal(written(tmp_path / "export.zip", data))


def test_compression_that_zipfile_knows_is_refused_too(tmp_path: Path) -> None:
    for method, name in ((zipfile.ZIP_BZIP2, "bzip2"), (zipfile.ZIP_LZMA, "LZMA")):
        assert name in refusal(written(tmp_path / "export.zip", zip_bytes({"users.json": b"[]"}, method)))


def test_a_zip_from_the_future_is_refused(tmp_path: Path) -> None:
    data = central(zip_bytes({"users.json": b"[]"}), NEEDS, b"\x63")
    assert "is a zip that is damaged" in refusal(written(tmp_path / "export.zip", data))


# ---------------------------------------------------------------- damage

NOT_ARCHIVES = {
    b'{"ok": true}': "is neither a zip nor a tar",
    b"\x89PNG\r\n\x1a\n" + b"\x01" * 1000: "is neither a zip nor a tar",
    b"\n<!DOCTYPE html><html></html>": "is a web page",
    b"Rar!\x1a\x07\x01\x00" + b"\x01" * 600: "is a RAR archive",
    b"7z\xbc\xaf\x27\x1c" + b"\x01" * 600: "is a 7z archive",
    b"\xfd7zXZ\x00" + b"\x01" * 600: "is an xz file",
    b"BZh9" + b"\x01" * 600: "is a bzip2 file",
    b"\x28\xb5\x2f\xfd" + b"\x01" * 600: "is a Zstandard file",
    gzip.compress(b"[]", mtime=0): "is a gzip file without a tar in it",
    gzip.compress(b"", mtime=0): "is a gzip file without a tar in it",
    gzip.compress(b"x" * 10_000, mtime=0): "is a gzip file without a tar in it",
    b"": "is empty",
    b"PK\3\4": "is a zip that is damaged",
    b"\x1f\x8b": "is a tar that is damaged",
}


@pytest.mark.parametrize("data", NOT_ARCHIVES)
def test_what_is_no_archive_is_refused(data: bytes, tmp_path: Path) -> None:
    assert NOT_ARCHIVES[data] in refusal(written(tmp_path / "export.zip", data))


def test_a_tar_may_begin_like_something_else(tmp_path: Path) -> None:
    contents = {"BZhang/1.json": b"1", "users.json": b"[]"}
    assert contents_of(packed("tar", contents, tmp_path)) == contents


@pytest.mark.parametrize("form", ["zip", "stored", "tar", "tar.gz"])
def test_a_truncated_archive_is_refused_wherever_it_is_cut(form: str, tmp_path: Path) -> None:
    contents = {"users.json": b"[]", "a/1.json": random.Random(1).randbytes(1000), "a/2.json": b"x" * 2000}
    source = packed(form, contents, tmp_path)
    assert isinstance(source, Path)
    data = source.read_bytes()
    if form == "tar":
        data = data.rstrip(b"\0") + bytes(48)  # to the end of the last entry; Python pads with much more
    for length in [1, 2, *range(3, len(data), 97), *range(len(data) - 30, len(data))]:
        source.write_bytes(data[:length])
        text = refusal(source)
        assert "damaged or incomplete. " in text or "neither a zip nor" in text or " after " in text, length


def test_a_tar_without_an_end_mark_is_refused(tmp_path: Path) -> None:
    data = tar_bytes({"a.json": b"1", "b.json": b"2"})
    assert names_of(written(tmp_path / "export.tar", data[: 4 * 512 + 512])) == ["a.json", "b.json"]
    assert 'after "b.json"' in refusal(written(tmp_path / "export.tar", data[: 4 * 512]))
    assert 'after "a.json"' in refusal(written(tmp_path / "export.tar", data[: 2 * 512]))


def test_a_tar_with_a_damaged_header_is_refused_and_not_cut(tmp_path: Path) -> None:
    data = bytearray(tar_bytes({"a.json": b"1", "b.json": b"2", "c.json": b"3"}))
    data[1024 + 124] ^= 1  # a digit of the size of b.json
    assert 'damaged or incomplete after "a.json"' in refusal(written(tmp_path / "export.tar", bytes(data)))


def test_tar_headers_that_are_larger_than_anything_sensible_are_refused(tmp_path: Path) -> None:
    first, long = (tarfile.TarInfo("a.json"), b"1"), (tarfile.TarInfo("x" * 2 * MIB), b"2")
    for format in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        data = tar_of(first, long, format=format)
        assert 'damaged or incomplete after "a.json"' in refusal(written(tmp_path / "export.tar", data))


def test_many_tar_headers_for_one_entry_are_refused(tmp_path: Path) -> None:
    long_name = tarfile.TarInfo("././@LongLink")
    long_name.type = tarfile.GNUTYPE_LONGNAME
    for size, count in ((1, 2000), (200_000, 6)):
        headers = [(copy(long_name), b"x" * size) for _ in range(count)]
        data = tar_of(*headers, (tarfile.TarInfo("a.json"), b"1"), format=tarfile.GNU_FORMAT)
        assert "damaged or incomplete. " in refusal(written(tmp_path / "export.tar", data))


def test_tars_with_many_ordinary_headers_are_read(tmp_path: Path) -> None:
    contents = {f"{number}.json": b"" for number in range(2500)}  # more than a megabyte of headers
    assert len(names_of(packed("tar", contents, tmp_path))) == 2500


def test_a_tar_with_a_broken_sparse_map_is_refused(tmp_path: Path) -> None:
    sparse = tarfile.TarInfo("sparse.bin")
    sparse.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "sparse.bin"}
    sparse.pax_headers["GNU.sparse.realsize"] = "600"
    first = (tarfile.TarInfo("a.json"), b"1")
    data = tar_of(first, (sparse, b"1\nnonsense\n".ljust(512, b"\0")))
    assert 'after "a.json"' in refusal(written(tmp_path / "export.tar", data))

    header = bytearray(tarfile.TarInfo("sparse.bin").tobuf(tarfile.GNU_FORMAT))
    header[156:157] = tarfile.GNUTYPE_SPARSE
    header[482] = 1  # the map goes on in the next block, which is not there
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + sum(header[156:]) + 8 * ord(" "))
    data = tar_of(first)[:1024] + header
    assert 'after "a.json"' in refusal(written(tmp_path / "export.tar", data))


@pytest.mark.parametrize("size", ["-512", "-1000000", "99999999999999999999", "many"])
def test_a_tar_with_a_mad_size_is_refused(size: str, tmp_path: Path) -> None:
    odd = tarfile.TarInfo("odd.json")
    odd.pax_headers = {"size": size}
    data = tar_of((tarfile.TarInfo("a.json"), b"1"), (odd, b"22"))
    text = refusal(written(tmp_path / "export.tar", data))
    assert "odd.json" in text


@pytest.mark.parametrize("form", ["zip", "stored"])
def test_an_entry_with_a_wrong_checksum_is_refused(form: str, tmp_path: Path) -> None:
    source = packed(form, {"general/1.json": b"hello " * 1000}, tmp_path)
    assert isinstance(source, Path)
    source.write_bytes(central(source.read_bytes(), CRC, b"\1\2\3\4"))
    assert '"1.json" is damaged: its checksum is wrong. Download' in reading_refusal(source, "1.json")


def test_an_entry_with_broken_compression_is_refused(tmp_path: Path) -> None:
    data = zip_bytes({"a.json": random.Random(1).randbytes(100) * 50})
    start = 30 + len("a.json")
    for broken in (
        data[:start] + b"\xff" * 50 + data[start + 50 :],
        data[:start] + bytes(50) + data[start + 50 :],
    ):
        path = written(tmp_path / "export.zip", broken)
        assert '"a.json" is damaged' in reading_refusal(path, "a.json")


def test_compression_that_ends_too_early_is_refused(tmp_path: Path) -> None:
    data = zip_bytes({"a.json": random.Random(1).randbytes(5000)})
    packed_size = struct.unpack_from("<I", data, data.index(b"PK\1\2") + PACKED)[0]
    path = written(tmp_path / "export.zip", central(data, PACKED, struct.pack("<I", packed_size - 1)))
    assert '"a.json" is damaged: its compressed data is broken or cut off' in reading_refusal(path, "a.json")


def test_a_tar_gz_with_broken_compression_is_refused(tmp_path: Path) -> None:
    data = gzip.compress(tar_bytes({"a.json": b"1", "b.bin": random.Random(1).randbytes(3 * MIB)}), 1)
    for place, named in ((100, ""), (2 * MIB, ' after "b.bin"')):
        broken = data[:place] + b"\xff" * 50 + data[place + 50 :]
        text = refusal(written(tmp_path / "export.tar.gz", broken))
        assert f"is a tar that is damaged or incomplete{named}. Download" in text


def test_a_tar_gz_with_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    for place in (-8, -4):  # checksum and length stand at the end
        data = bytearray(gzip.compress(tar_bytes(EXPORT)))
        data[place] ^= 1
        assert "damaged" in refusal(written(tmp_path / "export.tar.gz", bytes(data)))


def test_the_last_block_is_held_back_until_all_is_checked(tmp_path: Path) -> None:
    data = zip_bytes({"a.bin": random.Random(1).randbytes(3 * MIB)}, zipfile.ZIP_STORED)
    path = written(tmp_path / "export.zip", central(data, CRC, b"\1\2\3\4"))
    with open_archive(path) as archive, archive.open("a.bin") as stream:
        assert len(stream.read(2 * MIB)) == 2 * MIB
        with pytest.raises(ArchiveError, match="checksum"):
            stream.read(MIB)  # just what is left: who reads no further must hear of it too


@pytest.mark.parametrize("form", ["zip", "tar", "folder"])
def test_an_archive_that_is_cut_while_it_is_open_is_refused(form: str, tmp_path: Path) -> None:
    source = packed(form, {"a.bin": random.Random(1).randbytes(5000)}, tmp_path)
    assert isinstance(source, Path)
    with open_archive(source) as archive:
        os.truncate(source / "a.bin" if form == "folder" else source, 1000)
        with pytest.raises(ArchiveError, match=r'"a.bin" is damaged'):
            archive.read("a.bin")


def test_a_file_that_grows_while_it_is_open_is_refused(tmp_path: Path) -> None:
    root = folder_of(EXPORT, tmp_path / "export")
    with open_archive(root) as archive:
        (root / "channels.json").write_bytes(b"[[]]")
        with pytest.raises(ArchiveError, match=r'"channels.json" is damaged: it holds more than the 2 bytes'):
            archive.read("channels.json")
        (root / "users.json").unlink()
        with pytest.raises(ArchiveError, match=r'"users.json" cannot be read \(no such file or directory\)'):
            archive.read("users.json")


# ---------------------------------------------------------------- paths


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    text = refusal(tmp_path / "export.zip")
    assert str(tmp_path / "export.zip") in text
    assert "(no such file or directory). Check the path." in text
    assert "Check the path." in refusal(written(tmp_path / "file", b"x") / "export.zip")
    assert "Check the path." in refusal(tmp_path / "a\0b")


def test_what_is_neither_file_nor_folder_is_refused(tmp_path: Path) -> None:
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


# ---------------------------------------------------------------- large archives


def test_zip64_entries_are_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "export.zip", "w", zipfile.ZIP_DEFLATED) as out:
        with out.open("users.json", "w", force_zip64=True) as entry:
            entry.write(b"[]")
        with out.open("a/1.json", "w", force_zip64=True) as entry:
            entry.write(b"x" * 5000)
    assert contents_of(tmp_path / "export.zip") == {"users.json": b"[]", "a/1.json": b"x" * 5000}


def end_of(data: bytes, **fields: int) -> bytes:
    """The last record of a zip with some fields written over."""
    start = data.rindex(b"PK\5\6")
    names = ("disk", "table_disk", "entries_here", "entries", "size", "offset", "comment")
    values = dict(zip(names, struct.unpack("<HHHHIIH", data[start + 4 : start + 22]), strict=True)) | fields
    return b"PK\5\6" + struct.pack("<HHHHIIH", *values.values())


@pytest.mark.parametrize("comment", [b"", b"made by hand", b"\0\0", b"x" * 0xFFFF, b"PK\1\2 and PK\3\4"])
def test_zips_with_a_comment_are_read(comment: bytes, tmp_path: Path) -> None:
    data = zip_bytes({"users.json": b"[]", "a/1.json": b"x" * 5000})
    start = data.rindex(b"PK\5\6")
    path = written(tmp_path / "export.zip", data[:start] + end_of(data, comment=len(comment)) + comment)
    assert contents_of(path) == {"users.json": b"[]", "a/1.json": b"x" * 5000}


def test_bytes_in_front_of_a_zip_do_not_count_in_its_offsets(tmp_path: Path) -> None:
    front = b"PK\3\4" + bytes(9000)  # the first bytes decide what the file is
    path = written(tmp_path / "export.zip", front + zip_bytes({"users.json": b"[]", "a/1.json": b"x" * 5000}))
    assert contents_of(path) == {"users.json": b"[]", "a/1.json": b"x" * 5000}


def wide_end_of(data: bytes, disk: int, disks: int) -> bytes:
    """The last records of a zip that may be larger than 4 GiB, on so many disks."""
    count, size, offset = struct.unpack_from("<HII", data, data.rindex(b"PK\5\6") + 10)
    record = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, disk, disk, count, count, size, offset)
    return record + struct.pack("<4sIQI", b"PK\6\7", disk, len(data), disks) + end_of(data, size=2**32 - 1)


def test_a_zip_with_a_wide_end_is_read(tmp_path: Path) -> None:
    data = zip_bytes({"users.json": b"[]"})
    end = wide_end_of(data, 0, 1)
    path = written(tmp_path / "export.zip", data[: data.rindex(b"PK\5\6")] + end)
    assert contents_of(path) == {"users.json": b"[]"}


@pytest.mark.parametrize(
    "end",
    [
        lambda data: end_of(data, size=len(data)),  # begins before the file
        lambda data: end_of(data, size=1),  # begins in the middle of an entry
        lambda data: wide_end_of(data, 0, 2),
        lambda data: wide_end_of(data, 1, 1),
        lambda data: end_of(data)[:-1],
        lambda data: b"",
    ],
)
def test_a_zip_whose_end_is_wrong_is_damaged(end: Callable[[bytes], bytes], tmp_path: Path) -> None:
    data = zip_bytes({"users.json": b"[]"})
    path = written(tmp_path / "export.zip", data[: data.rindex(b"PK\5\6")] + end(data))
    assert refusal(path) == "export.zip is a zip that is damaged or incomplete. Download the export again."


def test_a_zip_whose_wide_sizes_are_missing_is_damaged(tmp_path: Path) -> None:
    for field in (SIZE, PACKED, LOCAL):
        info = zipfile.ZipInfo("users.json")
        info.extra = struct.pack("<HH", 1, 0)  # a field of ZIP64 with no value
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as out:
            out.writestr(info, b"[]")
        data = central(buffer.getvalue(), field, b"\xff" * 4)
        assert "damaged or incomplete" in refusal(written(tmp_path / "export.zip", data))


def test_a_table_of_contents_takes_little_memory(tmp_path: Path) -> None:
    count = 3000
    path = written(tmp_path / "export.zip", zip_bytes({f"{n}/2020-01-01.json": b"[]" for n in range(count)}))
    tracemalloc.start()
    with open_archive(path) as archive:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(archive.names()) == count
    assert peak / count < 550  # bytes; with the objects of zipfile, which stay until all are there, 730


def test_zips_with_more_than_65535_entries_are_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as out:
        out.writestr("0", b"x")
        for number in range(1, 65_600):  # all of them share one local entry, for speed
            info = copy(out.filelist[0])
            info.filename = str(number)
            out.filelist.append(info)
    assert (tmp_path / "export.zip").read_bytes()[-42:-38] == b"PK\6\7"  # the mark of zip64
    with open_archive(tmp_path / "export.zip") as archive:
        assert len(archive.names()) == 65_600
        assert archive.read("65599") == b"x"


def test_zips_beyond_4_gib_are_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "export.zip", "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("a.json", b"1")
        out.start_dir = 5 * GIB  # where the next entry goes; the file has a hole before it
        out.writestr("b.json", b"2")
    assert (tmp_path / "export.zip").stat().st_size > 5 * GIB
    assert contents_of(tmp_path / "export.zip") == {"a.json": b"1", "b.json": b"2"}


def tar_with_a_large_entry(path: Path, size: int) -> Path:
    large, after = tarfile.TarInfo("large.bin"), tarfile.TarInfo("after.json")
    large.size, after.size = size, 1
    with path.open("wb") as out:
        out.write(large.tobuf())
        out.seek(size, os.SEEK_CUR)  # a hole
        out.write(after.tobuf() + b"1".ljust(512, b"\0") + bytes(1024))
    return path


def test_tars_beyond_4_gib_are_read(tmp_path: Path) -> None:
    with open_archive(tar_with_a_large_entry(tmp_path / "export.tar", 5 * GIB)) as archive:
        assert archive.size("large.bin") == 5 * GIB
        assert archive.read("after.json") == b"1"


@pytest.mark.long
def test_entries_beyond_2_gib_are_streamed(tmp_path: Path) -> None:
    size = 2 * GIB + 512
    with (
        open_archive(tar_with_a_large_entry(tmp_path / "export.tar", size)) as archive,
        archive.open("large.bin") as stream,
    ):
        assert sum(map(len, iter(lambda: stream.read(MIB), b""))) == size


# ---------------------------------------------------------------- any archive

COMPONENTS = (
    st.text(st.characters(exclude_characters="/\\\0", exclude_categories=["Cs"]), min_size=1, max_size=20)
    .filter(lambda part: part not in (".", "..", ".DS_Store", "__MACOSX") and not part.startswith("._"))
    .filter(lambda part: part[1:] != ":")
)
NAMES = st.lists(COMPONENTS, min_size=1, max_size=4).map("/".join)


def without_files_as_folders(contents: Contents) -> dict[str, bytes]:
    folders = {name[:at] for name in contents for at in range(len(name)) if name[at] == "/"}
    return {name: data for name, data in contents.items() if name not in folders}


def forms_of(contents: Contents) -> Iterator[tuple[str, dict[str, bytes]]]:
    for form in PACK:
        with tempfile.TemporaryDirectory() as place:
            yield form, contents_of(packed(form, contents, Path(place)))


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(NAMES, st.binary(max_size=3000), max_size=6))
@example({"a" * 150 + "/" + "b" * 150: b"long names have headers of their own in a tar"})
def test_any_files_come_out_of_every_form_as_they_went_in(contents: dict[str, bytes]) -> None:
    contents = {**without_files_as_folders(contents), "users.json": b"[]"}  # a file at top: nothing wraps
    for form, shown in forms_of(contents):
        assert shown == contents, form


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(NAMES.map("export/".__add__), st.binary(max_size=100), max_size=6))
def test_any_files_look_the_same_in_every_form(contents: dict[str, bytes]) -> None:
    contents = without_files_as_folders(contents)
    shown = dict(forms_of(contents))
    assert all(one == shown["dict"] for one in shown.values())
    assert sorted(shown["dict"].values()) == sorted(contents.values())


SMALL = {"users.json": b"[]", "general/1.json": b"hello " * 30, "k\u00e4se/" + "x" * 120: b"1"}
SMALL_FILES = {
    "zip": zip_bytes(SMALL),
    "stored": zip_bytes(SMALL, zipfile.ZIP_STORED),
    "tar": tar_bytes(SMALL)[:6144],
    "gnu tar": tar_of(*((tarfile.TarInfo(n), d) for n, d in SMALL.items()), format=tarfile.GNU_FORMAT)[:6144],
    "tar.gz": gzip.compress(tar_bytes(SMALL)),
}


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(SMALL_FILES)), st.data())
def test_any_damage_is_refused_or_does_not_matter(tmp_path: Path, form: str, draw: st.DataObject) -> None:
    data = bytearray(SMALL_FILES[form])
    for place in draw.draw(st.lists(st.integers(0, len(data) - 1), min_size=1, max_size=4)):
        data[place] = draw.draw(st.integers(0, 255))
    path = written(
        tmp_path / "export", bytes(data[: draw.draw(st.just(len(data)) | st.integers(0, len(data)))])
    )
    try:
        archive: Archive = open_archive(path)
    except ArchiveError as error:
        plain(error, path)
        return
    with archive:
        for name in archive.names():
            try:
                assert len(archive.read(name)) == archive.size(name)
            except ArchiveError as error:
                assert "damaged" in plain(error, path)


# ---------------------------------------------------------------- single files

PEOPLE = b"username,email\nalice,alice@example.org\n"


def single(path: Path, limits: Limits = DEFAULT_LIMITS, name: str = "") -> Archive:
    return open_archive(path, limits, name, single=True)


@pytest.mark.parametrize(
    "data",
    [PEOPLE, b"x", b"a,\0b\n" * 300, "\ufeffgrüße\n".encode("utf-16-le"), b"\x01" + PEOPLE * 20],
)
def test_a_text_file_is_an_archive_of_itself_where_one_is_wanted(data: bytes, tmp_path: Path) -> None:
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
def test_an_archive_stays_one_where_a_single_file_would_do(form: str, tmp_path: Path) -> None:
    source = packed(form, EXPORT, tmp_path)
    with open_archive(source, single=True) as archive:
        assert (archive.names(), archive.is_single) == (sorted(EXPORT), False)


@pytest.mark.parametrize("data", [data for data, why in NOT_ARCHIVES.items() if "neither" not in why])
def test_what_is_known_to_be_something_else_is_no_single_file(data: bytes, tmp_path: Path) -> None:
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


# ---------------------------------------------------------------- piece by piece


@every_form
def test_an_entry_is_read_from_any_place(form: str, tmp_path: Path) -> None:
    data = random.Random(3).randbytes(5 * MIB)
    with open_archive(packed(form, {"a": data, "b": data[::-1]}, tmp_path)) as archive:
        for start in (0, 10, 3 * MIB, 3 * MIB - 70_000, 4 * MIB, 100, 5 * MIB - 1, 5 * MIB, 6 * MIB, 1):
            with archive.open("a", start) as stream:
                assert stream.read(100_000) == data[start : start + 100_000]
            with archive.open("b", start // 2) as stream:
                assert stream.read(10) == data[::-1][start // 2 : start // 2 + 10]
        with archive.open("a", 2 * MIB) as stream:
            assert stream.read() == data[2 * MIB :]


def test_reading_piece_by_piece_inflates_once(tmp_path: Path) -> None:
    data = random.Random(4).randbytes(6 * MIB)
    with open_archive(written(tmp_path / "export.zip", zip_bytes({"a": data}))) as archive:
        blocks = 0

        def count() -> None:
            nonlocal blocks
            blocks += 1

        archive.before_read = count
        with archive.open("a") as stream:
            stream.read()
        whole, blocks = blocks, 0
        found = b""
        for start in range(0, len(data), 200_000):
            with archive.open("a", start) as stream:
                found += stream.read(200_000)
        assert found == data
        assert blocks == whole


def test_damage_is_found_however_often_an_entry_is_opened(tmp_path: Path) -> None:
    packed_bytes = bytearray(zip_bytes({"a": bytes(range(256)) * 20_000}, zipfile.ZIP_STORED))
    packed_bytes[3 * MIB] ^= 1
    with open_archive(written(tmp_path / "export.zip", bytes(packed_bytes))) as archive:
        for start in (0, 4 * MIB, 4 * MIB):
            with archive.open("a", start) as stream, pytest.raises(ArchiveError):
                stream.read()
