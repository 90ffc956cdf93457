"""Values and bytes, cut into as much as a database takes at once."""

from collections.abc import Iterable, Iterator

CHUNK = 255 * 1024  # bytes of a file that Rocket.Chat keeps in one document
_VALUES = 5_000  # in one query: SQLite takes 32,766, and MongoDB 16 MB


def is_possible(value: str) -> bool:
    """Return whether a document can hold a text: none can hold lone surrogates."""
    return value.isascii() or value.encode(errors="ignore").decode() == value


def slices(values: Iterable[str], size: int = _VALUES) -> Iterator[list[str]]:
    """Yield lists of values, each as long as one query takes, without values that no document can hold."""
    known = list(values)
    try:
        "".join(known).encode()
    except UnicodeEncodeError:
        known = [value for value in known if is_possible(value)]
    for start in range(0, len(known), size):
        yield known[start : start + size]


def chunks(content: Iterable[bytes], size: int = CHUNK) -> Iterator[bytes]:
    """Yield the same bytes in chunks of a size, and the rest."""
    buffer = bytearray()
    for piece in content:
        buffer += piece
        while len(buffer) >= size:
            yield bytes(memoryview(buffer)[:size])
            del buffer[:size]
    if buffer:
        yield bytes(buffer)
