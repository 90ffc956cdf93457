"""Bytes on the disk of this machine, on their way to the destination."""

import hashlib
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

from chatferry import private
from chatferry.convert.files import Content
from chatferry.downloads import Downloaded
from chatferry.downloads.fetch_one import Check
from chatferry.pipeline.fetching.images import HEAD, image_size

_PIECE = 1 << 20


def content_of(downloaded: Downloaded) -> Content:
    """Return what is known of a file that has been downloaded and still lies at its path."""
    with downloaded.path.open("rb") as file:
        format, width, height = image_size(file.read(HEAD))
    size, sha256 = downloaded.size, downloaded.sha256
    return Content(size=size, sha256=sha256, format=format, width=width, height=height)


def keep(pieces: Iterable[bytes], path: Path, type: str = "") -> Downloaded:
    """Write a file to `path`. Return it as if it had been downloaded."""
    digest = hashlib.sha256()
    size = 0
    with open(path, "wb", opener=private.opener) as file:
        for piece in pieces:
            file.write(piece)
            digest.update(piece)
            size += len(piece)
    return Downloaded(key=path.name, path=path, size=size, sha256=digest.hexdigest(), content_type=type)


def pieces_of(path: Path, stop: Check) -> Iterator[bytes]:
    """Yield the bytes of a file, a little at a time; `stop` may end it."""
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            stop()
            yield piece


def new_token() -> str:
    """Return what Rocket.Chat gives every file: ten hexadecimal digits by chance."""
    return secrets.token_hex(5)
