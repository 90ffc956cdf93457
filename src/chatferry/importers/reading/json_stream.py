"""Streaming reader of a JSON list of any size, some elements at a time.

Elements are usually not looked for one by one. Bytes that end behind an object are decoded as if they were a
list of their own: if that succeeds they are whole elements, as JSON is read from left to right. Only where it
fails are elements found singly.
"""

import json
import re
from codecs import getincrementaldecoder
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO, Generic, NamedTuple, TypeVar

import msgspec
from msgspec import Raw, Struct

from chatferry.archive import Archive
from chatferry.errors import ArchiveError
from chatferry.importers.reading.json_list import (
    BREAKS_OFF,
    GOES_ON,
    NO_LIST,
    NOT_VALID,
    Broken,
    Flaw,
    decode_list,
    end_of,
    has_too_many,
    is_large,
    strict_list,
)

T = TypeVar("T")

CHUNK = 64 << 10  # bytes, about
WINDOW = 1 << 20  # bytes read at a time
LARGEST = 16 << 20  # bytes; what is longer is no element

_TRIES = 6  # ends of a chunk that are tried
_BLOCK = 1 << 20
_SPACE = re.compile(r"[ \t\r\n]*")
_SEPARATOR = re.compile(rb"[ \t\r\n,]*")
_BOM = "\xef\xbb\xbf"  # UTF-8's byte order mark
_BETWEEN = re.compile(r"\}[ \t\r\n]*,[ \t\r\n]*\{")
_CLOSING = re.compile(r"\}[ \t\r\n]*\][ \t\r\n]*\Z")
_NEAR_END = 16  # characters of the longest token that is neither text nor number, and some
_RAW = msgspec.json.Decoder(list[Raw])


class Element(NamedTuple):
    """An element's JSON and where it starts in the file (bytes)."""

    start: int
    data: bytes


class ElementRange(Struct, frozen=True, array_like=True):
    """Elements that follow each other in a file.

    start, end     their bytes
    first, count   the number of the first, and how many they are
    """

    start: int
    end: int
    first: int
    count: int

    @property
    def numbers(self) -> range:
        return range(self.first, self.first + self.count)


class Chunk(Struct, Generic[T], frozen=True):
    """Elements that follow each other.

    start    where they start in the file (bytes)
    data     their JSON, with commas between them
    values   their values, None for one that cannot be read
    """

    start: int
    data: bytes
    first: int
    values: list[T | None]
    flaws: list[Flaw] = []

    @property
    def end(self) -> int:
        """Where they end in the file (bytes)."""
        return self.start + len(self.data)

    def elements(self) -> Iterator[Element]:
        if len(self.values) == 1:
            yield Element(self.start, self.data)
            return
        end = 0
        for raw in _RAW.decode(b"[%s]" % self.data):
            separator = _SEPARATOR.match(self.data, end)
            start = separator.end() if separator else end
            end = start + len(memoryview(raw))
            yield Element(self.start + start, self.data[start:end])


class BrokenError(ValueError):
    """The list cannot be read any further.

    The text says where, to the byte. `reason` is that of `decode_list`, without the place; `place` is where
    `decode_list` stops (bytes).
    """

    def __init__(self, text: str, reason: str, place: int) -> None:
        super().__init__(text)
        self.reason = reason
        self.place = place


def read_chunks(
    archive: Archive, file: str, kind: type[T], size: int = CHUNK, in_bytes: bool = False
) -> Iterator[Chunk[T] | Broken]:
    """Yield the elements of a file's list, each as a `kind`, as `decode_list` finds them.

    If the list does not end as it should, the last is a Broken. Its reason is that of `decode_list`, which
    counts characters; `in_bytes`: it counts bytes, so that the file is not read again.
    """
    broken: BrokenError | None = None
    try:
        with archive.open(file) as stream:
            window = Window(stream)
            try:
                yield from chunks(window, kind, size)
            except BrokenError as error:
                broken = error
            if window.damage:
                raise window.damage
            while stream.read(_BLOCK):  # the archive knows of damage at the end
                pass
        if broken and in_bytes:
            yield Broken(str(broken))
        elif broken:
            yield Broken(broken.reason.format(_characters(archive, file, broken.place)))
    except ArchiveError as error:
        yield Broken(str(error), is_damage=True)


def read_list(
    archive: Archive, file: str, kind: type[T], size: int = CHUNK, in_bytes: bool = False
) -> Iterator[tuple[int, T] | Flaw]:
    """Yield the elements of a file's list with their numbers, and its flaws; `in_bytes` as for chunks."""
    count = 0
    for chunk in read_chunks(archive, file, kind, size, in_bytes):
        if isinstance(chunk, Broken):
            yield Flaw(f"$[{count}]", "", chunk.reason, lost=True)
        else:
            count = chunk.first + len(chunk.values)
            yield from chunk.flaws
            yield from numbered(chunk.values, chunk.first)


def numbered(elements: Iterable[T | None], first: int = 0) -> Iterator[tuple[int, T]]:
    """Yield the elements that could be read, with their numbers."""
    return ((index, element) for index, element in enumerate(elements, first) if element is not None)


