"""Rows of contacts: a CSV text whose header names the columns.

Known columns are `id`, `name`, `emails`, `phones` (several of them separated by ";") and `manager` (a
username). Every other column is a custom field.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from chatferry.ids import derived_hex
from chatferry.problems import problem
from chatferry.records import Contact, Problem

KNOWN = ("id", "name", "emails", "phones", "manager")
_ALSO = {"email": "emails", "e-mail": "emails", "phone": "phones"}
_DELIMITERS = ",;\t"
_LINES = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")
_RESTARTS = 100  # a file that needs more is no CSV
_NO_KEY = re.compile(r"[.\0]|^\$")  # what MongoDB does not take, or reads as a path


class _Row(NamedTuple):
    """`place` is "row 3", where the header is row 1."""

    place: str
    cells: list[str]
    fault: str = ""


def has_contact_header(text: str) -> bool:
    """Whether the first row names the columns of contacts."""
    header = next(_rows(text), None)
    names = set(_columns(header.cells)) if header else set()
    return bool(names & {"emails", "phones"} or {"id", "name"} <= names)


def read_contacts(text: str, file: str) -> Iterator[Contact | Problem]:
    """The contacts of a CSV text, and for every row that is none the problem that says why.

    `file` is where the text stands, for problems.
    """
    rows = _rows(text.removeprefix("\ufeff"))
    header = next(rows, None)
    if header is None:
        yield problem("file-not-readable", "the file is empty", file=file)
        return
    columns = _columns(header.cells)
    if not set(columns) & {"name", "emails", "phones"}:
        reason = (
            "its first row does not name the columns: at least one of name, emails and phones was expected, "
            f"not {', '.join(cell.strip() for cell in header.cells[:5])[:100]}"
        )
        yield problem("file-not-readable", reason, file=file, position=header.place)
        return
    seen, twins = dict[str, str](), Counter[str]()
    for row in rows:
        if row.fault:
            reason = f"the row cannot be read: {row.fault}"
            yield problem("contact-not-readable", reason, file=file, position=row.place)
        elif any(cell.strip() for cell in row.cells):
            yield _contact(row, columns, seen, twins, file)


# ---------------------------------------------------------------- rows and columns


def _rows(text: str) -> Iterator[_Row]:
    """The rows, each with its number. A broken one that swallows others costs only its first line."""
    lines = [match[0] for match in _LINES.finditer(text)]
    delimiter = _delimiter(lines[0] if lines else "")
    line = number = restarts = 0
    while line < len(lines) and restarts < _RESTARTS:
        for cells, end, fault in _rows_from(lines, line, delimiter):
            number += 1
            yield _Row(f"row {number}", cells, fault)
            line = line + 1 if fault else end
            if fault:
                restarts += 1
                break
    if line < len(lines):
        left = len(lines) - line
        yield _Row(f"row {number + 1}", [], f"{restarts} rows before it are broken; {left:,} lines are left")


def _rows_from(lines: list[str], start: int, delimiter: str) -> Iterator[tuple[list[str], int, str]]:
    """From a line on: the cells of each row, the line after it, and what is wrong with it."""
    reader = csv.reader(lines[start:], delimiter=delimiter)
    begin = start
    while begin < len(lines):
        try:
            cells, fault = next(reader), ""
        except csv.Error as error:
            cells, fault = [], str(error)
        end = start + reader.line_num
        if end == len(lines) and end - begin > 1 and "".join(lines[begin:]).count('"') % 2:
            fault = "a quotation mark in it is not closed"
        yield cells, end, fault
        begin = end


def _delimiter(header: str) -> str:
    """The separator that cuts the first line most often; spreadsheets of some countries write semicolons."""
    unquoted = re.sub(r'"[^"]*"', "", header)
    return max(_DELIMITERS, key=unquoted.count)


def _columns(cells: list[str]) -> list[str]:
    """The names of the columns; one without a name is called by its number."""
    columns = []
    for number, cell in enumerate(cells):
        name = cell.strip().removeprefix("\ufeff")
        known = _ALSO.get(name.lower(), name.lower())
        columns.append(known if known in KNOWN else name or f"column{number}")
    return columns


# ---------------------------------------------------------------- a row


def _contact(
    row: _Row, columns: list[str], seen: dict[str, str], twins: Counter[str], file: str
) -> Contact | Problem:
    """The contact of a row. `seen` are the ids of the rows before, with their places; `twins` counts the rows
    without an id that are told apart by their order alone."""
    values = _values(row.cells, columns)
    name, emails, phones = values["name"], _several(values["emails"]), _several(values["phones"])
    if not (name or emails or phones):
        reason = "the row has neither a name nor an e-mail address nor a phone number"
        return problem("contact-empty", reason, file=file, position=row.place)
    id = values["id"] or _derived(name, emails, phones, twins)
    if id in seen:
        reason = f"{seen[id]} has the same id, {id}"
        return problem("contact-twice", reason, file=file, position=row.place, field="id")
    seen[id] = row.place
    return Contact(
        id=id,
        name=name,
        emails=emails,
        phones=phones,
        manager=values["manager"].removeprefix("@"),
        custom_fields={
            _NO_KEY.sub("_", column): value
            for column, value in values.items()
            if column not in KNOWN and value
        },
        file=file,
        position=row.place,
    )


def _values(cells: list[str], columns: list[str]) -> dict[str, str]:
    """The cells by column. Of two columns with one name the first that is not empty counts."""
    values = dict.fromkeys(KNOWN, "")
    for number, cell in enumerate(cells):
        column = columns[number] if number < len(columns) else f"column{number}"
        values[column] = values.get(column, "") or _clean(cell)
    return values


def _clean(cell: str) -> str:
    return cell.replace("\0", "").encode("utf-8", "replace").decode().strip()


def _several(cell: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part for piece in cell.split(";") if (part := piece.strip())))


def _derived(name: str, emails: tuple[str, ...], phones: tuple[str, ...], twins: Counter[str]) -> str:
    """An id for a row without one: the same as long as its first address is, or else number or name."""
    key = emails[0].casefold() if emails else phones[0] if phones else name
    twins[key] += 1  # several people may share an address
    return derived_hex("contact row", key, str(twins[key]))
