"""The elements of a JSON list of any size, found without reading more than a window of it at a time."""

import json
import re
from collections.abc import Iterator
from typing import BinaryIO, Generic, NamedTuple, TypeVar

from msgspec import Struct

from chatferry.archive import Archive
from chatferry.errors import ArchiveError
from chatferry.importers.reading.json_list import (
    NO_LIST,
    Broken,
    Flaw,
    decode_list,
    end_of,
    has_too_many,
    is_large,
)

T = TypeVar("T")

BATCH = 500
WINDOW = 1 << 20  # bytes read at a time
BATCH_BYTES = 4 << 20
LARGEST = 16 << 20  # bytes; what is longer is no element

_SPACE = re.compile(r"[ \t\r\n]*")
_MARK = "\xef\xbb\xbf"  # UTF-8's byte order mark
_BETWEEN = re.compile(r"\}[ \t\r\n]*,[ \t\r\n]*\{")
_CLOSING = re.compile(r"\}[ \t\r\n]*\][ \t\r\n]*\Z")
_NEAR_END = 16  # characters of the longest token that is neither text nor number, and some


class Element(NamedTuple):
    """An element's JSON and where it starts in the file (bytes)."""

    start: int
    data: bytes


class Batch(Struct, Generic[T], frozen=True):
    """Elements that follow each other: their places in the file, their values, and what is wrong with them.

    `broken` says why nothing can be read after them.
    """

    first: int
    places: list[Element]
    values: list[T | None]
    flaws: list[Flaw]
    broken: str = ""


def read_batches(archive: Archive, file: str, kind: type[T]) -> Iterator[Batch[T]]:
    """The elements of a file's list, each as a `kind`, some hundred at a time; see `decode_list`."""
    try:
        with archive.open(file) as stream:
            yield from _batches(elements(stream), kind)
    except ArchiveError as error:  # while it is opened; `elements` sees to the rest
        yield Batch(0, [], [], [], str(error))


def _batches(found: Iterator[Element | Broken], kind: type[T]) -> Iterator[Batch[T]]:
    first, broken = 0, ""
    while not broken and (some := _some(found)):
        last = some[-1]
        broken = last.reason if isinstance(last, Broken) else ""
        places = [entry for entry in some if isinstance(entry, Element)]
        numbers = range(first, first + len(places))
        values, flaws = decode_list(b"[%s]" % b",".join([place.data for place in places]), kind, numbers)
        yield Batch(first, places, values, flaws, broken)
        first += len(places)


def _some(found: Iterator[Element | Broken]) -> list[Element | Broken]:
    """The next elements that are decoded together."""
    some: list[Element | Broken] = []
    size = 0
    for one in found:
        some.append(one)
        size += len(one.data) if isinstance(one, Element) else 0
        if len(some) >= BATCH or size >= BATCH_BYTES:
            break
    return some


def elements(stream: BinaryIO) -> Iterator[Element | Broken]:
    """The elements of the list in order. Where it breaks off or is damaged, last a Broken that says why."""
    window = Window(stream)
    try:
        if window.next_sign() == "\xef":  # UTF-8's byte order mark
            window.place += 3
        if window.next_sign() != "[":
            yield Broken(NO_LIST)
            return
        window.place += 1
        while (sign := window.next_sign()) != "]":
            if not sign:
                yield Broken(f"the list breaks off at byte {window.offset}")
                return
            yield window.element()
            sign = window.next_sign()
            if sign == ",":
                window.place += 1
            elif sign != "]":
                yield Broken(f"the list breaks off or is damaged at byte {window.offset}")
                return
        window.place += 1
        if window.next_sign():
            yield Broken(f"more follows the end of the list, from byte {window.offset} on")
    except BrokenError as error:
        yield Broken(str(error))
    except ArchiveError as error:
        yield Broken(str(error))


class BrokenError(ValueError):
    """What follows is no element. The text says where."""


class Window:
    """A stretch of the file as text with one character for each byte, and a place in it."""

    def __init__(self, stream: BinaryIO) -> None:
        self.place = 0
        self._stream = stream
        self._text = ""
        self._start = 0  # of the window, in the file
        self._is_last = False
        # Integers of thousands of digits are no concern here, and Python refuses to read them.
        self._decoder = json.JSONDecoder(strict=False, parse_int=str)

    @property
    def offset(self) -> int:
        return self._start + self.place

    def next_sign(self) -> str:
        """The next character that is no space; "" at the end. The place moves there."""
        while True:
            match = _SPACE.match(self._text, self.place)
            self.place = match.end() if match else self.place
            if self.place < len(self._text):
                return self._text[self.place]
            if not self._read(WINDOW):
                return ""

    def skip_marks(self) -> None:
        """Pass over byte order marks at the beginning of a file."""
        self._fill(len(_MARK))
        while self._text.startswith(_MARK, self.place):
            self.place += len(_MARK)
            self._fill(len(_MARK))

    def element(self) -> Element:
        """The element at the place, which moves behind it."""
        size = WINDOW
        while (end := self._end()) is None:
            if self._is_last or len(self._text) - self.place > LARGEST:
                raise BrokenError(f"it is not valid JSON from byte {self.offset} on")
            self._read(size)
            size *= 2
        found = Element(self.offset, self._text[self.place : end].encode("latin-1"))
        self.place = end
        return found

    def data(self, end: int) -> bytes:
        """The file's bytes from the place to `end`, another place."""
        return self._text[self.place : end].encode("latin-1")

    def ends(self, size: int) -> list[int]:
        """Places behind objects, up to `size` bytes on, where elements may end; the furthest first."""
        self._fill(size)
        stop = min(self.place + size, len(self._text))
        start = max(self.place, stop - size // 4)
        ends = [match.start() + 1 for match in _BETWEEN.finditer(self._text, start, stop)]
        if self._is_last and stop == len(self._text) and (match := _CLOSING.search(self._text, self.place)):
            ends.append(match.start() + 1)
        return ends[::-1]

    def _end(self) -> int | None:
        """Where the element ends; None if the window may end before."""
        if is_large(self._text, self.place):  # then it is not decoded before it is whole, and judged
            end = end_of(self._text, self.place)
            if end is None or has_too_many(self._text, self.place, end):
                return end
        try:
            _, end = self._decoder.raw_decode(self._text, self.place)
        except RecursionError:
            if (nested := end_of(self._text, self.place)) is None:
                return None
            end = nested
        except json.JSONDecodeError as error:
            if not error.msg.startswith("Unterminated string") and error.pos < len(self._text) - _NEAR_END:
                raise BrokenError(f"it is not valid JSON from byte {self._start + error.pos} on") from error
            return None
        is_number = self._text[self.place] in "-0123456789"  # another digit, or a dot, may follow
        return end if end + is_number * _NEAR_END < len(self._text) or self._is_last else None

    def _fill(self, size: int) -> None:
        """Have so many bytes from the place on at hand, as far as the file goes."""
        while len(self._text) - self.place < size and not self._is_last:
            self._read(WINDOW)

    def _read(self, size: int) -> bool:
        """Go on with the next bytes; False at the end of the file."""
        data = self._stream.read(size)
        self._is_last = not data
        self._text = self._text[self.place :] + data.decode("latin-1")
        self._start += self.place
        self.place = 0
        return bool(data)
