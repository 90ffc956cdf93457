"""What is shown of a text: a list of items in order. White space outside of code and the marks of styles
do not count."""

from typing import NamedTuple

MARKS = frozenset("*_~")


class Item(NamedTuple):
    """`kind` is text, link, code, name, emoji or picture; `target` is where a link leads."""

    kind: str
    text: str
    target: str = ""


class Items:
    """Puts items together; text that follows text is one item."""

    def __init__(self) -> None:
        self.found: list[Item] = []
        self._text: list[str] = []

    def text(self, text: str) -> None:
        self._text.extend(sign for sign in text if not sign.isspace() and sign not in MARKS)

    def add(self, kind: str, text: str, target: str = "") -> None:
        self._end_text()
        text = text.strip("\n") if kind == "code" else "".join(text.split())
        if kind in ("link", "picture"):
            text = "".join(sign for sign in text if sign not in MARKS)
        self.found.append(Item(kind, text, target))

    def done(self) -> list[Item]:
        self._end_text()
        return self.found

    def _end_text(self) -> None:
        if self._text:
            self.found.append(Item("text", "".join(self._text)))
            self._text.clear()
