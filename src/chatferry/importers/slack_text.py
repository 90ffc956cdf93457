"""Slack's mrkdwn and rich_text blocks, as Rocket.Chat's markdown.

Bold, italic, strike and code look the same in both; tokens in angle brackets and the three entities do not.
Format: https://docs.slack.dev/messaging/formatting-message-text and
https://docs.slack.dev/reference/block-kit/blocks/rich-text-block.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from chatferry.importers.slack_wire import SLACKBOT, person
from chatferry.importers.texts import joined, link, marked, plain
from chatferry.records import ROCKET_CAT, ChannelMention, GroupMention, Segment, Text, UserMention

# Code, a token, or an emoji. Each alternative begins with a plain character: only then is the search fast.
_TOKEN = re.compile(
    r"(`(?:``.*?```|[^`\n]+`)|<[^<>\n]+>|:(?:simple_smile|memo|piggy|uk):)",
    re.DOTALL,
)
_BRACKETS = re.compile(r"(<[^<>\n]+>)")  # all there is to find where there is neither code nor emoji
_EMOJI = {":simple_smile:": ":smile:", ":memo:": ":pencil:", ":piggy:": ":pig:", ":uk:": ":gb:"}
_ALIAS = re.compile("|".join(_EMOJI))
_ALL, _HERE = GroupMention("all"), GroupMention("here")
_GROUPS = {"channel": _ALL, "everyone": _ALL, "group": _ALL, "here": _HERE}
_WEB = ("<https://", "<http://")
_SHORT = 200  # characters of tokens that are kept in memory
_DEEPEST = 32  # lists within lists; Slack itself has nine
_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:\S")
# A link to a file opens it without a log-in as long as its token is valid.
_SECRET = re.compile(r"(\?|&(?:amp;)?)(?:t|token)=xox[\w.%-]*(&(?:amp;)?)?")


def from_mrkdwn(text: str) -> Text:
    """A text with its tokens read first, and entities decoded after; code keeps its tokens as they are."""
    if "xox" in text:
        text = without_secrets(text)
    if "`" in text or (":" in text and _ALIAS.search(text) is not None):
        pieces = _TOKEN.split(text)  # text, token, text, token, ... text
    elif "<" in text:
        pieces = _BRACKETS.split(text)
    else:
        return (decode_entities(text) if "&" in text else text,) if text else ()
    escaped = "&" in text
    rest = iter(pieces)
    words = decode_entities(next(rest))
    segments: list[Segment] = []
    for token, after in zip(rest, rest, strict=True):
        segment = _token(token) if token[0] == "<" else _EMOJI.get(token) or decode_entities(token)
        if escaped:
            after = decode_entities(after)
        if type(segment) is str:
            words += segment + after
        else:
            if words:
                segments.append(words)
            segments.append(segment)
            words = after
    if words:
        segments.append(words)
    return tuple(segments)


def decode_entities(text: str) -> str:
    """Slack escapes exactly these three; `&amp;lt;` is a literal `&lt;`."""
    if "&" not in text:
        return text
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def without_secrets(text: str) -> str:
    """The text without the tokens that let anybody open the files it links to."""
    if "xox" not in text:
        return text
    # What follows the token moves up to its place: ?t=...&a=1 becomes ?a=1.
    return _SECRET.sub(lambda match: match[1] if match[2] else "", text)


def _token(token: str) -> Segment:
    """What a token says: `<@U1|ada>`, `<#C1|general>`, `<!here>`, `<https://x|label>`."""
    return _short_token(token) if len(token) <= _SHORT else _any_token(token)


@lru_cache(maxsize=4096)  # the same people and channels are named again and again
def _short_token(token: str) -> Segment:
    return _any_token(token)


def _any_token(token: str) -> Segment:
    target, _, label = token[1:-1].partition("|")
    kind = target[:1]
    if len(target) < 2:
        return decode_entities(token)
    if "&" in label:
        label = decode_entities(label)
    if kind == "@":
        id = target[1:]
        return UserMention(ROCKET_CAT if id == SLACKBOT else id, label.removeprefix("@"))
    if kind == "#":
        return ChannelMention(target[1:], label.removeprefix("#"))
    if kind == "!":
        return _command(target[1:], label)
    if token.startswith(_WEB) or _URL.match(target):
        return link(decode_entities(target) if "&" in target else target, label)
    return decode_entities(token)


def _command(command: str, label: str) -> Segment:
    if command in _GROUPS:
        return _GROUPS[command]
    name, _, argument = command.partition("^")
    if name in _GROUPS:
        return _GROUPS[name]
    if name == "subteam":
        return f"@{label.removeprefix('@') or argument}"
    return label or f"!{command}"


def group(name: str) -> Segment:
    """Everybody, or everybody who is there; other names stay text."""
    return _GROUPS.get(name) or f"@{name}"


# ---------------------------------------------------------------- blocks


def from_blocks(blocks: Any) -> Text:
    """The text of a message's blocks; () where they hold none, or too deep. Takes any JSON value."""
    lines: list[Segment] = []
    try:
        for block in _dicts(blocks):
            text = joined(_block(block))
            if text:
                lines.extend(("\n", *text) if lines else text)
    except RecursionError:
        return ()
    return joined(lines)


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))


