"""The bytes of a file that a request asks for. Pure."""

import re
from collections.abc import Mapping

from msgspec import Struct

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class ByteRange(Struct, frozen=True):
    """The bytes from `start` to before `end`."""

    start: int
    end: int


def requested_range(headers: Mapping[str, str], size: int, etag: str) -> ByteRange | None:
    """Return the range that the headers of a request ask for; None for the whole file.

    Several ranges, and a range of another version of the file, are answered with the whole file.
    Raise ValueError if the file does not have these bytes.
    """
    matched = _RANGE.fullmatch(headers.get("range", "").strip())
    if matched is None or headers.get("if-range", etag) != etag or matched[0] == "bytes=-":
        return None
    first, last = matched[1], matched[2]
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= end:
        raise ValueError(f"the file has {size} bytes")
    return ByteRange(start, end)
