"""Texts, whatever format they come from: pieces of Rocket.Chat's markdown, and how long they may be."""

import re
from collections.abc import Iterable

from chatferry.records import ChannelMention, GroupMention, Segment, Text, UserMention

VERY_LONG = 1_000_000  # characters
TOO_LONG = 12_000_000  # bytes of UTF-8; MongoDB holds no document over 16 MiB


def joined(segments: Iterable[Segment]) -> Text:
    """Return segments without empty ones, with neighbouring strings joined."""
    result: list[Segment] = []
    words: list[str] = []
    for segment in segments:
        if isinstance(segment, str):
            words.append(segment)
            continue
        if together := "".join(words):
            result.append(together)
        words.clear()
        result.append(segment)
    if together := "".join(words):
        result.append(together)
    return tuple(result)


def plain(text: Text) -> str:
    """Return a text for places that cannot hold mentions."""
    return "".join(_plain(segment) for segment in text)


def _plain(segment: Segment) -> str:
    match segment:
        case str():
            return segment
        case UserMention(id, label):
            return f"@{label or id}"
        case ChannelMention(id, label):
            return f"#{label or id}"
        case GroupMention(name):
            return f"@{name}"


def link(url: str, label: str) -> str:
    """Return a link in markdown; one that is labelled with itself stays bare."""
    address = url.removeprefix("mailto:").removeprefix("tel:")
    shown = label.strip()
    return address if not shown or shown in (address, url) else labelled(url, label)


_TICKS = re.compile("``+")
_CODE = re.compile("`([^`]+)`")
_PAIR = re.compile(r"\([^()]*\)")
_DELIMITERS = "_*~"
_BRACKET = re.compile("[()]")
_NO_ADDRESS = re.compile(r"[\s|\\]")


def labelled(url: str, label: str) -> str:
    """Return a labelled link in markdown that can be read whatever the two hold: Rocket.Chat shows no code in
    labels, ends them at "](" and addresses at a bracket that they do not open, and takes the marks of a style
    in both for a style that spans them."""
    if "`" in label:
        label = _CODE.sub(r"\1", _TICKS.sub("", label))
    label = label.replace("](", "] (")
    for delimiter in _DELIMITERS:
        if delimiter in label and delimiter in url:
            url = url.replace(delimiter, f"%{ord(delimiter):02X}")
    return f"[{label}]({_within_parentheses(url)})"


def _within_parentheses(url: str) -> str:
    url = _NO_ADDRESS.sub(_percent, url)
    return _BRACKET.sub(_percent, url) if _BRACKET.search(_PAIR.sub("", url)) else url


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode())


def is_web(address: str) -> bool:
    """Return whether an address is one that a browser opens."""
    return address.startswith(("https://", "http://"))


def delimited(text: str, delimiter: str) -> str:
    """Return a text between delimiters, which go inside of its spaces: `* bold*` is not bold."""
    core = text.strip()
    if not core:
        return text
    head = len(text) - len(text.lstrip())
    return f"{text[:head]}{delimiter}{core}{delimiter}{text[head + len(core) :]}"


def fitting(text: Text) -> tuple[Text, tuple[str, str] | None]:
    """Return a text, cut if no document could hold it, and kind and reason of a problem if it is long."""
    if len(text) == 1 and isinstance(text[0], str) and len(text[0]) <= VERY_LONG:
        return text, None
    if sum([len(segment) for segment in text if isinstance(segment, str)]) <= VERY_LONG:
        return text, None
    whole = plain(text).encode()
    if len(whole) <= TOO_LONG:
        reason = f"the text has over {VERY_LONG:,} characters; it was kept whole"
        return text, ("message-very-long", reason)
    reason = f"the text has {len(whole):,} bytes; the first {TOO_LONG:,} were kept"
    return (whole[:TOO_LONG].decode("utf-8", "ignore"),), ("message-cut", reason)