def _string(block: dict[str, Any], key: str) -> str:
    value = block.get(key)
    return without_secrets(value) if isinstance(value, str) else ""


def _block(block: dict[str, Any]) -> Iterator[Segment]:
    match block.get("type"):
        case "rich_text":
            yield from _rich_text(block)
        case "section":
            yield from _texts([block.get("text"), *_dicts(block.get("fields"))])
        case "header":
            yield from _texts([block.get("text")], before="*", after="*")
        case "context":
            yield from _texts(list(_dicts(block.get("elements"))), between=" ")
        case "image":
            yield link(_string(block, "image_url"), _string(block, "alt_text"))


def _texts(objects: list[Any], before: str = "", after: str = "", between: str = "\n") -> Iterator[Segment]:
    """Text objects: {"type": "mrkdwn" or "plain_text", "text": ...}; images by their description."""
    first = True
    for item in objects:
        if not isinstance(item, dict):
            continue
        text = _string(item, "text") or _string(item, "alt_text")
        shown = (decode_entities(text),) if item.get("type") == "plain_text" else from_mrkdwn(text)
        if text:
            yield from ("" if first else between, before, *shown, after)
            first = False


def _rich_text(block: dict[str, Any]) -> Iterator[Segment]:
    inline = line_open = False  # the last element was a section; it did not end its line
    for element in _dicts(block.get("elements")):
        text = joined(_rich_element(element))
        is_section = element.get("type") == "rich_text_section"
        if line_open and not (inline and is_section):  # lists, quotes and code stand on lines of their own
            yield "\n"
        yield from text
        inline = is_section
        line_open = not (text and isinstance(text[-1], str) and text[-1].endswith("\n"))


def _rich_element(element: dict[str, Any], depth: int = 0) -> Iterator[Segment]:
    inner = element.get("elements")
    match element.get("type"):
        case "rich_text_section":
            yield from _inline(inner)
        case "rich_text_quote":
            yield from _quoted(joined(_inline(inner)))
        case "rich_text_preformatted":
            yield f"```\n{plain(joined(_inline(inner, styled=False)))}\n```"
        case "rich_text_list":
            yield from _list(element, depth + 1)


def _quoted(text: Text) -> Iterator[Segment]:
    yield "> "
    for segment in text:
        yield segment.replace("\n", "\n> ") if isinstance(segment, str) else segment


def _list(element: dict[str, Any], depth: int) -> Iterator[Segment]:
    if depth > _DEEPEST:
        raise RecursionError
    indent = element.get("indent")
    margin = "  " * min(indent, 8) if isinstance(indent, int) and indent > 0 else ""
    offset = element.get("offset")
    start = 1 + offset if isinstance(offset, int) else 1
    for number, item in enumerate(_dicts(element.get("elements"))):
        mark = f"{start + number}." if element.get("style") == "ordered" else "•"
        yield ("\n" if number else "") + f"{margin}{mark} "
        yield from _rich_element(item, depth)


def _inline(elements: Any, styled: bool = True) -> Iterator[Segment]:
    for element in _dicts(elements):
        segment = _inline_element(element)
        style = element.get("style")
        if styled and isinstance(segment, str) and isinstance(style, dict):
            segment = _styled(segment, style)
        yield segment


def _inline_element(element: dict[str, Any]) -> Segment:
    match element.get("type"):
        case "text":
            return _string(element, "text")
        case "link":
            return link(_string(element, "url"), _string(element, "text"))
        case "user":
            return UserMention(person(_string(element, "user_id")))
        case "channel":
            return ChannelMention(_string(element, "channel_id"))
        case "broadcast":
            return group(_string(element, "range"))
        case "usergroup":
            return f"@{_string(element, 'usergroup_id')}"
        case "emoji":
            tone = element.get("skin_tone")
            name = _string(element, "name")
            emoji = f":{name}:"
            return f":{name}::skin-tone-{tone}:" if isinstance(tone, int) else _EMOJI.get(emoji, emoji)
        case "date":
            return _string(element, "fallback") or str(element.get("timestamp", ""))
        case "color":
            return _string(element, "value")
    return _string(element, "text")


def _styled(text: str, style: dict[str, Any]) -> str:
    for name, mark in (("code", "`"), ("strike", "~"), ("italic", "_"), ("bold", "*")):
        if style.get(name) is True:
            text = marked(text, mark)
    return text
