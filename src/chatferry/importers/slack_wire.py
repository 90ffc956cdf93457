"""Slack's JSON: the shapes of its export files, and reading them whatever state they are in.

Format: https://slack.com/help/articles/220556107-How-to-read-Slack-data-exports and what exports hold.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct

from chatferry.records import ROCKET_CAT

T = TypeVar("T")

SLACKBOT = "USLACKBOT"


def person(id: str) -> str:
    """The import id of a person or bot; Rocket.Chat's own bot takes Slackbot's place."""
    return ROCKET_CAT if id == SLACKBOT else id


NO_JSON = Raw()
"""What an undecoded field holds where it is absent."""


class Topic(Struct, frozen=True):
    value: str | None = None


class ChannelPin(Struct, frozen=True):
    id: str | None = None
    created: int | None = None
    user: str | None = None


class SlackChannel(Struct, frozen=True, kw_only=True):
    """An entry of channels.json, groups.json, mpims.json, dms.json or file_conversations.json."""

    id: str
    name: str | None = None
    created: int | str | None = None  # a string in exports before 2014
    creator: str | None = None
    is_archived: bool | None = None
    is_general: bool | None = None
    is_private: bool | None = None
    is_im: bool | None = None
    is_mpim: bool | None = None
    user: str | None = None  # the other person, in lists made from Slack's API
    members: list[str] | None = None
    topic: Topic | None = None
    purpose: Topic | None = None
    pins: list[ChannelPin] | None = None


class Profile(Struct, frozen=True, kw_only=True):
    real_name: str | None = None
    display_name: str | None = None
    name: str | None = None
    email: str | None = None
    title: str | None = None
    status_text: str | None = None
    image_original: str | None = None
    image_512: str | None = None
    image_72: str | None = None
    bot_id: str | None = None


class SlackUser(Struct, frozen=True, kw_only=True):
    """An entry of users.json or org_users.json."""

    id: str
    name: str | None = None
    real_name: str | None = None
    deleted: bool | None = None
    is_bot: bool | None = None
    tz_offset: int | float | None = None
    profile: Profile = Profile()


class SlackFile(Struct, frozen=True, kw_only=True, gc=False):
    id: str = ""
    name: str | None = None
    title: str | None = None
    mimetype: str | None = None
    mode: str | None = None
    file_access: str | None = None
    size: int | None = None
    is_external: bool | None = None
    url_private: str | None = None
    url_private_download: str | None = None
    permalink: str | None = None
    preview: str | None = None
    original_w: int | float | None = None
    original_h: int | float | None = None


class SlackReaction(Struct, frozen=True, gc=False):
    name: str = ""
    users: list[str] = []
    count: int = 0


class Edited(Struct, frozen=True, gc=False):
    user: str | None = None
    ts: str | None = None


class Reply(Struct, frozen=True, gc=False):
    user: str | None = None
    ts: str | None = None


class Comment(Struct, frozen=True, gc=False):
    user: str | None = None
    comment: str | None = None


class Huddle(Struct, frozen=True, kw_only=True):
    created_by: str | None = None
    date_start: int | None = None
    date_end: int | None = None


class BotProfile(Struct, frozen=True, gc=False):
    name: str | None = None
    icons: dict[str, Any] | None = None


class PinnedItem(Struct, frozen=True, gc=False):
    ts: str | None = None


class Envelope(Struct, frozen=True, kw_only=True, gc=False):
    """What a first reading needs of a message: who, when, and the thread it belongs to."""

    type: str | None = None
    subtype: str | None = None
    ts: str | None = None
    thread_ts: str | None = None
    user: str | None = None
    bot_id: str | None = None
    username: str | None = None
    comment: Comment | None = None
    room: Huddle | None = None
    user_profile: Raw = NO_JSON
    bot_profile: Raw = NO_JSON
    reply_count: int | None = None
    reply_users: list[str] | None = None
    replies: list[Reply] | None = None
    latest_reply: str | None = None
    item: PinnedItem | None = None


class SlackMessage(Struct, frozen=True, kw_only=True, gc=False):
    """An element of a day file."""

    type: str | None = None
    subtype: str | None = None
    ts: str | None = None
    thread_ts: str | None = None
    user: str | None = None
    bot_id: str | None = None
    username: str | None = None
    text: str | None = None
    comment: Comment | None = None
    room: Huddle | None = None
    bot_profile: BotProfile | None = None
    icons: dict[str, Any] | None = None
    blocks: Raw = NO_JSON  # decoded only where it may hold more than `text`
    attachments: list[dict[str, Any]] | None = None
    files: list[SlackFile] | None = None
    file: SlackFile | None = None
    reactions: list[SlackReaction] | None = None
    edited: Edited | None = None
    reply_count: int | None = None
    reply_users: list[str] | None = None
    replies: list[Reply] | None = None
    latest_reply: str | None = None
    pinned_to: list[str] | None = None
    topic: str | None = None
    purpose: str | None = None
    name: str | None = None


class Flaw(Struct, frozen=True):
    """Something wrong in a file. `lost` if the element at `position` could not be read at all."""

    position: str
    field: str
    reason: str
    lost: bool = False
    repaired: bool = False


_TOP_FIELD = re.compile(r"\$\.(\w+)")
_UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError)


def decode_list(data: bytes, kind: type[T]) -> tuple[list[T | None], list[Flaw]]:
    """The elements of a JSON list, each as a `kind`, and what was wrong with them.

    An element that could not be read is None. A broken element costs only itself, a wrong field only the
    field, a broken file only what follows the break.
    """
    if b"\\u0000" not in data:
        try:
            return list(_decoder(kind).decode(data)), []
        except _UNREADABLE:
            pass
    flaws: list[Flaw] = []
    elements: list[T | None] = []
    for index, element in enumerate(_raw_elements(data)):
        value, found = _lenient(element, kind, f"$[{index}]")
        elements.append(value)
        flaws.extend(found)
    return elements, flaws


_decoders: dict[type, msgspec.json.Decoder[Any]] = {}


def _decoder(kind: type[T]) -> msgspec.json.Decoder[list[T]]:
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(list[kind])  # type: ignore[valid-type]
    return decoder


class _Broken(Struct, frozen=True):
    """The place from which on a file cannot be read."""

    reason: str


def _raw_elements(data: bytes) -> Iterator[Any]:
    """The list's elements as plain values, up to the first place that is no JSON."""
    text = data.decode("utf-8", "replace").lstrip("\ufeff")
    decoder = json.JSONDecoder(strict=False)  # lets control characters in strings pass, NUL among them
    place = _skip(text, 0)
    if text[place : place + 1] != "[":
        yield _Broken("the file does not hold a JSON list")
        return
    place = _skip(text, place + 1)
    while text[place : place + 1] != "]":
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            what = "it is nested too deeply" if isinstance(error, RecursionError) else "it is not valid JSON"
            yield _Broken(f"{what} from character {place} on")
            return
        yield value
        place = _skip(text, place)
        if text[place : place + 1] == ",":
            place = _skip(text, place + 1)
        elif text[place : place + 1] != "]":
            yield _Broken(f"the list breaks off or is damaged at character {place}")
            return


