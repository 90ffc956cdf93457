"""Pieces of SQL for values of any number."""

from collections.abc import Iterable, Iterator, Sequence

_VALUES = 10_000  # in one query; SQLite takes 32,766


def slices(values: Iterable[str], size: int = _VALUES) -> Iterator[list[str]]:
    """The values, as many at a time as one query takes, without those that no document can have."""
    known = list(values)
    try:
        "".join(known).encode()
    except UnicodeEncodeError:
        known = [value for value in known if value.encode(errors="ignore").decode() == value]
    for start in range(0, len(known), size):
        yield known[start : start + size]


def marks(values: Sequence[str]) -> str:
    return f"({','.join('?' * len(values))})"
