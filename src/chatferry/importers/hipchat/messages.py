"""One message of a HipChat export, as a record."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from chatferry.ids import derived_hex
from chatferry.importers.hipchat.schema import HipChatFile, Payload, import_id, sender_id, sender_name
from chatferry.importers.reading.html import from_html
from chatferry.importers.reading.json_list import NO_JSON, Flaw, lenient
from chatferry.importers.reading.json_stream import ElementRange
from chatferry.importers.reading.texts import fitting, is_web, joined
from chatferry.problems import NO_PROBLEMS, Position
from chatferry.records import ROCKET_CAT, File, GroupMention, Message, Problem, Segment, Text, UserMention

OTHER = "other"
"""The kind of a message of an unknown kind that has a text."""

_TYPES = {  # of files, by the end of their names: an image is to be shown
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp",
    "bmp": "image/bmp", "mp3": "audio/mpeg", "wav": "audio/wav", "ogg": "audio/ogg", "mp4": "video/mp4",
    "mov": "video/quicktime", "webm": "video/webm", "pdf": "application/pdf", "txt": "text/plain",
    "zip": "application/zip",
}  # fmt: skip


_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


_STORED_NAMES = {"history": "folder", "ranges": "runs", "duplicates": "twins"}
"""Names of fields in the data of parts that earlier versions stored."""


class History(Struct, frozen=True):
    """A history file and the id of the room or user that it belongs to."""

    file: str
    id: str
    is_room: bool


class HipChatPartSpec(Struct, frozen=True, kw_only=True, rename=_STORED_NAMES):
    """A part's `data`: messages of one channel in one file.

    moved        times (ms) of messages that would share one with another, by their numbers
    duplicates   numbers of messages that repeat another one
    broken       why nothing can be read from number `end` on
    """

    history: History
    channel: str
    ranges: list[ElementRange]
    moved: dict[int, int] = {}
    duplicates: list[int] = []
    names: dict[str, str] = {}
    broken: str = ""
    end: int = 0


def author_of(kind: str, payload: Payload) -> str:
    """Return the import id of a message's author; "" if that is an app or only a name."""
    return "" if kind == "notif" else sender_id(payload)


def channel_of(history: History, kind: str, payload: Payload) -> str:
    """Return the import id of the message's channel: the room, or the user's conversation with the other."""
    if history.is_room:
        return history.id
    author = author_of(kind, payload) or ROCKET_CAT
    return "/".join(sorted((author, import_id(payload.receiver) or history.id)))


def members_of(channel: str) -> tuple[str, ...]:
    """Return the people of a conversation, by its import id."""
    return tuple(dict.fromkeys(channel.split("/")))


def message_id(history: History, channel: str, kind: str, payload: Payload) -> str:
    """Return the id of a message, in Rocket.Chat's own scheme for messages from HipChat.

    A message without an id is identified by its content. In private conversations the scheme has nothing but
    HipChat's id: ids that are no UUIDs get more.
    """
    id = import_id(payload.id) or derived_hex(
        "hipchat message",
        sender_id(payload),
        sender_name(payload),
        payload.timestamp or "",
        payload.message or "",
    )
    if history.is_room:
        return f"hipchatenterprise-{channel}-{kind}-{id}"
    if kind == "private" and _UUID.fullmatch(id):
        return f"hipchatenterprise-private-{id}"
    return f"hipchatenterprise-{channel}-{kind}-{author_of(kind, payload) or sender_name(payload)}-{id}"


def unknown_event(value: Any, place: int) -> tuple[str, Payload | None, list[Flaw]]:
    """Return the name of an element of an unknown kind, its content if there is any, and its flaws."""
    for name, inner in value.items() if isinstance(value, dict) else ():
        if isinstance(inner, dict) and isinstance(inner.get("message"), str):
            return name, *lenient(inner, Payload, f"$[{place}]")
    return "", None, []


