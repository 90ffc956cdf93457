"""What an archive shows, in every form it comes in."""

import gzip
import random
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from chatferry.archive import MIB, Archive, Limits, open_archive
from chatferry.errors import ArchiveError
from tests.support.archives import (
    EXPORT,
    PACK,
    Contents,
    contents_of,
    every_form,
    folder_of,
    names_of,
    packed,
    plain,
    refusal,
    tar_bytes,
    tar_of,
    written,
    zip_bytes,
)

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
def test_a_stream_begins_at_the_given_offset(form: str, tmp_path: Path) -> None:
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


def test_a_relative_folder_gets_the_name_of_its_directory(
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
    beside = {name: data for name, data in contents.items() if not name.startswith("users.json/")}
    contents = {**without_files_as_folders(beside), "users.json": b"[]"}  # a file at top: nothing wraps
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
