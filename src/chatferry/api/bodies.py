"""Bodies of calls that are not uploads, bounded in size, time and memory."""

from codecs import getincrementaldecoder
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import SpooledTemporaryFile
from urllib.parse import parse_qsl

import anyio
import msgspec
from msgspec import Raw
from starlette.requests import Request

from chatferry.api import wire
from chatferry.api.uploads.receiving import BrokenOffError, blocks, cannot_store
from chatferry.errors import RequestError

SMALL = 10 * 1024
LARGE = 16 * 1024 * 1024
"""Limits in bytes: of bodies with some words in them, and of those with lists of users and rooms."""

IN_MEMORY = 64 * 1024  # bytes; a larger body waits on the disk for its turn
MOST_VALUES = 1_000_000  # in one body; decoded they need more memory than their text
PATIENCE = 30.0  # seconds for a small body to arrive
_SIGNS = 100  # shown characters of invalid JSON


class RequestBody:
    """The bytes of a body. Beyond IN_MEMORY they are in an unnamed file."""

    def __init__(self, folder: Path, content_type: str) -> None:
        self.size = 0
        self._content_type = content_type
        self._file = SpooledTemporaryFile(IN_MEMORY, dir=str(folder))  # noqa: SIM115  # `close` closes it

    @property
    def is_large(self) -> bool:
        return self.size > IN_MEMORY

    async def receive(self, request: Request, limit: int, silence: float) -> None:
        """Read the whole body. Raise RequestError if it has more than `limit` bytes or does not arrive."""
        too_large = RequestError(f"The body is larger than {wire.size(limit)}.", status=413)
        with _in_time(PATIENCE if limit <= IN_MEMORY else None):
            async for block in blocks(request, limit, too_large, silence):
                self.size += len(block)
                if self.is_large:
                    await anyio.to_thread.run_sync(self._write, block)
                else:
                    self._file.write(block)

    def _write(self, block: bytes) -> None:
        try:
            self._file.write(block)
        except OSError as error:
            raise cannot_store(error) from error

    @property
    def hint(self) -> str:
        """Return why a body may lack what it should have; "" if its type is right."""
        return hint_of_type(self._content_type) if self.size else ""

    def read(self) -> object:
        """Return the body as Rocket.Chat's router does: JSON as Raw, {} for invalid JSON.

        Takes time in proportion to the body: call it in a thread, not in the event loop.
        """
        self._file.seek(0)
        data = self._file.read()
        if wire.is_json(self._content_type):
            return _json(data)
        if self._content_type.partition(";")[0].strip().lower() == "application/x-www-form-urlencoded":
            return _form(data.decode("utf-8", "replace"))
        # As JavaScript spreads a string.
        return {
            str(index): sign
            for index, sign in enumerate(data[: 4 * _SIGNS].decode("utf-8", "replace")[:_SIGNS])
        }

    def close(self) -> None:
        self._file.close()


def hint_of_type(content_type: str) -> str:
    """Return what to do about the Content-Type of a body that should be JSON; "" if it is right."""
    if wire.is_json(content_type):
        return ""
    given = f"is {content_type[:_SIGNS]}" if content_type else "is missing"
    return (
        f"The body was not read as JSON, because its Content-Type {given}: "
        "send the header Content-Type: application/json."
    )


@contextmanager
def _in_time(seconds: float | None) -> Iterator[None]:
    try:
        with anyio.fail_after(seconds):
            yield
    except TimeoutError as error:
        raise BrokenOffError(
            f"The body did not come within {seconds:g} s. Send it again.", status=408
        ) from error


def _json(data: bytes) -> object:
    if data.count(b",") > MOST_VALUES:
        raise RequestError(
            f"The body holds more than {MOST_VALUES:,} values. Send it in several.", status=413
        )
    try:
        _require_utf8(data)
        return msgspec.json.decode(data, type=Raw) if data.strip() else {}
    except (msgspec.DecodeError, ValueError, RecursionError):
        return {}


def _require_utf8(data: bytes) -> None:
    """Raise UnicodeDecodeError for invalid UTF-8: msgspec does not check fields that nobody reads."""
    decoder = getincrementaldecoder("utf-8")()
    for start in range(0, 0 if data.isascii() else len(data), IN_MEMORY):
        decoder.decode(data[start : start + IN_MEMORY])
    decoder.decode(b"", final=True)


def _form(text: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=1000))
    except ValueError:  # too many fields
        return {}


def plain(body: object) -> object:
    """Return the decoded value of a small body that has no schema."""
    try:
        return msgspec.json.decode(body) if isinstance(body, Raw) else body
    except (msgspec.DecodeError, ValueError, RecursionError):
        return {}
