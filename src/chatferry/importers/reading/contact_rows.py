"""Rows of contacts: a CSV file whose first row names the columns.

Known columns are `id`, `name`, `emails`, `phones` (several of them separated by ";") and `manager` (a
username). Every other column is a custom field.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from chatferry.archive import Archive
from chatferry.errors import ArchiveError
from chatferry.ids import derived_hex
from chatferry.importers.reading.columns import Sheet, rows_of, where
from chatferry.importers.reading.table import HEAD, REPAIRED, Form, Row, form_of, is_text, repaired
from chatferry.importers.reading.table_people import MOST_NAME, username_of
from chatferry.problems import problem
from chatferry.records import Contact, Problem

KNOWN = ("id", "name", "emails", "phones", "manager")
_ALSO = {"email": "emails", "e-mail": "emails", "phone": "phones"}
_NO_KEY = re.compile(r"[.\0]|^\$")  # what MongoDB does not take, or reads as a path


def has_contact_header(archive: Archive, file: str) -> bool:
    """Return whether the first row names the columns of contacts; with a username they are accounts."""
    form, rows = _open(archive, file)
    columns = set(_columns(_texts(next(rows, (0, []))[1], form)))
    if "username" in {column.lower() for column in columns}:
        return False
    return bool(columns & {"emails", "phones"} or {"id", "name"} <= columns)


def read_contacts(archive: Archive, file: str) -> Iterator[Contact | Problem]:
    """Yield the contacts of a CSV file, and a problem for each row that is not a contact."""
    try:
        form, rows = _open(archive, file)
        line, cells = next(rows, (0, []))
    except ArchiveError as error:
        yield problem("file-not-readable", str(error), file=file)
        return
    header = _texts(cells, form)
    columns = _columns(header)
    if not set(columns) & {"name", "emails", "phones"}:
        yield _headless(header, line, file)
        return
    seen, same_keys = dict[str, str](), Counter[str]()
    are_texts = True
    try:
        for line, cells in rows:
            are_texts = are_texts and all(map(is_text, cells))
            yield _contact(where(line), _texts(cells, form), columns, seen, same_keys, file)
    except ArchiveError as error:
        reason = f"what follows cannot be read: {error}"
        yield problem("contact-not-readable", reason, file=file, position=where(line))
    if not are_texts:
        yield problem("file-encoding-guessed", REPAIRED, file=file)


# ---------------------------------------------------------------- rows and columns


def _open(archive: Archive, file: str) -> tuple[Form, Iterator[Row]]:
    with archive.open(file) as stream:
        form = form_of(stream.read(HEAD))
    return form, rows_of(archive, Sheet(file, form, (), 0))


def _texts(cells: Sequence[str], form: Form) -> list[str]:
    return [(cell if is_text(cell) else repaired(cell, form.encoding)).strip() for cell in cells]


def _headless(header: Sequence[str], line: int, file: str) -> Problem:
    if not header:
        return problem("file-not-readable", "the file is empty", file=file)
    reason = (
        "its first row does not name the columns: at least one of name, emails and phones was expected, "
        f"not {', '.join(header[:5])[:100]}"
    )
    return problem("file-not-readable", reason, file=file, position=where(line))


def _columns(names: Sequence[str]) -> list[str]:
    """Return the names of the columns; a column without a name has its number."""
    columns = []
    for number, name in enumerate(names):
        known = _ALSO.get(name.lower(), name.lower())
        columns.append(known if known in KNOWN else name or f"column{number}")
    return columns


# ---------------------------------------------------------------- a row


def _contact(
    place: str, cells: list[str], columns: list[str], seen: dict[str, str], same_keys: Counter[str], file: str
) -> Contact | Problem:
    """Return the contact of a row.

    `seen` are the ids of earlier rows with their places; `same_keys` counts rows without an id that only
    their order tells apart.
    """
    values = _values(cells, columns)
    name, emails, phones = values["name"], _several(values["emails"]), _several(values["phones"])
    if not (name or emails or phones):
        reason = "the row has neither a name nor an e-mail address nor a phone number"
        return problem("contact-empty", reason, file=file, position=place)
    long = next((column for column in ("id", "name") if len(values[column]) > MOST_NAME), "")
    if long:
        reason = f"the {long} has {len(values[long]):,} characters"
        return problem("contact-not-readable", reason, file=file, position=place, field=long)
    id = values["id"] or _derived(name, emails, phones, same_keys)
    if id in seen:
        reason = f"{seen[id]} has the same id, {id}"
        return problem("contact-twice", reason, file=file, position=place, field="id")
    seen[id] = place
    return Contact(
        id=id,
        name=name,
        emails=emails,
        phones=phones,
        manager=username_of(values["manager"]),
        custom_fields={
            _NO_KEY.sub("_", column): value
            for column, value in values.items()
            if column not in KNOWN and value
        },
        file=file,
        position=place,
    )


def _values(cells: list[str], columns: list[str]) -> dict[str, str]:
    """Return the cells by column. Of two columns with one name the first non-empty cell counts."""
    values = dict.fromkeys(KNOWN, "")
    for number, cell in enumerate(cells):
        column = columns[number] if number < len(columns) else f"column{number}"
        values[column] = values.get(column, "") or cell
    return values


def _several(cell: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part for piece in cell.split(";") if (part := piece.strip())))


def _derived(name: str, emails: tuple[str, ...], phones: tuple[str, ...], same_keys: Counter[str]) -> str:
    """Return an id for a row without one, made of its first address, or else its number or name."""
    key = emails[0].casefold() if emails else phones[0] if phones else name
    same_keys[key] += 1  # several people may share an address
    return derived_hex("contact row", key, str(same_keys[key]))