def read_ranges(archive: Archive, file: str, ranges: Sequence[ElementRange]) -> bytes:
    """Return the elements of some ranges as a JSON list, read in one go from the first to the last."""
    if not ranges:
        return b"[]"
    pieces = []
    place = ranges[0].start
    with archive.open(file, place) as stream:
        for range_ in ranges:
            while place < range_.start:
                place += len(stream.read(min(range_.start - place, WINDOW)))
            pieces.append(stream.read(range_.end - range_.start))
            place = range_.end
    return b"[%s]" % b",".join(pieces)


def chunks(window: "Window", kind: type[T], size: int) -> Iterator[Chunk[T]]:
    """Yield the elements of a list in chunks of about `size` bytes; raises BrokenError."""
    window.skip_byte_order_marks()
    if window.next_sign() != "[":
        raise BrokenError(NO_LIST, NO_LIST, 0)
    window.place += 1
    first = singly = 0
    while (sign := window.next_sign()) != "]":
        start = window.offset
        if not sign:
            raise BrokenError(f"the list breaks off at byte {start}", NOT_VALID, start)
        chunk = _several(window, kind, size, first) if start >= singly else None
        if chunk is None:
            if start >= singly:
                singly = start + size  # up to there they are found one by one
            start, data = window.element()
            values, flaws = decode_list(b"[%s]" % data, kind, [first])
            chunk = Chunk(start, data, first, values, flaws)
        yield chunk
        first += len(chunk.values)
        sign = window.next_sign()
        if sign == ",":
            window.place += 1
        elif sign != "]":
            end = window.offset
            raise BrokenError(f"the list breaks off or is damaged at byte {end}", BREAKS_OFF, end)
    window.place += 1
    end = window.offset
    if window.next_sign():
        text = f"more follows the end of the list, from byte {window.offset} on"
        raise BrokenError(text, GOES_ON, end)


def _several(window: "Window", kind: type[T], size: int, first: int) -> Chunk[T] | None:
    """Take elements of about `size` bytes; None if they cannot be told apart or one of them is broken."""
    for end in window.ends(size)[:_TRIES]:
        start, data = window.offset, window.data(end)
        values = strict_list(b"[%s]" % data, kind)
        if values is not None:
            window.place = end
            return Chunk(start, data, first, list(values))
    return None


def _characters(archive: Archive, file: str, end: int) -> int:
    """Return how many characters a file has before the byte `end`, without byte order marks."""
    decoder = getincrementaldecoder("utf-8")("replace")
    count = 0
    with archive.open(file) as stream:
        while end > 0 and (block := stream.read(min(end, _BLOCK))):
            end -= len(block)
            text = decoder.decode(block, end == 0)
            count += len(text if count else text.lstrip("\ufeff"))
    return count


class Window:
    """Some bytes of a file as text with one character for each byte, and a place in it.

    A damaged file ends where the `damage` is: what was read before is good.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.place = 0
        self.damage: ArchiveError | None = None
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
        """Move to the next character that is no space and return it; "" at the end."""
        while True:
            match = _SPACE.match(self._text, self.place)
            self.place = match.end() if match else self.place
            if self.place < len(self._text):
                return self._text[self.place]
            if not self._read(WINDOW):
                return ""

    def skip_byte_order_marks(self) -> None:
        self._fill(len(_BOM))
        while self._text.startswith(_BOM, self.place):
            self.place += len(_BOM)
            self._fill(len(_BOM))

    def element(self) -> Element:
        """Return the element at the place, and move behind it."""
        size = WINDOW
        while (end := self._end()) is None:
            if self._is_last or len(self._text) - self.place > LARGEST:
                raise self._invalid(self.offset)
            self._read(size)
            size *= 2
        found = Element(self.offset, self._text[self.place : end].encode("latin-1"))
        self.place = end
        return found

    def data(self, end: int) -> bytes:
        """Return the file's bytes from the place to `end`, another place."""
        return self._text[self.place : end].encode("latin-1")

    def ends(self, size: int) -> list[int]:
        """Return places behind objects, up to `size` bytes on, where elements may end; the furthest first."""
        self._fill(size)
        stop = min(self.place + size, len(self._text))
        start = max(self.place, stop - size // 4)
        ends = [match.start() + 1 for match in _BETWEEN.finditer(self._text, start, stop)]
        if self._is_last and stop == len(self._text) and (match := _CLOSING.search(self._text, self.place)):
            ends.append(match.start() + 1)
        return ends[::-1]

    def _invalid(self, byte: int) -> BrokenError:
        return BrokenError(f"it is not valid JSON from byte {byte} on", NOT_VALID, self.offset)

    def _end(self) -> int | None:
        """Return where the element ends; None if the window may end before."""
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
                raise self._invalid(self._start + error.pos) from error
            return None
        is_number = self._text[self.place] in "-0123456789"  # another digit, or a dot, may follow
        return end if end + is_number * _NEAR_END < len(self._text) or self._is_last else None

    def _fill(self, size: int) -> None:
        """Read until the window has `size` bytes from the place on, or the file ends."""
        while len(self._text) - self.place < size and not self._is_last:
            self._read(WINDOW)

    def _read(self, size: int) -> bool:
        """Read the next bytes; return False at the end of the file."""
        try:
            data = self._stream.read(size)
        except ArchiveError as error:
            self.damage, data = error, b""
        self._is_last = not data
        self._text = self._text[self.place :] + data.decode("latin-1")
        self._start += self.place
        self.place = 0
        return bool(data)
