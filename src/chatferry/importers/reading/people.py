"""Usernames and e-mail addresses in cells of tables."""

import re

from msgspec.structs import replace

from chatferry.importers.reading.columns import (
    Sheet,
    column,
    where,
)
from chatferry.problems import MOST_OF_RECORD, Notes, problem
from chatferry.records import Problem

MOST_NAME = 500  # characters of a name; more is a text in the wrong column


def username_of(cell: str) -> str:
    return cell.strip().removeprefix("@")


def split(cell: str) -> tuple[str, ...]:
    """Return the values of a cell that holds several, each once."""
    values = (value.strip() for value in re.split(r"[;,\n]", cell))
    return tuple(dict.fromkeys(value for value in values if value))


def emails_of(cell: str, sheet: Sheet, line: int) -> tuple[tuple[str, ...], list[Problem]]:
    """Split a cell into e-mail addresses and problems."""
    emails: list[str] = []
    flaws = Notes(MOST_OF_RECORD)
    field = column(sheet, sheet.places[1], "email")
    for email in split(cell):
        if _is_email(email):
            emails.append(email)
            continue
        reason = f"{email[:100]!r} is not an e-mail address"
        flaw = problem("field-dropped", reason, file=sheet.file, position=where(line), field=field)
        flaws.append(replace(flaw, record="user"))
    return tuple(emails), flaws


def _is_email(text: str) -> bool:
    return re.fullmatch(r"[^\s@]+@[^\s@]+", text) is not None and len(text) <= MOST_NAME
