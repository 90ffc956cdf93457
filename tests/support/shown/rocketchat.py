"""What Rocket.Chat shows of a message: the rules of its parser of markdown, as far as they are needed.

The parser is npm package @rocket.chat/message-parser; tests/clients compares the two.
"""

import re
from typing import Any
from urllib.parse import unquote

from tests.support.shown.items import MARKS, Item, Items

_NAME = re.compile(r"[\w.-]+")
_ADDRESS = re.compile(r"https?://[^\s]+")
_ANGLED = re.compile(r"<((?:https?://|mailto:|tel:)[^\s|<>]+)\|([^<>|]+)>")
_MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_PHONE = re.compile(r"\+\d{5,}")
_EMOJI = re.compile(r":([\w+-]+):")
_TONE = re.compile(r"(.+)_tone([1-5])")
TONED = {"clap", "wave", "+1", "man_shrugging"}
EMOJI = {*TONED, "man-shrugging", "party_parrot", "pencil", "smile", "tada"}
_DOTTED = re.compile(r"\w\.\w\S*\Z")
_OPENS = "([*~`|"
_PUNCTUATION = "!\"%'()*,.:;=~"


def shown(document: dict[str, Any]) -> list[Item]:
    """Return what is shown of a document's text; names count where the document says whose they are."""
    people = {mention["username"] for mention in document.get("mentions", ())}
    rooms = {channel["name"] for channel in document.get("channels", ())}
    return _Reader(document["msg"], people, rooms).read()


class _Reader:
    def __init__(self, text: str, people: set[str], rooms: set[str]) -> None:
        self._text, self._place = text, 0
        self._since = 0  # where the last item ended that is no text
        self._names = {"@": people, "#": rooms}
        self._items = Items()

    def read(self) -> list[Item]:
        while self._place < len(self._text):
            at_start = self._place == 0 or self._text[self._place - 1] == "\n"
            if (at_start and self._line_start()) or self._inline():
                self._since = self._place
            else:
                self._items.text(self._text[self._place])
                self._place += 1
        return self._items.done()

    def _line_start(self) -> bool:
        """A fence is a line of its own, down to the next one; or the sign of a quote."""
        rest = self._text[self._place :]
        if rest.startswith("```\n"):
            inner, fence, _ = rest[4:].partition("\n```")
            if fence:
                self._items.add("code", inner)
                self._place += 4 + len(inner) + 4
                return True
        if rest.startswith("> "):
            self._place += 2
            return True
        return False

    def _inline(self) -> bool:
        match self._text[self._place]:
            case "`":
                return self._code()
            case "!":
                return self._text.startswith("[", self._place + 1) and self._link("picture", 1)
            case "[":
                return self._link("link", 0)
            case "<":
                return self._angled()
            case "@" | "#" as sign:
                return self._name(sign)
            case ":":
                return self._emoji()
        return self._address()

    def _code(self) -> bool:
        end = self._text.find("`", self._place + 1)
        inner = self._text[self._place + 1 : end]
        if end < 0 or not inner or "\n" in inner:
            return False
        self._items.add("code", inner)
        self._place = end + 1
        return True

    def _link(self, kind: str, skip: int) -> bool:
        """A label ends at the first "](", an address at a bracket that it does not open; after words that
        look like an address no link begins.
        """
        if _DOTTED.search(self._text[self._since : self._place][-40:]):
            return False
        middle = self._text.find("](", self._place)
        end, depth = middle + 2, 0
        while 0 < end < len(self._text) and not (self._text[end] == ")" and depth == 0):
            sign = self._text[end]
            depth += (sign == "(") - (sign == ")")
            if sign.isspace() or sign in "|\\" or depth > 1:
                return False
            end += 1
        if middle < 0 or end >= len(self._text):
            return False
        label = self._text[self._place + skip + 1 : middle]
        self._items.add(kind, label, self._text[middle + 2 : end])
        self._place = end + 1
        return True

    def _angled(self) -> bool:
        found = _ANGLED.match(self._text, self._place)
        if found is None:
            return False
        self._items.add("link", found[2], found[1])
        self._place = found.end()
        return True

    def _name(self, sign: str) -> bool:
        before = self._text[self._place - 1] if self._place else " "
        if before == "_":  # one that ends italics does not
            before = self._text[self._place - 2] if self._place > 1 else " "
        found = _NAME.match(self._text, self._place + 1)
        name = found[0].rstrip(".-") if found else ""
        ends_emoji = before == ":" and self._items.found[-1:] and self._items.found[-1].kind == "emoji"
        opens = before.isspace() or before in _OPENS or before in "])" or ends_emoji
        if not opens or name not in self._names[sign]:
            return False
        self._items.add("name", f"{sign}{name}")
        self._place += 1 + len(name)
        return True

    def _emoji(self) -> bool:
        found = _EMOJI.match(self._text, self._place)
        if found is None or not _add_emoji(found[1], self._items):
            return False
        self._place = found.end()
        return True

    def _address(self) -> bool:
        before = self._text[self._place - 1] if self._place else " "
        if not (before.isspace() or before in "("):
            return False
        for pattern, scheme in ((_ADDRESS, ""), (_MAIL, "mailto:"), (_PHONE, "tel:")):
            if found := pattern.match(self._text, self._place):
                url = found[0].rstrip(_PUNCTUATION) if not scheme else found[0]
                if scheme or "." in url.partition("://")[2].partition("/")[0]:
                    self._items.add("link", url, scheme + url)
                    self._place += len(url)
                    return True
        return False


def _add_emoji(name: str, items: Items) -> bool:
    """Add an emoji of the set, or one of the workspace's own; others stay text."""
    toned = _TONE.fullmatch(name)
    if toned is not None and toned[1] in TONED:
        items.add("emoji", f"{toned[1]} {toned[2]}")
    elif name in EMOJI:
        items.add("emoji", name)
    return name in EMOJI or (toned is not None and toned[1] in TONED)


def parsed(items: list[list[str]]) -> list[Item]:
    """Return the items that Rocket.Chat's own parser found."""
    found = Items()
    for kind, text, *target in items:
        if kind == "text" or (kind == "emoji" and not _add_emoji(text, found)):
            found.text(text if kind == "text" else f":{text}:")
        elif kind != "emoji":
            found.add(kind, text, *target)
    return found.done()


def decoded(items: list[Item]) -> list[Item]:
    """Return the items with addresses as browsers see them, whatever of them is percent-encoded; numbers
    without the sign of international ones, which Rocket.Chat leaves out of what it dials."""
    return [_decoded(item) for item in items]


def _decoded(item: Item) -> Item:
    text = unquote(item.text) if item.text.startswith("http") else item.text
    return item._replace(text=text, target=_without_marks(unquote(item.target)))


def _without_marks(target: str) -> str:
    if target.startswith("tel:"):
        return target.replace("+", "")
    return "".join(sign for sign in target if sign not in MARKS)
