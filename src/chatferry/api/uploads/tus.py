"""The headers of the tus 1.0.0 protocol for resumable uploads. Pure."""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping

from chatferry.errors import RequestError

VERSION = "1.0.0"
HEADERS = {"Tus-Resumable": VERSION, "Tus-Version": VERSION}
"""On every answer."""

BYTES_TYPE = "application/offset+octet-stream"
EXTENSIONS = "creation,creation-with-upload,termination,checksum,expiration"
ALGORITHMS = ("sha1", "sha256", "md5")
_SIZE = re.compile(r"[0-9]{1,18}")
_KEY = re.compile(r"[!-+\--~]+")  # ASCII without spaces and commas

Headers = Mapping[str, str]


def description(max_size: int) -> dict[str, str]:
    """Return the headers that describe this server."""
    return {
        "Tus-Extension": EXTENSIONS,
        "Tus-Checksum-Algorithm": ",".join(ALGORITHMS),
        "Tus-Max-Size": str(max_size),
    }


def check_version(headers: Headers) -> None:
    if headers.get("tus-resumable") != VERSION:
        raise RequestError(
            f"This server speaks tus {VERSION}: send the header Tus-Resumable: {VERSION}.", status=412
        )


def check_content_type(headers: Headers) -> None:
    """Refuse a body without the Content-Type of upload bytes."""
    if headers.get("content-type", "").partition(";")[0].strip().lower() != BYTES_TYPE:
        raise RequestError(f"The bytes of an upload need the header Content-Type: {BYTES_TYPE}.", status=415)


def size(headers: Headers, name: str) -> int:
    """Return the number of bytes in the header `name`."""
    text = headers.get(name, "").strip()
    if not _SIZE.fullmatch(text):
        raise RequestError(f"The header {name} must be there and be a whole number of bytes.")
    return int(text)


def metadata(text: str) -> dict[str, str]:
    """Return the keys and values of an Upload-Metadata header."""
    entries: dict[str, str] = {}
    for pair in text.split(",") if text.strip() else ():
        key, _, value = pair.strip().partition(" ")
        if not _KEY.fullmatch(key) or key in entries:
            raise RequestError(f"Upload-Metadata: {key!r} is no key, or stands there twice.")
        entries[key] = _decoded(value.strip(), f"Upload-Metadata: the value of {key}").decode(
            errors="replace"
        )
    return entries


class Checksum:
    """The checksum that an Upload-Checksum header promises: `update` with all bytes, then `verify`."""

    def __init__(self, text: str) -> None:
        self._algorithm, _, value = text.strip().partition(" ")
        if self._algorithm not in ALGORITHMS:
            known = ", ".join(ALGORITHMS)
            raise RequestError(
                f"Upload-Checksum: {self._algorithm!r} is not known here. Take one of: {known}."
            )
        self._promised = _decoded(value.strip(), "Upload-Checksum: the checksum")
        self._hash = hashlib.new(self._algorithm, usedforsecurity=False)

    def update(self, block: bytes) -> None:
        self._hash.update(block)

    def verify(self) -> None:
        if not hmac.compare_digest(self._hash.digest(), self._promised):
            raise RequestError(
                f"The bytes do not have the {self._algorithm} checksum that Upload-Checksum promises. They"
                " were thrown away: send them again.",
                status=460,
            )


def checksum(headers: Headers) -> Checksum | None:
    """Return the checksum that a request promises, if it does."""
    text = headers.get("upload-checksum")
    return None if text is None else Checksum(text)


def _decoded(value: str, what: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(f"{what} is not base64.") from error
