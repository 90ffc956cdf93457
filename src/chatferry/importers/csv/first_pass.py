"""The first pass over a room's message files: their authors, and the rows of each part.

A part holds the messages of a stretch of time, wherever in the room's files they stand: so messages of one
millisecond always meet, and files may be in any order or overlap. While reading, only blocks of rows are
noted (where they are, and from when to when their messages are). Blocks that follow each other in time, as in
any ordinary file, make parts by themselves. Blocks that overlap are cut by time, and those that a cut goes
through are read once more to count what is on each side.

Memory: a few numbers per thousand rows, never a message.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

import msgspec
from msgspec import Struct

from chatferry.archive import Archive
from chatferry.errors import ArchiveError
from chatferry.importers.csv.messages import Fault, MessageRow, entry_of
from chatferry.importers.reading.columns import Sheet, where
from chatferry.importers.reading.table import Row, Rows
from chatferry.importers.reading.timeline import NEIGHBOURS
from chatferry.problems import problem
from chatferry.records import Part, Problem

PART_MESSAGES = 3000
PART_BYTES = 8 << 20
LARGEST_PART = 48_000  # messages, where rows are in no order at all
BLOCK_ROWS = 1000
BLOCK_BYTES = 1 << 20
_MOST_READINGS = 4  # of a row on average, before parts are made larger
_SAMPLES = 8  # times that stand for those of a block that overlaps others
_EVER = 1 << 60


class RowRange(Struct, frozen=True, array_like=True, gc=False):
    """Rows of one file that follow each other. Of ranges that several parts read, one `owns` the faults.

    file     number of the sheet        start, end   bytes
    line     of the first row           descends     the file's newest messages come first
    """

    file: int
    start: int
    end: int
    line: int
    descends: bool
    owns: bool


class CsvPartSpec(Struct, frozen=True, kw_only=True, rename={"ranges": "runs"}):
    """A part's `data`: the messages in `ranges` from `since` to before `until` (ms).

    channel   "" if messages of several direct conversations are mixed
    names     import ids by names that are spelled in another way
    """

    channel: str
    sheets: tuple[Sheet, ...]
    ranges: tuple[RowRange, ...]
    since: int
    until: int
    names: dict[str, str] = {}


class _Block(Struct, gc=False):
    """Rows that follow each other.

    first, last        the earliest and latest time of the messages (ms)
    """

    file: int
    start: int
    line: int
    end: int = 0
    messages: int = 0
    faults: int = 0
    first: int = _EVER
    last: int = -_EVER


class CsvFirstPass:
    """A first pass over the files of a room, in any order. `sheets` are the layouts of the readable ones."""

    def __init__(self, archive: Archive, is_direct: bool) -> None:
        self.sheets: list[Sheet] = []
        self._archive = archive
        self.is_direct = is_direct
        self._blocks: list[_Block] = []
        self._descends: list[bool] = []

    def read(self, sheet: Sheet) -> Iterator[tuple[int, MessageRow] | Problem]:
        """Yield every message of a file with its line; a problem if the file breaks off."""
        number = len(self.sheets)
        self.sheets.append(sheet)
        self._descends.append(False)
        block = _Block(number, sheet.form.start, sheet.form.line)
        rises, falls, before = 0, 0, -1
        with self._archive.open(sheet.file, sheet.form.start) as stream:
            rows = Rows(stream, sheet.form, sheet.form.start, sheet.form.line)
            try:
                for line, cells in _content(rows, sheet):
                    found = entry_of(cells, sheet, self.is_direct)
                    if isinstance(found, Fault):
                        block.faults += 1
                    else:
                        time = found.time // 1000
                        block.messages += 1
                        block.first, block.last = min(block.first, time), max(block.last, time)
                        rises += time > before >= 0
                        falls += time < before
                        before = time
                        yield line, found
                    if block.messages + block.faults >= BLOCK_ROWS or rows.taken - block.start >= BLOCK_BYTES:
                        block = self._next(block, rows)
            except ArchiveError as error:
                reason = f"what follows cannot be read: {error}"
                yield problem("file-not-readable", reason, file=sheet.file, position=where(rows.place[1]))
            self._next(block, rows)
        self._descends[number] = falls > 8 * rises

    def _next(self, block: _Block, rows: Rows) -> _Block:
        """Close a block, and begin another."""
        block.end, line = rows.place
        if not block.messages:  # then its place in time is of no matter, but it needs one
            block.first = block.last = self._blocks[-1].last if self._blocks else 0
        if block.messages or block.faults:
            self._blocks.append(block)
        return _Block(block.file, block.end, line)

    def parts(self, channel: str, names: dict[str, str]) -> Iterator[Part]:
        """Yield the parts of all files together, in order of time."""
        blocks = sorted(self._blocks, key=lambda block: (block.first, block.file, block.start))
        cuts = _cuts(blocks)
        counts = self._counted(blocks, cuts)
        ranges: list[list[RowRange]] = [[] for _ in counts]
        for block in sorted(blocks, key=lambda block: (block.file, block.start)):
            owner = bisect_right(cuts, block.first)
            for number in range(owner, bisect_right(cuts, block.last + NEIGHBOURS) + 1):
                _add(ranges[number], self._range(block, number == owner))
        for number, count in enumerate(counts):
            spec = CsvPartSpec(
                channel=channel,
                sheets=tuple(self.sheets),
                ranges=tuple(ranges[number]),
                since=cuts[number - 1] if number else -_EVER,
                until=cuts[number] if number < len(cuts) else _EVER,
                names=names,
            )
            if count:
                yield Part(channel=channel, messages=count, data=msgspec.msgpack.encode(_lean(spec)))

    def _range(self, block: _Block, owns: bool) -> RowRange:
        descends = self._descends[block.file]
        return RowRange(block.file, block.start, block.end, block.line, descends, owns)

    def _counted(self, blocks: Iterable[_Block], cuts: Sequence[int]) -> list[int]:
        """Return how many rows there are between the cuts."""
        counts = [0] * (len(cuts) + 1)
        for block in sorted(blocks, key=lambda block: (block.file, block.start)):
            first = bisect_right(cuts, block.first)
            counts[first] += block.faults
            if first == bisect_right(cuts, block.last):
                counts[first] += block.messages
                continue
            row_range = self._range(block, True)
            for _, found in rows_in(self._archive, row_range, self.sheets[block.file], self.is_direct):
                if isinstance(found, MessageRow):
                    counts[bisect_right(cuts, found.time // 1000)] += 1
        return counts


def _content(rows: Rows, sheet: Sheet) -> Iterator[Row]:
    """Return the rows without the one that names the columns."""
    iterator = iter(rows)
    if sheet.names:
        next(iterator, None)
    return iterator


def rows_in(
    archive: Archive, row_range: RowRange, sheet: Sheet, is_direct: bool
) -> Iterator[tuple[int, MessageRow | Fault]]:
    """Yield the rows of a range, each with its line."""
    with archive.open(sheet.file, row_range.start) as stream:
        rows = Rows(stream, sheet.form, row_range.start, row_range.line, row_range.end)
        for line, cells in _content(rows, sheet) if row_range.start == sheet.form.start else rows:
            yield line, entry_of(cells, sheet, is_direct)


# ---------------------------------------------------------------- cutting


def _cuts(blocks: Sequence[_Block]) -> list[int]:
    """Return the times at which a new part begins. `blocks` are in order of their first message."""
    samples = sorted(_samples(blocks))
    size = PART_MESSAGES
    while True:
        cuts = list(_cut(samples, size))
        readings = sum(
            (bisect_right(cuts, b.last) - bisect_right(cuts, b.first) + 1) * b.messages for b in blocks
        )
        if size >= LARGEST_PART or readings <= _MOST_READINGS * sum(b.messages for b in blocks):
            return cuts
        size *= 2


def _cut(samples: Iterable[tuple[int, float]], size: int) -> Iterator[int]:
    weight, before = 0.0, -_EVER
    for time, share in samples:
        if weight >= size and time > before:
            yield time
            weight, before = 0.0, time
        weight += share


def _samples(blocks: Sequence[_Block]) -> Iterator[tuple[int, float]]:
    """Yield times at which a part may begin, with the weight from each to the next."""
    reached = -_EVER
    for number, block in enumerate(blocks):
        weight = max(block.messages, (block.end - block.start) * PART_MESSAGES / PART_BYTES)
        following = blocks[number + 1].first if number + 1 < len(blocks) else _EVER
        if reached <= block.first and block.last <= following:
            yield block.first, weight
        else:
            span = block.last - block.first
            for step in range(_SAMPLES):
                yield block.first + span * step // _SAMPLES, weight / _SAMPLES
        reached = max(reached, block.last)


def _add(ranges: list[RowRange], row_range: RowRange) -> None:
    """Add a range, joined with the last one if it continues that."""
    last = ranges[-1] if ranges else None
    if last and (last.file, last.end, last.owns) == (row_range.file, row_range.start, row_range.owns):
        ranges[-1] = RowRange(last.file, last.start, row_range.end, last.line, last.descends, last.owns)
    else:
        ranges.append(row_range)


def _lean(whole: CsvPartSpec) -> CsvPartSpec:
    """Return a part's data with only the sheets that its ranges need."""
    used = sorted({row_range.file for row_range in whole.ranges})
    number = {file: place for place, file in enumerate(used)}
    ranges = tuple(
        msgspec.structs.replace(row_range, file=number[row_range.file]) for row_range in whole.ranges
    )
    return msgspec.structs.replace(whole, sheets=tuple(whole.sheets[file] for file in used), ranges=ranges)
