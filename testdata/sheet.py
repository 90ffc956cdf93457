"""Tables as CSV files in several styles, with the place of each row."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

Style = Literal["tidy", "excel", "windows"]


class _Form(Struct, frozen=True):
    encoding: str
    delimiter: str
    newline: str
    head: str = ""


_FORMS = {
    "tidy": _Form("utf-8", ",", "\n"),
    "excel": _Form("utf-16", ";", "\r\n", "sep=;\r\n"),
    "windows": _Form("cp1252", "\t", "\r\n"),
}


class Sheet:
    """Rows as they are added. Every 40th has a blank line before it.

    tidy     UTF-8, commas
    excel    UTF-16, semicolons, a line that says so, Windows line ends
    windows  Windows-1252, tabs, Windows line ends
    """

    def __init__(self, style: Style) -> None:
        self._form = _FORMS[style]
        self._text = self._form.head
        self._rows = 0

    def add(self, cells: Sequence[str], *, short: bool = False) -> str:
        """Add a row (without the empty cells at its end if `short`); its position."""
        self._rows += 1
        self._text += self._form.newline if self._rows % 40 == 0 else ""
        line = self._text.count("\n") + 1
        cells = list(cells)
        while short and cells and not cells[-1]:
            cells.pop()
        self._text += self._form.delimiter.join(map(quoted, cells)) + self._form.newline
        return f"row {line}"

    @property
    def data(self) -> bytes:
        return self._text.encode(self._form.encoding)


def quoted(cell: str) -> str:
    """A cell as it stands in a file."""
    if not any(mark in cell for mark in ',;"\n\t'):
        return cell
    return '"' + cell.replace('"', '""') + '"'