_SPACE = re.compile(r"[ \t\r\n]*")


def _skip(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    return match.end() if match else place


def _lenient(element: Any, kind: type[T], position: str) -> tuple[T | None, list[Flaw]]:
    """The element as a `kind`, without the fields that do not fit, and what was wrong with it."""
    if isinstance(element, _Broken):
        return None, [Flaw(position, "", element.reason, lost=True)]
    if not isinstance(element, dict):
        return None, [Flaw(position, "", f"an object was expected, not {_json_type(element)}", lost=True)]
    element, flaws = _clean(element, position)
    while True:
        try:
            return msgspec.json.decode(json.dumps(element), type=kind), flaws
        except _UNREADABLE as error:
            field = _TOP_FIELD.match(str(error).rpartition(" - at `")[2])
            if field is None or field[1] not in element:
                return None, [*flaws, Flaw(position, "", str(error), lost=True)]
            flaws.append(Flaw(position, field[1], str(error).partition(" - at ")[0]))
            element = {key: value for key, value in element.items() if key != field[1]}


def _clean(element: dict[str, Any], position: str) -> tuple[dict[str, Any], list[Flaw]]:
    """The element without NUL characters and lone surrogates, and flaws that say what was replaced."""
    text = json.dumps(element)
    if not any(sign in text for sign in ("\\u0000", "\\ufffd", "\\ud")):
        return element, []
    cleaned: list[str] = []
    fixed = {key: _clean_value(value, key, cleaned) for key, value in element.items()}
    return fixed, [
        Flaw(
            position,
            field,
            "characters that are no text (NUL bytes, invalid UTF-8) were replaced",
            repaired=True,
        )
        for field in dict.fromkeys(cleaned)
    ]


def _clean_value(value: Any, field: str, cleaned: list[str]) -> Any:
    if isinstance(value, str):
        good = value.replace("\0", "").encode("utf-8", "replace").decode()
        if good != value or "\ufffd" in value:
            cleaned.append(field)
        return good
    if isinstance(value, list):
        return [_clean_value(item, field, cleaned) for item in value]
    if isinstance(value, dict):
        return {key: _clean_value(item, field, cleaned) for key, item in value.items()}
    return value


def _json_type(value: Any) -> str:
    names = {str: "a string", bool: "a boolean", int: "a number", float: "a number", list: "a list"}
    return names.get(type(value), "null")
