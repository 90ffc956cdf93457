"""HTML as Rocket.Chat's markdown."""

import re
from collections import Counter
from html import unescape
from html.parser import HTMLParser

from chatferry.importers.reading.texts import delimited, link

# The standard library's parser takes a minute for 50 kB of "<a <a <a": it sees one short tag at a time.
_TAG = re.compile(r"(</?[a-zA-Z][^<>]{0,4000}>|<![^<>]{0,4000}>)")
_SPACE = re.compile(r"[ \t\r\n\f]+")
_ZEROS = re.compile(r"&#0+(?=[0-9])")
_NO_CHARACTER = re.compile(r"&#[0-9]{8,};?")
_TRAILING = re.compile(r" (?=\n)")
_SAFE = re.compile(r"(?:https?|ftp|mailto|tel):", re.IGNORECASE)

_DELIMITERS = {
    "b": "*", "strong": "*", "h1": "*", "h2": "*", "h3": "*", "h4": "*", "h5": "*", "h6": "*",
    "i": "_", "em": "_", "s": "~", "strike": "~", "del": "~", "code": "`", "tt": "`",
}  # fmt: skip
_WRAPPERS = {"pre", "blockquote", "a"}
_LISTS = {"ul", "ol"}
_HIDDEN = {"script", "style", "title", "head"}
_BLOCKS = {
    "p", "div", "table", "tr", "ul", "ol", "li", "pre", "blockquote", "hr", "section", "article",
    "h1", "h2", "h3", "h4", "h5", "h6",
}  # fmt: skip
_DEEPEST = 8  # lists within lists that are indented


def from_html(text: str) -> str:
    """Return HTML as markdown, without tags that markdown cannot express. Takes any text."""
    writer = _MarkdownWriter()
    for place, piece in enumerate(_TAG.split(text)):
        if place % 2:
            writer.tag(piece)
        else:
            writer.words(_unescaped(piece))
    return writer.end()


def _unescaped(text: str) -> str:
    """Return a text with its character references resolved; invalid ones become U+FFFD."""
    if "&#" in text:  # Python reads no numbers of thousands of digits
        text = _NO_CHARACTER.sub("\ufffd", _ZEROS.sub("&#", text))
    return unescape(text)


class _Open:
    """A tag that waits for its end. `place` is where its content begins in what is written."""

    def __init__(self, name: str, place: int, address: str = "") -> None:
        self.name = name
        self.place = place
        self.address = address
        self.items = 0


class _MarkdownWriter(HTMLParser):
    """A writer of markdown. A tag within one of its own kind has no effect, so nesting costs nothing."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._written: list[str] = []
        self._open: list[_Open] = []
        self._counts: Counter[str] = Counter()

    def tag(self, text: str) -> None:
        self.reset()
        self.feed(text)

    def words(self, text: str) -> None:
        if any(self._counts[name] for name in _HIDDEN):
            return
        if not self._counts["pre"]:
            text = _SPACE.sub(" ", text)
            text = text.lstrip(" ") if self._at_line_start() else text
        self._put(text)

    def end(self) -> str:
        while self._open:
            self._close()
        return _TRAILING.sub("", "".join(self._written).strip())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag in _BLOCKS:
            self._line(blank=tag == "p")
        if tag == "br":
            self._put("\n")
        elif tag == "img":
            self._put(_image(given))
        elif tag == "li":
            self._item()
        elif tag in ("td", "th") and not self._at_line_start():
            self._put(" | ")
        if tag in _LISTS or (tag in (*_DELIMITERS, *_WRAPPERS, *_HIDDEN) and not self._counts[_kind(tag)]):
            self._open.append(_Open(tag, len(self._written), given.get("href", "")))
            self._counts[_kind(tag)] += 1

    def handle_endtag(self, tag: str) -> None:
        if any(entry.name == tag for entry in self._open[-64:]):
            while self._close() != tag:
                pass
        if tag in _BLOCKS:
            self._line(blank=tag == "p")

    def _close(self) -> str:
        """Close the last open tag: put what it means around its content."""
        entry = self._open.pop()
        self._counts[_kind(entry.name)] -= 1
        if entry.name not in _LISTS:
            content = "".join(self._written[entry.place :])
            del self._written[entry.place :]
            self._put(self._wrapped(entry, content))
        return entry.name

    def _wrapped(self, entry: _Open, content: str) -> str:
        if entry.name == "a":
            label = " ".join(content.split())
            return link(entry.address, label) if _SAFE.match(entry.address) and label else content
        if entry.name == "pre":
            return f"```\n{content.strip(chr(10))}\n```" if content.strip() else content
        if entry.name == "blockquote":
            return "\n".join(f"> {line}" for line in content.strip().split("\n")) if content.strip() else ""
        delimiter = _DELIMITERS.get(entry.name, "")
        if not delimiter or self._counts["pre"]:
            return content
        return "\n".join(delimited(line, delimiter) for line in content.split("\n"))

    def _item(self) -> None:
        lists = [entry for entry in self._open[-64:] if entry.name in _LISTS]
        indent = "  " * min(max(len(lists) - 1, 0), _DEEPEST)
        if lists and lists[-1].name == "ol":
            lists[-1].items += 1
            self._put(f"{indent}{lists[-1].items}. ")
        else:
            self._put(f"{indent}• ")

    def _put(self, text: str) -> None:
        if text:
            self._written.append(text)

    def _at_line_start(self) -> bool:
        return not self._written or self._written[-1].endswith(("\n", " "))

    def _line(self, blank: bool = False) -> None:
        """Begin a new line, or a new paragraph."""
        ending = "".join([piece[-2:] for piece in self._written[-2:]])[-2:]
        if self._written and not ending.endswith("\n"):
            self._put("\n")
        if self._written and blank and ending != "\n\n":
            self._put("\n")


def _kind(tag: str) -> str:
    """Return the name that a tag shares with its synonyms: `b` and `strong` are one."""
    return _DELIMITERS.get(tag, tag)


def _image(given: dict[str, str]) -> str:
    address = given.get("src", "")
    label = " ".join((given.get("alt") or given.get("title") or "").split())
    if not _SAFE.match(address):
        return label
    return link(address, label)
