"""Slack's blocks, rich text among them, as Rocket.Chat's markdown.

Format: https://docs.slack.dev/reference/block-kit/blocks and
https://docs.slack.dev/reference/block-kit/blocks/rich-text-block.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from chatferry.importers.reading.markdown import Bare, Markdown
from chatferry.importers.reading.texts import delimited, is_web, joined, labelled
from chatferry.importers.slack.schema import person
from chatferry.importers.slack.text import (
    address,
    decode_entities,
    emoji,
    from_mrkdwn,
    group,
    in_code,
    without_secrets,
)
from chatferry.records import ChannelMention, GroupMention, Segment, Text, UserMention

_DEEPEST = 32  # lists within lists; Slack itself has nine


def from_blocks(blocks: Any) -> Text:
    """Return the text of a message's blocks; () if they hold none, or nest too deep. Takes any JSON."""
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


def _url(block: dict[str, Any], key: str) -> str:
    """Return an address; blocks escape it, what people read beside it they do not."""
    return decode_entities(_string(block, key))


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
            yield _picture(block)


def _picture(block: dict[str, Any]) -> str:
    title = block.get("title")
    label = (_string(title, "text") if isinstance(title, dict) else "") or _string(block, "alt_text")
    url = _url(block, "image_url")
    return f"!{labelled(url, label)}" if is_web(url) else label


def _texts(objects: list[Any], before: str = "", after: str = "", between: str = "\n") -> Iterator[Segment]:
    """Yield text objects: {"type": "mrkdwn" or "plain_text", "text": ...}; images by description."""
    first = True
    for item in objects:
        if not isinstance(item, dict):
            continue
        text = _string(item, "text") or _string(item, "alt_text")
        shown = (decode_entities(text),) if item.get("type") == "plain_text" else from_mrkdwn(text)
        if text:
            yield from ("" if first else between, before, *shown, after)
            first = False


# ---------------------------------------------------------------- rich text


def _rich_text(block: dict[str, Any]) -> Iterator[Segment]:
    """Yield sections one after the other on a line; lists, quotes and code on lines of their own."""
    line_open = after_code = False  # what came before did not end its line; it was code
    for is_section, elements in groupby(_dicts(block.get("elements")), _is_section):
        for element in [_together(elements)] if is_section else elements:
            text = joined(_rich_element(element))
            if after_code:
                text = _trimmed(text, at_end=False)
            if line_open:
                yield "\n"
            yield from text
            after_code = element.get("type") == "rich_text_preformatted"
            line_open = not (text and isinstance(text[-1], str) and text[-1].endswith("\n"))


def _is_section(element: dict[str, Any]) -> bool:
    return element.get("type") == "rich_text_section"


def _together(sections: Iterable[dict[str, Any]]) -> dict[str, Any]:
    inner = [element for section in sections for element in _dicts(section.get("elements"))]
    return {"type": "rich_text_section", "elements": inner}


def _rich_element(element: dict[str, Any], depth: int = 0) -> Iterator[Segment]:
    inner = element.get("elements")
    match element.get("type"):
        case "rich_text_section":
            yield from _inline(inner)
        case "rich_text_quote":
            yield from _quoted(_inline(inner))
        case "rich_text_preformatted":
            yield from ("```\n", *_trimmed(joined(map(_coded, _dicts(inner)))), "\n```")
        case "rich_text_list":
            yield from _list(element, depth + 1)


def _trimmed(text: Text, at_end: bool = True) -> Text:
    """Return the text without empty lines at its beginning, and at its end."""
    segments = list(text)
    if segments and isinstance(segments[0], str):
        segments[0] = segments[0].lstrip("\n")
    if at_end and segments and isinstance(segments[-1], str):
        segments[-1] = segments[-1].rstrip("\n")
    return tuple(segment for segment in segments if segment)


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
        delimiter = f"{start + number}." if element.get("style") == "ordered" else "•"
        yield ("\n" if number else "") + f"{margin}{delimiter} "
        yield from _rich_element(item, depth)


def _inline(elements: Any) -> Text:
    line = Markdown()
    for url, parts in groupby(_dicts(elements), _link_of):
        if url:
            _write_link(url, list(parts), line)
            continue
        for element in parts:
            segment = _inline_element(element)
            if isinstance(segment, str):
                line.words(_styled(segment, element))
            else:
                line.mention(segment)
    return line.done()


def _link_of(element: dict[str, Any]) -> str:
    return _url(element, "url") if element.get("type") == "link" else ""


def _write_link(url: str, parts: list[dict[str, Any]], line: Markdown) -> None:
    """Write links that follow each other and have one address: the parts of one link, cut by their styles."""
    label = "".join(_string(part, "text") for part in parts)
    shown = address(url, label)
    if isinstance(shown, Bare) and not _styles(parts[0]):
        line.bare(shown)
    elif len(parts) == 1 or isinstance(shown, Bare):
        link = shown if isinstance(shown, str) else labelled(url, shown.shown)
        line.link(_styled(link, parts[0], in_label=True))
    else:
        line.link(
            labelled(url, "".join(_styled(_string(part, "text"), part, in_label=True) for part in parts))
        )


def _inline_element(element: dict[str, Any]) -> Segment:
    match element.get("type"):
        case "user":
            return UserMention(person(_string(element, "user_id")))
        case "channel":
            return ChannelMention(_string(element, "channel_id"))
        case "broadcast":
            return group(_string(element, "range"))
        case "usergroup":
            return f"@{_string(element, 'usergroup_id')}"
        case "emoji":
            name, tone = _string(element, "name"), element.get("skin_tone")
            return emoji(f"{name}::skin-tone-{tone}" if isinstance(tone, int) else name)
        case "date":
            return _string(element, "fallback") or str(element.get("timestamp", ""))
        case "color":
            return _string(element, "value")
    return _string(element, "text")


def _coded(element: dict[str, Any]) -> Segment:
    """Return what an element shows in code."""
    if url := _link_of(element):
        return in_code(url, _string(element, "text"))
    segment = _inline_element(element)
    return f"@{_string(element, 'range')}" if isinstance(segment, GroupMention) else segment


def _styles(element: dict[str, Any]) -> list[str]:
    """Return the delimiters of an element's styles, the innermost first."""
    style = element.get("style")
    if not isinstance(style, dict):
        return []
    delimiters = (("code", "`"), ("strike", "~"), ("italic", "_"), ("bold", "*"))
    return [delimiter for name, delimiter in delimiters if style.get(name) is True]


def _styled(text: str, element: dict[str, Any], in_label: bool = False) -> str:
    for delimiter in _styles(element):
        if not (in_label and delimiter == "`"):  # Rocket.Chat shows no code in labels
            text = delimited(text, delimiter)
    return text
