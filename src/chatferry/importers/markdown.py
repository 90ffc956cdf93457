"""A text put together so that Rocket.Chat's parser of markdown finds its links and the people it names.

What the parser (npm package @rocket.chat/message-parser) needs: white space or an opening sign before a
mention, and nothing after it that a username could go on with; white space around an address that has no
label, and no punctuation at its end.
"""

import re

from msgspec import Struct

from chatferry.importers.texts import labelled
from chatferry.records import Segment, Text

_OPENS_MENTION = frozenset("([*_`~|")
_GOES_ON = re.compile(r"[\w@]|[.:-]+\w")
_ENDS_ADDRESS = re.compile(r"[.,:;!'\")]*(?:\s|\Z)")
_UNSAFE_END = "!\"%'()*,.:;=~"  # taken for the punctuation of the sentence


class Bare(Struct, frozen=True, gc=False):
    """An address that is shown without a label."""

    url: str


class Markdown:
    """Takes the pieces of a text in order; `done` is the text."""

    def __init__(self) -> None:
        self._segments: list[Segment] = []
        self._words: list[str] = []  # since the last mention, none of them empty
        self._bare = ""  # an address that stays bare if what follows lets it

    def words(self, text: str) -> None:
        """Take words, or markdown."""
        if not text:
            return
        if self._bare:
            self._settle(_ENDS_ADDRESS.match(text) is not None)
        elif not self._words and self._segments and _GOES_ON.match(text) is not None:
            self._words.append(" ")
        self._words.append(text)

    def mention(self, segment: Segment) -> None:
        """Take somebody or something named."""
        if self._bare:
            self._settle(False)
        before = self._before()
        if before and not before.isspace() and before not in _OPENS_MENTION:
            self._words.append(" ")
        self._name(segment)

    def link(self, markdown: str) -> None:
        """Take a labelled link; after "!" it would be a picture."""
        self.words(f" {markdown}" if self._before() == "!" and not self._bare else markdown)

    def bare(self, url: str) -> None:
        """Take an address without a label."""
        before = "" if self._bare else self._before()
        if self._bare or not (is_safe(url) and (not before or before.isspace() or before == "(")):
            self.link(labelled(url, url))
        else:
            self._bare = url

    def code(self, text: Text) -> None:
        """Take code, in which nothing is changed."""
        for segment in text:
            if isinstance(segment, str):
                self.words(segment)
            else:
                self._name(segment)

    def done(self) -> Text:
        """Return the text."""
        if self._bare:
            self._settle(True)
        self._flush()
        return tuple(self._segments)

    def _before(self) -> str:
        """Return the sign before what comes next; "" at the beginning."""
        if self._words:
            return self._words[-1][-1]
        return "@" if self._segments else ""

    def _name(self, segment: Segment) -> None:
        self._flush()
        self._segments.append(segment)

    def _settle(self, is_bare: bool) -> None:
        url, self._bare = self._bare, ""
        self._words.append(url if is_bare else labelled(url, url))

    def _flush(self) -> None:
        if self._words:
            self._segments.append("".join(self._words))
            self._words.clear()


def is_safe(url: str) -> bool:
    """Whether the parser takes all of an address for one."""
    host = url.partition("://")[2].partition("/")[0]
    return url[-1] not in _UNSAFE_END and ("." in host or host.startswith("localhost"))
