"""The JSON body of uploadImportFile, read as it arrives; its file is written to disk.

    {"binaryContent": "<base64 of the whole file>", "contentType": ..., "fileName": ..., "importerKey": ...}

Memory does not grow with the file: the text of `binaryContent` is decoded and written block by block, and
the JSON around it (the skeleton) must be short.
"""

import json
import re
from binascii import a2b_base64
from collections.abc import Callable
from typing import BinaryIO, Literal

import msgspec

from chatferry.errors import RequestError

STREAMED = "binaryContent"
SKELETON_LIMIT = 64 * 1024
_WINDOW = 64 * 1024
_ADVICE = "Encode the whole file as base64 and send it again."

_BOM = b"\xef\xbb\xbf"
_STRUCTURE = re.compile(rb'["{}\[\],:]')
_STRING_STOP = re.compile(rb'["\\]')

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_WHITESPACE = b" \t\r\n\f\v"
_FROM_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/\-_\s]")
_NOT_PADDING = re.compile(rb"[^=\s]")
_DATA_URI = re.compile(rb"\s{0,64}data:[^,]{0,512};base64,", re.IGNORECASE)
_DATA_URI_START = re.compile(rb"\s{0,64}(d|da|dat|data|data:[^,]{0,519})?", re.IGNORECASE)
_UNLIKE_PHP = re.compile(rb"\\([^/]|\Z)")
# An escaped backslash is invalid, because a backslash is not base64.
_WRONG_ESCAPE = re.compile(rb'\\(?!["/bfnrt]|u[0-9a-fA-F]{4})')
_CUT_ESCAPE = re.compile(rb"\\(u[0-9a-fA-F]{0,3})?\Z")

_base64 = msgspec.json.Decoder(bytes)  # binascii takes three times as long
_string = json.JSONDecoder(strict=False)  # strict would refuse raw line ends


class UploadBody:
    """A reader of one body: `feed` every chunk, then `finish`. Errors are raised as RequestError."""

    def __init__(self, sink: BinaryIO) -> None:
        self._content = _Base64File(sink)
        self._received = 0
        self._skeleton = bytearray()
        self._scan: Callable[[bytes, int], int] = self._between
        self._depth = 0
        self._in_object = False
        self._place: Literal["key", "value", "elsewhere"] = "elsewhere"
        self._key = ""
        self._key_start: int | None = None
        self._announced = False
        self._streamed = False

    @property
    def size(self) -> int:
        """Return how many bytes of the file are written."""
        return self._content.size

    def feed(self, chunk: bytes) -> None:
        """Read the next bytes of the body; chunks may end anywhere."""
        self._received += len(chunk)
        for start in range(0, len(chunk), _WINDOW):
            window = chunk[start : start + _WINDOW]
            at = 0
            while at < len(window):
                at = self._scan(window, at)

    def finish(self) -> dict[str, object]:
        """Return the fields of the body; `binaryContent` is "" if the file was written.

        Rocket.Chat takes invalid JSON for `{}`. So does this, unless a file was already written.
        """
        if self._scan == self._value:
            raise self._ended(f"inside {STREAMED}")
        try:
            fields = msgspec.json.decode(self._skeleton.removeprefix(_BOM).decode(errors="replace"))
        except (msgspec.DecodeError, RecursionError):
            if not self._streamed:
                return {}
            raise self._broken() from None
        if not isinstance(fields, dict):
            raise _invalid("must be object")
        return fields

    def _broken(self) -> RequestError:
        if self._depth > 0:
            return self._ended(f"after {STREAMED} but before its JSON was complete")
        return _invalid(f"The body is not JSON: something beside the text of {STREAMED} is broken.")

    def _ended(self, where: str) -> RequestError:
        return _invalid(f"The body ended after {self._received} bytes, {where}: send it again, all of it.")

    # The next four methods read bytes from `at` on, and return where the next one continues.

    def _between(self, data: bytes, at: int) -> int:
        end, mark = self._keep_through(_STRUCTURE, data, at)
        if mark:
            self._follow(mark)
        return end

    def _in_string(self, data: bytes, at: int) -> int:
        end, mark = self._keep_through(_STRING_STOP, data, at)
        if mark == b"\\":
            self._scan = self._escaped
        elif mark:
            self._close_string()
        return end

    def _escaped(self, data: bytes, at: int) -> int:
        self._keep(data[at : at + 1])
        self._scan = self._in_string
        return at + 1

    def _value(self, data: bytes, at: int) -> int:
        end = data.find(b'"', at)
        if end < 0:
            self._content.feed(data[at:])
            return len(data)
        self._content.feed(data[at:end], last=True)
        self._keep(b'"')
        self._scan = self._between
        return end + 1

    def _follow(self, mark: bytes) -> None:
        """Keep track of the nesting. Invalid JSON may mislead this; `finish` then refuses the skeleton."""
        if mark == b'"':
            self._open_string()
        elif mark in b"{[":
            self._depth += 1
            if self._depth == 1:
                self._in_object = mark == b"{"
            self._place = "key" if self._depth == 1 and self._in_object else "elsewhere"
        elif mark in b"}]":
            self._depth -= 1
        elif self._depth == 1 and self._in_object:
            self._place = "key" if mark == b"," else "value"

    def _open_string(self) -> None:
        if self._place == "value" and self._key == STREAMED:
            self._streamed = True
            self._scan = self._value
        else:
            self._key_start = len(self._skeleton) - 1 if self._place == "key" else None
            self._scan = self._in_string
        self._place = "elsewhere"

    def _close_string(self) -> None:
        self._scan = self._between
        if self._key_start is None:
            return
        self._key = _key(bytes(self._skeleton[self._key_start :]))
        if self._key == STREAMED and self._announced:
            raise _invalid(f"The body has {STREAMED} twice: send one file in one body.")
        self._announced |= self._key == STREAMED

    def _keep_through(self, stop: re.Pattern[bytes], data: bytes, at: int) -> tuple[int, bytes]:
        matched = stop.search(data, at)
        end = matched.end() if matched else len(data)
        self._keep(data[at:end])
        return end, matched.group() if matched else b""

    def _keep(self, data: bytes) -> None:
        if len(self._skeleton) + len(data) > SKELETON_LIMIT:
            raise _invalid(
                f"The body has more than {SKELETON_LIMIT // 1024} KiB beside the text of {STREAMED}: send"
                f" a JSON object with the file as base64 in {STREAMED}, and only short fields beside it."
            )
        self._skeleton += data


