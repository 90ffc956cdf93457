"""Large archives, and entries read piece by piece from any place."""

import io
import os
import random
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from copy import copy
from pathlib import Path

import pytest

from chatferry.archive import GIB, MIB, open_archive
from chatferry.errors import ArchiveError
from tests.support.archives import (
    LOCAL,
    PACKED,
    SIZE,
    central,
    contents_of,
    every_form,
    packed,
    refusal,
    written,
    zip_bytes,
)

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
    blocks = 0

    def count() -> None:
        nonlocal blocks
        blocks += 1

    with open_archive(written(tmp_path / "export.zip", zip_bytes({"a": data})), on_block=count) as archive:
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