def to_record(
    kind: str,
    payload: Payload,
    ts: int,
    part: HipChatPartSpec,
    position: Position,
    stored: Callable[[str], bool],
) -> tuple[Message, tuple[Problem, ...]]:
    """Return the record of a message whose time is `ts`, and what could not be taken over.

    `stored(path)` tells whether the archive itself holds a file.
    """
    id = message_id(part.history, part.channel, kind, payload)
    author, alias = author_of(kind, payload), ""
    problems = NO_PROBLEMS
    if not author:
        author, alias = ROCKET_CAT, sender_name(payload)
        if not alias and kind != "notif":
            problems = (position.problem("message-without-author", "the message names no sender", "sender"),)
    if payload.card is not NO_JSON and bytes(payload.card) != b"null":
        problems += (position.problem("attachment-not-readable", "a card was left out", "card"),)
    text, long = fitting(_text(kind, payload, part.names))
    if long:
        problems += (position.problem(*long, "text"),)
    record = Message(
        id,
        part.channel,
        author,
        ts,
        text,
        position.file,
        position.index,
        system=_system(kind, payload),
        alias=alias,
        files=tuple(_files(payload, id, part.history, stored)),
    )
    return record, problems


def _system(kind: str, payload: Payload) -> str:
    """Return Rocket.Chat's message type; "" for an ordinary message."""
    if kind == "archive":
        return "room-unarchived" if payload.is_archived is False else "room-archived"
    return "room_changed_topic" if kind == "topic" else ""


# ---------------------------------------------------------------- text

_COMMAND = re.compile(r"/(me|code|quote)(?:[ \t]+|\r?\n)(.*)", re.DOTALL)
_NAME = re.compile(r"(```.*?```|`[^`\n]+`|(?<![\w@/.])@[\w.-]+)", re.DOTALL)


def _text(kind: str, payload: Payload, names: Mapping[str, str]) -> Text:
    text = payload.message or ""
    if kind == "archive":
        return ()
    if kind == "topic":
        return (text,) if text else ()
    if payload.message_format == "html":
        return with_names(from_html(text), names)
    command = _COMMAND.fullmatch(text)
    if command is None or not command[2].strip():
        return with_names(text, names)
    words = command[2].strip("\r\n")
    match command[1]:
        case "code":
            return (f"```\n{words}\n```",)
        case "quote":
            return with_names("\n".join(f"> {line}" for line in words.splitlines()), names)
    return joined(("_", *with_names(words.strip(), names), "_"))


def with_names(text: str, names: Mapping[str, str]) -> Text:
    """Return a text cut at the people whom it names. Names in code stay text."""
    if "@" not in text:
        return (text,) if text else ()
    return joined(_segment(piece, names) for piece in _cut(text))


def _cut(text: str) -> Iterator[str]:
    """Yield the pieces of a text. A dot or hyphen behind a name does not belong to it."""
    for number, piece in enumerate(_NAME.split(text)):
        if number % 2 and piece[0] == "@":
            name = piece.rstrip(".-")
            yield from (name, piece[len(name) :])
        else:
            yield piece


def _segment(piece: str, names: Mapping[str, str]) -> Segment:
    name = piece[1:].lower() if piece[:1] == "@" else ""
    if name in ("all", "here"):
        return GroupMention("all" if name == "all" else "here")
    return UserMention(names[name], piece[1:]) if name in names else piece


def names_in(text: str) -> Iterator[str]:
    """Return the @names in a text, in lower case."""
    return (match[0][1:].rstrip(".-").lower() for match in _NAME.finditer(text) if match[0][0] == "@")


# ---------------------------------------------------------------- files


def _files(payload: Payload, id: str, history: History, stored: Callable[[str], bool]) -> Iterator[File]:
    given = payload.attachment or (HipChatFile() if payload.attachment_path else None)
    if given is None:
        return
    path = given.path or payload.attachment_path or ""
    name = given.name or path.rpartition("/")[2] or "attachment"
    url = given.url or ""
    yield File(
        id=f"{id}-{name}",
        name=name,
        title=name,
        mime=_TYPES.get(name.rpartition(".")[2].lower(), ""),
        size=int(given.size) if given.size is not None and 0 <= given.size < 2**53 else None,
        url=url if is_web(url) else "",
        path=next((place for place in _places(path, history) if path and stored(place)), ""),
    )


def _places(path: str, history: History) -> tuple[str, ...]:
    """Return the paths that the bytes of a file may have in the archive."""
    if history.is_room:
        return f"rooms/{history.id}/files/{path}", path
    return f"users/files/{path}", f"users/{history.id}/files/{path}", path
