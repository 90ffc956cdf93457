"""One row of a message file, as a message."""

from collections.abc import Sequence

from msgspec import Struct

from chatferry.ids import derived_hex
from chatferry.importers.csv.times import micros_of
from chatferry.importers.reading.columns import Sheet, Table, cell_of, fitted, row_problem
from chatferry.importers.reading.table import is_text, repaired
from chatferry.importers.reading.table_people import MOST_NAME, username_of
from chatferry.importers.reading.texts import fitting, plain
from chatferry.records import Problem

_USERNAME = ("user", "author", "sender", "from", "name", "login")
_RECIPIENT = ("to", "recipients", "receiver", "touser", "tousername")
_TIMESTAMP = ("time", "ts", "date", "datetime", "createdat", "sentat", "sent", "created", "milliseconds")
_TEXT = ("message", "msg", "body", "content", "messagetext")


def _is_time(cell: str) -> bool:
    return micros_of(cell) is not None


MESSAGES = Table(
    columns=("username", "timestamp", "text"),
    names={"username": _USERNAME, "timestamp": _TIMESTAMP, "text": _TEXT},
    is_content=_is_time,
)
DIRECT_MESSAGES = Table(
    columns=("from", "timestamp", "text", "to"),
    names={"from": ("username", *_USERNAME), "timestamp": _TIMESTAMP, "text": _TEXT, "to": _RECIPIENT},
    is_content=_is_time,
    order=(0, 2, 3, 1),
)


class MessageRow(Struct, frozen=True, gc=False, array_like=True):
    """A row with a message. `author` is "" if the row names none."""

    time: int  # in microseconds
    author: str
    others: tuple[str, ...]  # recipients of a direct message
    text: str


class Fault(Struct, frozen=True, array_like=True):
    """Why a row is not a message. `place` is the column's."""

    kind: str
    reason: str
    place: int
    name: str = ""  # of the column


def entry_of(cells: list[str], sheet: Sheet, is_direct: bool) -> MessageRow | Fault:
    """Return the message in a row, its text as it is written in the file, or why there is none."""
    cells = fitted(cells, sheet)
    needed = sheet.places
    if min(needed) < 0 or len(cells) <= max(needed):
        return _short(cells, sheet, is_direct)
    time = micros_of(cells[needed[1]].strip())
    if time is None:
        return _untimed(cell_of(cells, needed[1], sheet), needed[1])
    author = username_of(cell_of(cells, needed[0], sheet))
    if len(author) > MOST_NAME:
        return Fault(
            "message-not-readable", f"the name has {len(author):,} characters", needed[0], "username"
        )
    others: tuple[str, ...] = ()
    if is_direct:
        names = map(username_of, cell_of(cells, needed[3], sheet).replace(";", ",").split(","))
        others = tuple(name for name in names if name)
        if not author:
            return Fault("message-not-readable", "the row names no sender", needed[0], "from")
        if not others:
            return Fault("message-without-recipient", "the row names no recipient", needed[3], "to")
        if max(map(len, others)) > MOST_NAME:
            return Fault("message-not-readable", "the name of a recipient is too long", needed[3], "to")
    return MessageRow(time, author, others, cells[needed[2]])


def _short(cells: Sequence[str], sheet: Sheet, is_direct: bool) -> Fault:
    columns = (DIRECT_MESSAGES if is_direct else MESSAGES).columns
    missing = [name for name, place in zip(columns, sheet.places, strict=True) if place < 0]
    if missing:
        reason = f"the first row of the file names no column for {' and '.join(missing)}"
        return Fault("message-not-readable", reason, -1)
    usual = ", ".join(name for _, name in sorted(zip(sheet.places, columns, strict=True)))
    reason = f"the row has {len(cells)} of the cells {usual}"
    return Fault("message-not-readable", reason, -1)


def _untimed(cell: str, place: int) -> Fault:
    shown = cell if len(cell) <= 100 else f"{cell[:100]}..."
    reason = f"{shown!r} is not a time" if cell else "the message has no time"
    if "E+" in shown.upper():
        reason += ": a spreadsheet has rounded the number"
    return Fault("message-without-time", reason, place, "timestamp")


# ---------------------------------------------------------------- records


def text_of(cell: str, sheet: Sheet) -> str:
    """Return the text of a message, whatever its encoding."""
    if not is_text(cell):
        cell = repaired(cell, sheet.form.encoding)
    return cell.replace("\r\n", "\n").replace("\r", "\n") if "\r" in cell else cell


def message_id(channel: str, author: str, ms: int, text: str, ordinal: int) -> str:
    """Return the id of a message: the same in every export, of all that tells messages apart.

    `ordinal` counts equal messages of one millisecond. The case of names makes no difference.
    """
    return derived_hex("csv", channel.casefold(), author.casefold(), str(ms), str(ordinal), text)


def shortened(text: str, sheet: Sheet, line: int) -> tuple[str, Problem | None]:
    """Return a text as far as a document can hold it, and a problem if it is very long."""
    kept, long = fitting((text,))
    if long is None:
        return text, None
    return plain(kept), row_problem(*long, sheet, line, sheet.places[2], "text")
