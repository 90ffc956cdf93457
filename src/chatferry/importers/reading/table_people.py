"""Usernames and e-mail addresses in cells of tables."""

import re

MOST_NAME = 500  # characters of a name; more is a text in the wrong column


def username_of(cell: str) -> str:
    return cell.strip().removeprefix("@")


def split(cell: str) -> tuple[str, ...]:
    """Return the values of a cell that holds several, each once."""
    values = (value.strip() for value in re.split(r"[;,\n]", cell))
    return tuple(dict.fromkeys(value for value in values if value))


def is_email(text: str) -> bool:
    return re.fullmatch(r"[^\s@]+@[^\s@]+", text) is not None and len(text) <= MOST_NAME
