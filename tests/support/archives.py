"""Archives in every form, and how they are packed."""

import gzip
import io
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from chatferry.archive import DEFAULT_LIMITS, Limits, open_archive
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


def central(data: bytes, offset: int, field: bytes, entry: int = 0) -> bytes:
    """A zip with a field of an entry's central header written over."""
    start = -1
    for _ in range(entry + 1):
        start = data.index(b"PK\1\2", start + 1)
    return data[: start + offset] + field + data[start + offset + len(field) :]


FLAGS, METHOD, CRC, PACKED, SIZE, MODE, LOCAL = 8, 10, 16, 20, 24, 40, 42  # in a central header
MADE_BY, NEEDS = 5, 6


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
