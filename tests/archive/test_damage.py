"""Archives that cannot be read, are damaged, or change while they are read."""

import gzip
import os
import random
import struct
import tarfile
import zipfile
from copy import copy
from pathlib import Path

import pytest

from chatferry.archive import MIB, open_archive
from chatferry.errors import ArchiveError
from tests.support.archives import (
    CRC,
    EXPORT,
    FLAGS,
    METHOD,
    NEEDS,
    NOT_ARCHIVES,
    PACKED,
    central,
    contents_of,
    folder_of,
    names_of,
    packed,
    reading_refusal,
    refusal,
    tar_bytes,
    tar_of,
    written,
    zip_bytes,
)

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
def test_unsupported_compression_is_refused_by_name(method: int, name: str, tmp_path: Path) -> None:
    data = central(zip_bytes({"users.json": b"[]"}), METHOD, struct.pack("<H", method))
    assert f'"users.json" is compressed with {name}. ' in refusal(written(tmp_path / "export.zip", data))


def test_compression_that_zipfile_knows_is_refused_too(tmp_path: Path) -> None:
    for method, name in ((zipfile.ZIP_BZIP2, "bzip2"), (zipfile.ZIP_LZMA, "LZMA")):
        assert name in refusal(written(tmp_path / "export.zip", zip_bytes({"users.json": b"[]"}, method)))


def test_a_zip_from_the_future_is_refused(tmp_path: Path) -> None:
    data = central(zip_bytes({"users.json": b"[]"}), NEEDS, b"\x63")
    assert "is a zip that is damaged" in refusal(written(tmp_path / "export.zip", data))


# ---------------------------------------------------------------- damage


@pytest.mark.parametrize("data", NOT_ARCHIVES)
def test_files_of_other_types_are_refused(data: bytes, tmp_path: Path) -> None:
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
def test_a_tar_with_an_impossible_size_is_refused(size: str, tmp_path: Path) -> None:
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
