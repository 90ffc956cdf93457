"""Limits of entries, sizes and ratios, and archives that lie about them."""

import gzip
import os
import random
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest

from chatferry.archive import MIB, Limits, open_archive
from tests.support.archives import (
    CRC,
    EXPORT,
    LOCAL,
    PACKED,
    SIZE,
    Contents,
    central,
    contents_of,
    every_form,
    names_of,
    packed,
    reading_refusal,
    refusal,
    tar_bytes,
    written,
    zip_bytes,
)

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


def test_the_announced_size_of_a_zips_table_is_checked_before_the_table_is_read(tmp_path: Path) -> None:
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
def test_entries_without_compression_have_no_ratio(form: str, tmp_path: Path) -> None:
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