class _Base64File:
    """A decoder: takes the text of `binaryContent` as it is in the JSON, and writes the file's bytes.

    Accepted beyond plain base64: JSON escapes (PHP writes `\\/`), whitespace and raw line ends (the `base64`
    command wraps its output), the url-safe alphabet, missing padding, and the head of a data URI.
    """

    def __init__(self, sink: BinaryIO) -> None:
        self.size = 0
        self._sink = sink
        self._offset = 0  # of the next byte in the text, escapes resolved
        self._escape = b""  # the start of an escape that the end of a chunk cut
        self._head: bytes | None = b""  # the start of the text until it is clear whether it is a data URI
        self._rest = b""  # less than four characters
        self._padding = 0

    def feed(self, raw: bytes, *, last: bool = False) -> None:
        """Decode the next bytes; the `last` ones end at the closing quotation mark."""
        raw = self._escape + raw
        cut = None if last else _CUT_ESCAPE.search(raw, max(0, len(raw) - 5))
        self._escape = cut.group() if cut else b""
        self._unescape(raw[: cut.start()] if cut else raw, last)
        if last:
            self._close()

    def _unescape(self, raw: bytes, last: bool) -> None:
        if b"\\" not in raw:
            self._take(raw, last)
        elif not _UNLIKE_PHP.search(raw):
            self._take(raw.translate(None, b"\\"), last)
        elif wrong := _WRONG_ESCAPE.search(raw):
            self._take(_unescaped(raw[: wrong.start()]), True)
            raise self._located(_NOT_BASE64, b"\\")
        else:
            self._take(_unescaped(raw), last)

    def _take(self, text: bytes, last: bool) -> None:
        if self._head is not None:
            text = self._head + text
            if not last and _DATA_URI_START.fullmatch(text):
                self._head = text
                return
            self._head = None
            uri = _DATA_URI.match(text)
            self._offset = uri.end() if uri else 0
            text = text[self._offset :]
        if self._padding or not self._write(text):
            self._take_unusual(text)
        self._offset += len(text)

    def _take_unusual(self, text: bytes) -> None:
        end = 0 if self._padding else len(text.partition(b"=")[0])
        if not self._write(text[:end].translate(_FROM_URL_SAFE, _WHITESPACE)):
            raise self._located(_NOT_BASE64, text)
        if _NOT_PADDING.search(text, end):
            raise self._located(_NOT_PADDING, text, end)
        self._padding += text.count(b"=", end)

    def _write(self, text: bytes) -> bool:
        """Write the decoded text; or write nothing and return False if a character is not base64."""
        if b"=" in text or b"\\" in text:
            return False
        end = max(0, len(text) - (len(self._rest) + len(text)) % 4)
        rest = text[end:]
        if rest.translate(None, _ALPHABET):
            return False
        if end == 0:
            self._rest += rest
            return True
        try:
            block = _base64.decode(b"".join((b'"', self._rest, memoryview(text)[:end], b'"')))
        except msgspec.DecodeError:
            return False
        self._rest = rest
        self._emit(block)
        return True

    def _close(self) -> None:
        missing = -len(self._rest) % 4
        if missing == 3 or self._padding > missing:
            what = "a character is missing or one too many" if missing == 3 else "it ends with too many '='"
            raise _invalid(f"{STREAMED} is not base64: {what}. {_ADVICE}")
        self._emit(a2b_base64(self._rest + b"=" * missing))

    def _emit(self, block: bytes) -> None:
        self._sink.write(block)
        self.size += len(block)

    def _located(self, wrong: re.Pattern[bytes], text: bytes, start: int = 0) -> RequestError:
        matched = wrong.search(text, start)
        assert matched, "a refused text has a byte to blame"
        byte, offset = matched.group(), self._offset + matched.start()
        shown = repr(byte.decode()) if byte.isascii() else f"0x{byte.hex()}"
        return _invalid(f"{STREAMED} is not base64: at byte offset {offset} it has {shown}. {_ADVICE}")


def _key(text: bytes) -> str:
    try:
        return msgspec.json.decode(text, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


def _unescaped(raw: bytes) -> bytes:
    """Return the text with its (valid) escapes resolved, one byte per character, "?" beyond one byte."""
    text: str = _string.decode(f'"{raw.decode("latin-1")}"')
    return text.encode("latin-1", "replace")


def _invalid(reason: str) -> RequestError:
    return RequestError(reason, type_="invalid-params")
