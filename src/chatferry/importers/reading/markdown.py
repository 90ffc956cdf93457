"""A text put together so that Rocket.Chat's parser of markdown finds its links and the people it names.

What the parser (npm package @rocket.chat/message-parser) needs: white space or an opening sign before a
mention, and nothing after it that a username could go on with; white space around an address that has no
label, and no punctuation at its end; no word with a dot inside right before a labelled link. It takes what
stands between a "[" and the next "](" for a label: after a "[" links have the form `<address|label>`.
"""

import re

from msgspec import Struct

from chatferry.importers.reading.texts import labelled
from chatferry.records import Segment, Text

_OPENS_MENTION = frozenset("([*_`~|")
_FEW = 20  # signs that are looked at after a name
_GOES_ON = re.compile(r"[\w@]|[.:-]+\w")
_CLOSING = ".,:;!'\")"
_ENDS_ADDRESS = re.compile(rf"[{_CLOSING}]*\s")
_DOTTED = re.compile(r"\w\.\w\S*\Z")
_NOT_ANGLED = frozenset("<>|")
_STYLES = ("*", "_", "~")
_DELIMITERS = frozenset(_STYLES)
_NUMBER = re.compile(r"\+\d{6,15}")
_UNSAFE_END = "!\"%'()*,.:;=~"  # taken for the punctuation of the sentence


class Bare(Struct, frozen=True, gc=False):
    """An address without a label; `shown` is the text that people see, `is_found` whether the parser takes
    all of that for an address."""

    url: str
    shown: str
    is_found: bool


class Markdown:
    """A text that is put together piece by piece, in order; `done` returns it."""

    def __init__(self) -> None:
        self._segments: list[Segment] = []
        self._words: list[str] = []  # since the last mention, none of them empty
        self._is_name_open = False  # somebody was named, and nothing followed that ends a name
        self._bare: Bare | None = None  # waits for what follows it
        self._tail = ""  # punctuation after it
        self._is_label_open = False  # there is a "[" without a "](" after it

    def words(self, text: str) -> None:
        """Take words, or markdown."""
        if not text:
            return
        if "[" in text or (self._is_label_open and "](" in text):
            self._is_label_open = text.rfind("[") > text.rfind("](")
        if self._bare:
            self._after_bare(text)
            return
        if self._is_name_open:
            self._end_name(text)
        self._words.append(text)

    def mention(self, segment: Segment) -> None:
        if self._bare:
            self._settle("@")
        if self._words:
            if not self._opens_mention():
                self._words.append(" ")
            self._flush()
        elif self._segments:
            self._segments.append(" ")
        self._segments.append(segment)
        self._is_name_open = True

    def link(self, markdown: str) -> None:
        if self._bare:
            self._settle("[")
        is_open = self._is_label_open
        shown = _angled(markdown) if is_open else markdown
        self.words(f" {shown}" if self._hides_link() else shown)
        self._is_label_open = is_open and shown != markdown

    def bare(self, address: Bare) -> None:
        """Take an address without a label."""
        if self._bare:
            self._settle("h")
        before = self._before()
        if not address.is_found or before in _STYLES:
            self.link(labelled(address.url, address.shown))
            return
        if before and not before.isspace() and before != "(":
            self.words(" ")
        self._bare = address

    def code(self, text: Text) -> None:
        """Take code, in which nothing is changed."""
        if self._bare:
            self._settle("`")
        self._is_name_open = False
        for segment in text:
            if isinstance(segment, str):
                self._words.append(segment)
            else:
                self._name(segment)

    def done(self) -> Text:
        if self._bare:
            self._settle("\n")
        self._flush()
        return tuple(self._segments)

    def _before(self) -> str:
        """Return the sign before what comes next; "" at the beginning."""
        if self._words:
            return self._words[-1][-1]
        return "@" if self._segments else ""

    def _hides_link(self) -> bool:
        """Return whether a link would be a picture, after "!", or no link, after a word with a dot."""
        if not self._words or self._words[-1][-1] in " \n":
            return False
        before = ""
        for words in reversed(self._words[-_FEW:]):
            if words[0] == "[" or len(before) > _FEW:
                break
            before = words[-_FEW:] + before
        return before.endswith("!") or _DOTTED.search(before) is not None

    def _opens_mention(self) -> bool:
        """Return whether a name may follow the last of the words."""
        before = self._words[-1][-1]
        if before == "_":  # one that ends italics does not
            before = self._words[-1][-2:-1]
        return not before or before in _OPENS_MENTION or before.isspace()

    def _name(self, segment: Segment) -> None:
        self._flush()
        self._segments.append(segment)

    def _end_name(self, text: str) -> None:
        """Add a space after a name that the following words would continue."""
        if text[0] in " ,\n":
            self._is_name_open = False
            return
        if _GOES_ON.match("".join((*self._words, text[:_FEW]))) is not None:
            self._words.insert(0, " ")
        self._is_name_open = len(self._words) < _FEW and not text.strip(".:-")

    def _after_bare(self, text: str) -> None:
        self._tail += text
        if self._tail.strip(_CLOSING) or len(self._tail) > _FEW:
            tail, self._tail = self._tail, ""
            self._settle(tail)
            self._words.append(tail)

    def _settle(self, follows: str) -> None:
        """Write the address that waits, with a space if it would go on in what follows."""
        if self._bare is None:
            return
        address, self._bare = self._bare, None
        tail, self._tail = self._tail, ""
        if (tail or follows)[0] in _STYLES:
            link = labelled(address.url, address.shown)
            self._words.append(_angled(link) if self._is_label_open else link)
        elif _ENDS_ADDRESS.match(tail + follows[:_FEW]) is not None:
            self._words.append(address.shown)
        else:
            self._words.append(f"{address.shown} ")
        if tail:
            self._words.append(tail)

    def _flush(self) -> None:
        if self._words:
            self._segments.append("".join(self._words))
            self._words.clear()


def _angled(link: str) -> str:
    """Return a labelled link in the form that needs no "](", unless its label has signs of that form."""
    before, _, rest = link.partition("[")
    label, _, rest = rest.partition("](")
    url, _, after = rest.rpartition(")")
    return link if not url or not _NOT_ANGLED.isdisjoint(label) else f"{before}<{url}|{label}>{after}"


def bare(url: str, shown: str) -> Bare:
    """Return an address without a label; where it would not be found, and its marks of styles tear labels,
    with its brackets percent-encoded."""
    if not _is_found(url) and not _DELIMITERS.isdisjoint(shown) and url.startswith(("https://", "http://")):
        url = shown = _encoded(url)
    return Bare(url, shown, _is_found(url))


def _is_found(url: str) -> bool:
    scheme, _, rest = url.partition(":")
    if scheme == "tel":
        return _NUMBER.fullmatch(rest) is not None
    host = rest.removeprefix("//").partition("/")[0]
    return rest[-1:] not in _UNSAFE_END and ("." in host or host.startswith("localhost"))


def _encoded(url: str) -> str:
    url = url.replace("(", "%28").replace(")", "%29")
    return f"{url[:-1]}%{ord(url[-1]):02X}" if url[-1] in _UNSAFE_END else url
