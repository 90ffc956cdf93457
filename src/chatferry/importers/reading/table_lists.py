"""Lists in tables: the rows of one, cell by cell."""

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from chatferry.archive import Archive
from chatferry.errors import ArchiveError
from chatferry.importers.reading.columns import (
    Sheet,
    Table,
    cell_of,
    column,
    row_problem,
    rows_of,
    sheet_of,
    unknown_columns,
    where,
)
from chatferry.importers.reading.table_people import MOST_NAME, is_email, split
from chatferry.problems import MOST_OF_RECORD, Notes, problem
from chatferry.records import Problem

LISTS = ("users.csv", "channels.csv", "contacts.csv")


def lists(archive: Archive) -> dict[str, str]:
    """Return the lists of an archive by their usual names, whatever their case in the archive."""
    return {name.casefold(): name for name in reversed(archive.names()) if name.casefold() in LISTS}


class ListRow(Struct, frozen=True):
    """A row of a list, with the cells of the table's columns, "" for missing ones."""

    table: Table
    sheet: Sheet
    line: int
    cells: tuple[str, ...]

    @property
    def position(self) -> str:
        return where(self.line)

    def place(self, name: str) -> int:
        """Return the place of one of the table's columns in the file."""
        return self.sheet.places[self.table.columns.index(name)]

    def field(self, name: str) -> str:
        """Return one of the table's columns, for people."""
        return column(self.sheet, self.place(name), name)

    def problem(self, kind: str, reason: str, name: str = "") -> Problem:
        """Return a problem of the row, or of its cell in the column of this name."""
        return row_problem(kind, reason, self.sheet, self.line, self.place(name) if name else -1, name)

    def emails(self, cell: str) -> tuple[tuple[str, ...], list[Problem]]:
        """Return the e-mail addresses in a cell of the column `email`, and a problem for each other text."""
        found = split(cell)
        flaws = Notes(MOST_OF_RECORD)
        for text in found:
            if not is_email(text):
                flaw = self.problem("field-dropped", f"{text[:100]!r} is not an e-mail address", "email")
                flaws.append(replace(flaw, record="user"))
        return tuple(filter(is_email, found)), flaws

    def key_problem(
        self, key: str, seen: dict[str, int], record: str, name: str, missing: str
    ) -> Problem | None:
        """Return why the row cannot be known by this key, which column `name` should have; None if it can.

        `seen` are the keys of earlier rows with their lines.
        """
        if not key or len(key) > MOST_NAME:
            why = f"has too long a {name}" if key else missing
            return self.problem(f"{record}-not-readable", f"the row {why}", name)
        line = seen.setdefault(key.casefold(), self.line)
        if line == self.line:
            return None
        return self.problem(f"{record}-twice", f"{key} stands in row {line} already")


def list_rows(archive: Archive, file: str, table: Table, lost: str) -> Iterator[ListRow | Problem]:
    """Yield the rows of a list, and problems of the kind `lost` for what cannot be read."""
    try:
        sheet = sheet_of(archive, file, table)
    except ArchiveError as error:
        yield problem(lost, str(error), file=file)
        return
    line = 0
    try:
        for line, cells in rows_of(archive, sheet):
            yield ListRow(table, sheet, line, tuple([cell_of(cells, place, sheet) for place in sheet.places]))
    except ArchiveError as error:
        reason = f"what follows cannot be read: {error}"
        yield problem(lost, reason, file=file, position=where(line) if line else "")
    yield from unknown_columns(sheet)
