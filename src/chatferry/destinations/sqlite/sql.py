"""Pieces of SQL for values of any number."""

from collections.abc import Sequence


def placeholders(values: Sequence[str]) -> str:
    """Return the list that stands for the values in a statement."""
    return f"({','.join('?' * len(values))})"
