"""Where an export is written to: a zip like Slack's own, or a folder. Neither holds what it has written."""

import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Protocol


class Container(Protocol):
    def entry(self, path: str) -> AbstractContextManager[IO[bytes]]: ...


class _SlackInfo(zipfile.ZipInfo):
    """Slack's zips hold UTF-8 names without the flag that says so; `zipfile` would set it."""

    __slots__ = ()

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802 - the name that zipfile calls
        return self.filename.encode(), self.flag_bits


class _Zip:
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    @contextmanager
    def entry(self, path: str) -> Iterator[IO[bytes]]:
        info = _SlackInfo(path)  # its date is 1980-01-01, always: same input, same bytes
        info.compress_type = zipfile.ZIP_DEFLATED
        info._compresslevel = 1  # type: ignore[attr-defined]  # the only way to say it for a streamed entry
        with self._archive.open(info, "w") as out:
            yield out


class _Folder:
    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def entry(self, path: str) -> Iterator[IO[bytes]]:
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as out:
            yield out


@contextmanager
def open_container(target: Path) -> Iterator[Container]:
    if target.suffix == ".zip":
        with zipfile.ZipFile(target, "w") as archive:
            yield _Zip(archive)
    else:
        target.mkdir(parents=True, exist_ok=True)
        yield _Folder(target)
