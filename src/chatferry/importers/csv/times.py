"""Times, as CSV files write them."""

import re

from chatferry.importers.reading.timeline import iso_micros

_LAST = 253_402_300_000_000_000  # microseconds; the year 9999 ends here
_NUMBER = re.compile(r"(\d{1,20})(?:\.(\d{1,20}))?", re.ASCII)


def micros_of(text: str) -> int | None:
    """Return microseconds since the epoch; None if the text is not a time between 1970 and 9999.

    A number counts seconds, milliseconds, microseconds or nanoseconds: each has a range of its own.
    Other texts are ISO 8601, in UTC if they name no zone.
    """
    number = _NUMBER.fullmatch(text)
    time = _of_number(int(number[1]), number[2] or "") if number else iso_micros(text.removesuffix(" UTC"))
    return time if time is not None and 0 <= time < _LAST else None


def _of_number(whole: int, fraction: str) -> int:
    if whole < 10**11:
        return whole * 1_000_000 + int(f"{fraction:0<6.6}")
    if whole < 10**14:
        return whole * 1_000 + int(f"{fraction:0<3.3}")
    return whole if whole < 10**17 else whole // 1_000
