"""A file on its way to the disk: it gets its name only once it is whole."""

import hashlib
import os
import shutil
from pathlib import Path
from typing import BinaryIO, Literal, Self

import msgspec
from msgspec import Struct

from chatferry import private
from chatferry.downloads.response_checks import HEAD, NOTHING, Accepted, Kept, Version
from chatferry.sizes import MIB


class _Beginning(Struct, frozen=True):
    """The file that begins with these bytes. `url` is without secrets, which change with each export."""

    url: str
    version: Version


class Unfinished:
    """The bytes that have come so far, in the folder `<path>.part` until `finish`.

    Use it in `with`: at the end of the block whatever is unfinished goes away, unless it is `resumable` and
    the host can go on from there.
    """

    def __init__(self, path: Path, url: str, *, resumable: bool) -> None:
        self._path = path
        self._url = url
        self._resumable = resumable
        self._folder = path.with_name(f"{path.name}.part")
        self._file, self._origin = self._folder / "bytes", self._folder / "origin.json"
        self._bytes: BinaryIO | None = None
        self._forget()

    def _forget(self) -> None:
        self.size = 0
        self.head = b""
        self._hash = hashlib.sha256()
        self._version = NOTHING.version

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    @property
    def kept(self) -> Kept:
        """Return the bytes that a next attempt can continue from."""
        return Kept(self.size, self._version) if self._version.validator else NOTHING

    def __enter__(self) -> Self:
        if self._resumable:
            self._recall()
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self._close()
        finally:
            if not (self._resumable and self.kept.size):
                self.discard()

    def begin(self, body: Accepted) -> None:
        """Prepare for the bytes of this body: from the start, or where the last attempt broke off."""
        if body.start:
            self._bytes = self._bytes or self._opened("ab")
            return
        self.discard()
        self._folder.mkdir(mode=0o700)
        self._version = body.version
        with open(self._origin, "wb", opener=private.opener) as origin:
            origin.write(msgspec.json.encode(_Beginning(self._url, body.version)))
        self._bytes = self._opened("wb")

    def add(self, block: bytes) -> None:
        assert self._bytes is not None
        self._bytes.write(block)
        self._take(block)

    def finish(self) -> None:
        """Give the file, which is whole, its name."""
        assert self._bytes is not None
        self._bytes.flush()
        os.fsync(self._bytes.fileno())
        self._close()
        self._file.replace(self._path)
        self.discard()

    def discard(self) -> None:
        self._close()
        self._forget()
        if self._folder.exists():
            shutil.rmtree(self._folder)

    def _opened(self, mode: Literal["ab", "wb"]) -> BinaryIO:
        return open(self._file, mode, opener=private.opener)

    def _close(self) -> None:
        open_file, self._bytes = self._bytes, None
        if open_file is not None:
            open_file.close()

    def _take(self, block: bytes) -> None:
        self.size += len(block)
        self.head += block[: HEAD - len(self.head)]
        self._hash.update(block)

    def _recall(self) -> None:
        """Continue with the bytes that an earlier fetch left, if they are the beginning of the same file."""
        try:
            origin = msgspec.json.decode(self._origin.read_bytes(), type=_Beginning)
            if origin.url != self._url:
                return
            with self._file.open("rb") as file:
                while block := file.read(MIB):
                    self._take(block)
        except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
            self._forget()
        else:
            self._version = origin.version
