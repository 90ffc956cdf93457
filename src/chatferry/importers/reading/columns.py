"""Which column of a table holds what: by the names in its first row, or by the usual order."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

from msgspec import Struct
from msgspec.structs import replace

from chatferry.archive import Archive
from chatferry.importers.reading.table import HEAD, Form, Row, Rows, form_of, is_text, repaired
from chatferry.problems import MOST_OF_RECORD, Notes, problem
from chatferry.records import Problem

_SAMPLE = 50  # rows
_TELLING = 5  # rows of one width, from which on more than the usual columns are columns


class Table(Struct, frozen=True):
    """A kind of table: its columns in the usual order, and other names that each goes by."""

    columns: tuple[str, ...]
    names: Mapping[str, tuple[str, ...]]
    is_content: Callable[[str], bool]  # whether a cell cannot be in a row of names
    order: tuple[int, ...] = ()  # places in the usual order, if these are not the first ones


class Sheet(Struct, frozen=True, array_like=True):
    """A file with a table in it. `places` has the place of each of the table's columns, -1 for none."""

    file: str
    form: Form
    places: tuple[int, ...]
    width: int  # cells of an ordinary row
    names: tuple[str, ...] = ()  # the first row, where it names the columns
    free: int = -1  # the place of the column with free text, into which surplus cells go
    unknown: tuple[int, ...] = ()  # places of columns that hold something and become nothing


def sheet_of(archive: Archive, file: str, table: Table, free: str = "") -> Sheet:
    """Return the layout of the table in a file. Raises ArchiveError if the file cannot be read.

    `free` is the column with free text: a row has surplus cells if that text has delimiters without quotes.
    """
    with archive.open(file) as stream:
        head = stream.read(HEAD)
    form = form_of(head)
    for delimiter in (form.delimiter, ",", ";", "\t"):
        tried = replace(form, delimiter=delimiter)
        sample = _sample(head, tried, len(head) == archive.size(file))
        names = tuple(repaired(cell.strip(), form.encoding) for cell in sample[0][1]) if sample else ()
        places = _named(names, table)
        if places is not None:
            unknown = tuple(place for place, name in enumerate(names) if name and place not in places)
            return Sheet(file, tried, places, len(names), names, _place(free, table, places), unknown)
    usual = table.order or tuple(range(len(table.columns)))
    sample = _sample(head, form, len(head) == archive.size(file))
    width = max(max(usual) + 1, _even_width(sample))
    filled = {place for _, cells in sample for place, cell in enumerate(cells[:width]) if cell.strip()}
    unknown = tuple(sorted(filled - set(usual)))
    return Sheet(file, form, usual, width, (), _place(free, table, usual), unknown)


def _even_width(sample: Sequence[Row]) -> int:
    """Return the number of cells of every row; if rows differ, extra cells are texts with delimiters."""
    widths = {len(cells) for _, cells in sample}
    is_telling = len(sample) >= _TELLING or not any(cells[-1].strip() for _, cells in sample)
    return widths.pop() if len(widths) == 1 and is_telling else 0


def _sample(head: bytes, form: Form, is_whole: bool) -> list[Row]:
    """Return the first rows, without one that the end of the head may have cut."""
    rows = list(islice(Rows(_Bytes(head[form.start :]), form, form.start, form.line), _SAMPLE))
    return rows if is_whole or len(rows) == _SAMPLE else rows[:-1] or rows


class _Bytes:
    """Bytes to be read once."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, size: int, /) -> bytes:
        taken, self._data = self._data[:size], self._data[size:]
        return taken


def _named(cells: Sequence[str], table: Table) -> tuple[int, ...] | None:
    """Return the places of the columns if the row names two of them and no cell looks like content."""
    if any(map(table.is_content, cells)):
        return None
    plain = [re.sub(r"[\W_]+", "", cell.casefold()) for cell in cells]
    places = [_first(plain, (column, *table.names.get(column, ()))) for column in table.columns]
    known = {place for place in places if place >= 0}
    return tuple(places) if len(known) > 1 else None


def _first(cells: Sequence[str], names: Sequence[str]) -> int:
    return next((cells.index(name) for name in names if name in cells), -1)


def _place(column: str, table: Table, places: Sequence[int]) -> int:
    return places[table.columns.index(column)] if column else -1


# ---------------------------------------------------------------- rows


def cell_of(cells: Sequence[str], place: int, sheet: Sheet) -> str:
    """Return a cell as text without spaces around it; "" if the row is too short."""
    cell = cells[place].strip() if 0 <= place < len(cells) else ""
    return cell if is_text(cell) else repaired(cell, sheet.form.encoding)


def rows_of(archive: Archive, sheet: Sheet) -> Iterator[Row]:
    """Yield the rows of a table without the one that names the columns."""
    with archive.open(sheet.file, sheet.form.start) as stream:
        rows = iter(Rows(stream, sheet.form, sheet.form.start, sheet.form.line))
        if sheet.names:
            next(rows, None)
        yield from rows


def fitted(cells: list[str], sheet: Sheet) -> list[str]:
    """Return the cells of a row, surplus ones joined: the free text was cut at delimiters."""
    surplus = len(cells) - sheet.width
    if surplus <= 0 or sheet.free < 0:
        return cells
    end = sheet.free + surplus + 1
    text = sheet.form.delimiter.join(cells[sheet.free : end])
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    return [*cells[: sheet.free], text, *cells[end:]]


def where(line: int) -> str:
    """Return the position of the row that begins on this line."""
    return f"row {line}"


def column(sheet: Sheet, place: int, name: str = "") -> str:
    """Return a column for people: its number, and its name in the file, else `name`."""
    if place < 0:
        return name
    shown = sheet.names[place] if place < len(sheet.names) else name
    return f"column {place + 1} ({shown})" if shown else f"column {place + 1}"


def row_problem(kind: str, reason: str, sheet: Sheet, line: int, place: int = -1, name: str = "") -> Problem:
    """Return a problem of a row, and of the column at this place, usually called `name`."""
    field = column(sheet, place, name)
    return problem(kind, reason, file=sheet.file, position=where(line), field=field)


def unknown_columns(sheet: Sheet) -> Iterator[Problem]:
    """Yield a problem for each column with content that is not imported."""
    notes = Notes(MOST_OF_RECORD)
    for place in sheet.unknown:
        name = sheet.names[place] if place < len(sheet.names) else ""
        reason = f"nothing in Rocket.Chat takes the column {name or place + 1}"
        notes.append(problem("column-not-imported", reason, file=sheet.file, field=column(sheet, place)))
    yield from notes
