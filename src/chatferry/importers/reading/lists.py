"""Lists in tables: the rows of one, cell by cell."""

from collections.abc import Iterator

from chatferry.archive import Archive
from chatferry.errors import ArchiveError
from chatferry.importers.reading.columns import (
    Sheet,
    Table,
    cell_of,
    rows_of,
    sheet_of,
    unknown_columns,
    where,
)
from chatferry.problems import problem
from chatferry.records import Problem

LISTS = ("users.csv", "channels.csv", "contacts.csv")


def lists(archive: Archive) -> dict[str, str]:
    """Return the lists of an archive by their usual names, whatever their case in the archive."""
    return {name.casefold(): name for name in reversed(archive.names()) if name.casefold() in LISTS}


def _sheet(archive: Archive, file: str, table: Table, lost: str) -> Iterator[Sheet | Problem]:
    """Yield the sheet and a problem per unused column, or one problem."""
    try:
        sheet = sheet_of(archive, file, table)
    except ArchiveError as error:
        yield problem(lost, str(error), file=file)
        return
    yield sheet
    yield from unknown_columns(sheet)


def _rows(archive: Archive, sheet: Sheet, lost: str) -> Iterator[tuple[int, list[str]] | Problem]:
    line = 0
    try:
        for line, cells in rows_of(archive, sheet):
            yield line, cells
    except ArchiveError as error:
        reason = f"what follows cannot be read: {error}"
        yield problem(lost, reason, file=sheet.file, position=where(line) if line else "")


def cells_of(
    archive: Archive, file: str, table: Table, lost: str
) -> Iterator[tuple[Sheet, int, tuple[str, ...]] | Problem]:
    """Yield the line of every row and the cells of the table's columns, "" for missing ones.

    `lost` is the kind of problem for rows that cannot be read.
    """
    for sheet in _sheet(archive, file, table, lost):
        if isinstance(sheet, Problem):
            yield sheet
            continue
        for row in _rows(archive, sheet, lost):
            if isinstance(row, Problem):
                yield row
            else:
                line, cells = row
                yield sheet, line, tuple([cell_of(cells, place, sheet) for place in sheet.places])
