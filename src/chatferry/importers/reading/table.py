"""Tables as CSV: how a file is written, and its rows, each with the line it begins on.

Memory: a row and a little more, never a file.
"""

import codecs
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Protocol

from msgspec import Struct

HEAD = 1 << 16  # bytes that tell how a file is written
LONGEST = 1 << 24  # characters of a row; what goes beyond is left out
_CHUNK = 1 << 16
_DELIMITERS = ",;\t"
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


class Form(Struct, frozen=True, array_like=True):
    """How a table is written. `start` is the first byte of its first row, `line` the line of that row."""

    encoding: str = "utf-8"
    newline: str = "\n"  # "\r" ends lines as well where a "\n" follows it
    delimiter: str = ","
    start: int = 0
    line: int = 1


Row = tuple[int, list[str]]
"""The line on which a row begins, from 1, and its cells."""


# ---------------------------------------------------------------- how a file is written


def form_of(head: bytes) -> Form:
    """Return how a table is written, by its first bytes."""
    encoding, start = _encoding(head)
    text = _decoder(encoding).decode(head[start:])
    unquoted = re.sub(r'"[^"]*"', "", text)
    newline = "\n" if "\n" in unquoted or "\r" not in unquoted else "\r"
    # Spreadsheets begin a file with "sep=;" to tell each other the delimiter.
    if named := re.match(r"sep=([,;\t])(\r\n|\n|\r)", text, re.IGNORECASE):
        return Form(encoding, newline, named[1], start + _size(named[0], encoding), 2)
    return Form(encoding, newline, _delimiter(unquoted), start)


def _encoding(head: bytes) -> tuple[str, int]:
    for bom, encoding in _BOMS:
        if head.startswith(bom):
            return encoding, len(bom)
    half = len(head) // 2
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if odd * 3 > half and odd > 4 * even:
        return "utf-16-le", 0
    return ("utf-16-be", 0) if even * 3 > half and even > 4 * odd else ("utf-8", 0)


def _delimiter(unquoted: str) -> str:
    """Return the delimiter that comes first on most lines: later cells may hold the other ones."""
    first = Counter(match[0] for line in unquoted.splitlines() if (match := re.search(r"[,;\t]", line)))
    return max(_DELIMITERS, key=lambda delimiter: first[delimiter])


def _decoder(encoding: str) -> codecs.IncrementalDecoder:
    # Both keep what is no text in a form that gives the same bytes again: offsets are counted back from it.
    errors = "surrogateescape" if encoding == "utf-8" else "surrogatepass"
    return codecs.getincrementaldecoder(encoding)(errors)


def _size(text: str, encoding: str) -> int:
    """Return how many bytes of the file a text was."""
    if encoding != "utf-8":
        return len(text.encode(encoding, "surrogatepass"))
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogateescape"))


# ---------------------------------------------------------------- cells as text


def _windows_1252(byte: int) -> str:
    try:
        return bytes((byte,)).decode("cp1252")
    except UnicodeDecodeError:  # five bytes that nobody writes
        return "\ufffd"


REPAIRED = "bytes that are no UTF-8 were read as Windows-1252, and NUL bytes left out"
_NO_TEXT = re.compile("[\ud800-\udfff\0]")
_AS_TEXT = {0xDC00 + byte: _windows_1252(byte) for byte in range(128, 256)} | {0: ""}
_REPLACED = dict.fromkeys(range(0xD800, 0xE000), "\ufffd")


def is_text(cell: str) -> bool:
    """Return whether a cell has neither NUL bytes nor bytes of another encoding."""
    return _NO_TEXT.search(cell) is None


def repaired(cell: str, encoding: str) -> str:
    """Return a cell without NUL bytes, with bytes that are not UTF-8 read as Windows-1252."""
    if encoding == "utf-8":
        cell = cell.translate(_AS_TEXT)
    return cell.translate(_REPLACED).replace("\0", "")


# ---------------------------------------------------------------- rows


class Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Rows:
    """The rows of a table, from a stream that begins at a row.

    A cell in quotes may hold delimiters, line ends and doubled quotes. Quotes that do not close at the end of
    a cell are ordinary characters: an unclosed one adds two odd characters to its own row and changes no
    other row. Empty lines are skipped.
    """

    def __init__(self, stream: Stream, form: Form, start: int, line: int, end: int | None = None) -> None:
        """Read a stream that is at the byte `start` of the file, up to the byte `end`."""
        self._stream = stream
        self._form = form
        self._left = None if end is None else end - start
        self._decoder = _decoder(form.encoding)
        self._base = start  # the byte at which `_text` begins
        self._text = ""
        self._place = 0
        self._line = line
        self._complete = False

    @property
    def place(self) -> tuple[int, int]:
        """The byte at which the next row begins, and its line."""
        return self._base + _size(self._text[: self._place], self._form.encoding), self._line

    @property
    def taken(self) -> int:
        """Approximate byte offset of the next row (counts some characters as one byte)."""
        return self._base + self._place

    def __iter__(self) -> Iterator[Row]:
        newline, delimiter = self._form.newline, self._form.delimiter
        while True:
            end = self._text.find(newline, self._place)
            if end < 0 and self._wants_more():
                continue
            if end < 0:
                end = min(len(self._text), self._place + LONGEST)
                if end == self._place:
                    return
            line = self._text[self._place : end]
            if '"' not in line:
                cells, begins = line.removesuffix("\r").split(delimiter), self._line
                self._move(end, 1)
            else:
                quoted = self._quoted()
                if quoted is None:
                    continue
                begins, cells = quoted
            if any(map(str.strip, cells)):
                yield begins, cells

    def _wants_more(self) -> bool:
        """Read more, unless the file ends here or the row is too long; return whether there is more."""
        if self._complete or len(self._text) - self._place >= LONGEST:
            return False
        self._base += _size(self._text[: self._place], self._form.encoding)
        rest = self._text[self._place :]
        size = max(_CHUNK, len(rest))  # so that a long row is not looked through again and again
        data = self._stream.read(size if self._left is None else min(size, self._left))
        if self._left is not None:
            self._left -= len(data)
        self._complete = not data
        self._text = rest + self._decoder.decode(data, final=not data and self._form.encoding == "utf-8")
        self._place = 0
        return True

    def _move(self, end: int, lines: int) -> None:
        """Move behind a row that ends at `end`."""
        newline = self._form.newline
        self._line += lines
        while not self._text.startswith(
            newline, end
        ):  # the rest of a row that is too long, or the file's end
            found = self._text.find(newline, end)
            if found >= 0:
                end = found
                break
            self._place = end = len(self._text)
            if not self._wants_more() or self._complete:
                return
            end = 0
        self._place = end + 1

    def _quoted(self) -> Row | None:
        """Return the row at the place, with cells in quotes; None if more has to be read first."""
        pattern, plain = _cell(self._form.delimiter, self._form.newline)
        text, at, begins = self._text, self._place, self._line
        is_last = self._complete or len(text) - at >= LONGEST
        cells: list[str] = []
        while True:
            match = pattern.match(text, at)
            if match is None or (match[2] is not None and is_last):
                match = plain.match(text, at)
            if match is None or (match.end() == len(text) and not is_last):
                self._wants_more()
                return None
            at = match.end()
            is_closed = match.re is pattern and match[1] is not None
            cells.append(match[1].replace('""', '"') if is_closed else match[0])
            if not text.startswith(self._form.delimiter, at):
                break
            at += 1
        if not is_closed:
            cells[-1] = cells[-1].removesuffix("\r")
        at += text.startswith("\r\n", at) and self._form.newline == "\n"
        self._move(at, 1 + text.count(self._form.newline, self._place, at))
        return begins, cells


@cache
def _cell(delimiter: str, newline: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Return patterns: of a cell in quotes (1), in unended quotes (2) or plain, and of a plain cell."""
    end = rf"(?={delimiter}|\r?\n|\Z)" if newline == "\n" else rf"(?={delimiter}|\r|\Z)"
    inside = r'[^"]*+(?:""[^"]*+)*+'
    plain = rf"[^{delimiter}{newline}]*+"
    pattern = rf' *+"({inside})" *+{end}|( *+"{inside}\Z)|{plain}'
    return re.compile(pattern), re.compile(plain)
