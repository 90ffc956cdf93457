"""A JSON list of any size, some elements at a time.

Elements are mostly not looked for one by one. Bytes that end behind an object are decoded as if they were a
list of their own: if that succeeds they are whole elements, as JSON is read from left to right. Only where it
fails are elements found singly.
"""

from codecs import getincrementaldecoder
from collections.abc import Iterator
from typing import Generic, TypeVar

from msgspec import Struct

from chatferry.archive import Archive
from chatferry.errors import ArchiveError
from chatferry.importers.reading.json_list import (
    BREAKS_OFF,
    GOES_ON,
    NO_LIST,
    NOT_VALID,
    Flaw,
    decode_list,
    strict_list,
)
from chatferry.importers.reading.json_stream import BrokenError, Window

T = TypeVar("T")

PIECE = 64 << 10  # bytes, about
_TRIES = 6  # ends of a piece that are tried
_BLOCK = 1 << 20


class Piece(Struct, Generic[T], frozen=True):
    """Elements that follow each other: their bytes in the file, the number of the first, their values, None
    for one that cannot be read, and what is wrong with them."""

    start: int
    end: int
    first: int
    values: list[T | None]
    flaws: list[Flaw] = []


class Break(Struct, frozen=True):
    """Why nothing more can be read. `is_damage`: of the archive, not of the list in it."""

    reason: str
    is_damage: bool = False


class _BreakError(Exception):
    """`reason` lacks the place, in characters; `end` is that place in bytes."""

    def __init__(self, reason: str, end: int) -> None:
        self.reason = reason
        self.end = end


def read_pieces(archive: Archive, file: str, kind: type[T], size: int = PIECE) -> Iterator[Piece[T] | Break]:
    """The elements of a file's list, each as a `kind`, as `decode_list` finds them; last, a Break if the list
    does not end as it should, in the same words."""
    broken: _BreakError | None = None
    try:
        with archive.open(file) as stream:
            try:
                yield from _pieces(Window(stream), kind, size)
            except _BreakError as error:
                broken = error
            while stream.read(_BLOCK):  # the archive knows of damage at the end
                pass
        if broken:
            yield Break(broken.reason.format(_characters(archive, file, broken.end)))
    except ArchiveError as error:
        yield Break(str(error), is_damage=True)


def _pieces(window: Window, kind: type[T], size: int) -> Iterator[Piece[T]]:
    window.skip_marks()
    if window.next_sign() != "[":
        raise _BreakError(NO_LIST, 0)
    window.place += 1
    first = singly = 0
    while window.next_sign() != "]":
        start = window.offset
        values = _several(window, kind, size) if start >= singly else None
        flaws: list[Flaw] = []
        if values is None:
            if start >= singly:
                singly = start + size  # up to there they are found one by one
            values, flaws = _one(window, kind, first)
        yield Piece(start, window.offset, first, values, flaws)
        first += len(values)
        sign = window.next_sign()
        if sign == ",":
            window.place += 1
        elif sign != "]":
            raise _BreakError(BREAKS_OFF, window.offset)
    window.place += 1
    end = window.offset
    if window.next_sign():
        raise _BreakError(GOES_ON, end)


def _several(window: Window, kind: type[T], size: int) -> list[T | None] | None:
    """The elements of about `size` bytes at the window's place, which moves behind them; None, and it does
    not move, where that cannot be done, or one of them is broken."""
    for end in window.ends(size)[:_TRIES]:
        values = strict_list(b"[%s]" % window.data(end), kind)
        if values is not None:
            window.place = end
            return list(values)
    return None


def _one(window: Window, kind: type[T], number: int) -> tuple[list[T | None], list[Flaw]]:
    try:
        element = window.element()
    except BrokenError as error:
        raise _BreakError(NOT_VALID, window.offset) from error
    return decode_list(b"[%s]" % element.data, kind, [number])


def _characters(archive: Archive, file: str, end: int) -> int:
    """How many characters a file has before the byte `end`, without byte order marks."""
    decoder = getincrementaldecoder("utf-8")("replace")
    count = 0
    with archive.open(file) as stream:
        while end > 0 and (block := stream.read(min(end, _BLOCK))):
            end -= len(block)
            text = decoder.decode(block, end == 0)
            count += len(text if count else text.lstrip("\ufeff"))
    return count
