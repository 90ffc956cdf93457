"""One message of a HipChat export, as a record."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from chatferry.ids import derived_hex
from chatferry.importers.hipchat.schema import HipChatFile, Said, import_id, sender_id, sender_name
from chatferry.importers.reading.html import from_html
from chatferry.importers.reading.json_list import NO_JSON, Flaw, lenient
from chatferry.importers.reading.texts import fitting, joined
from chatferry.problems import Position
from chatferry.records import ROCKET_CAT, File, GroupMention, Message, Problem, Segment, Text, UserMention

OTHER = "other"
"""The kind of a message that nobody knows, but that says something."""

_TYPES = {  # of files, by the end of their names: an image is to be shown
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp",
    "bmp": "image/bmp", "mp3": "audio/mpeg", "wav": "audio/wav", "ogg": "audio/ogg", "mp4": "video/mp4",
    "mov": "video/quicktime", "webm": "video/webm", "pdf": "application/pdf", "txt": "text/plain",
    "zip": "application/zip",
}  # fmt: skip


_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class Folder(Struct, frozen=True):
    """A history file, and whose it is: a room's or a user's."""

    file: str
    id: str
    is_room: bool


def author_of(kind: str, said: Said) -> str:
    """The import id of who wrote a message; "" where it is an app, or there is only a name."""
    return "" if kind == "notif" else sender_id(said)


def channel_of(folder: Folder, kind: str, said: Said) -> str:
    """The import id of the channel that a message of this history belongs to.

    In a user's history, that is his conversation with the sender or with the receiver.
    """
    if folder.is_room:
        return folder.id
    author = author_of(kind, said) or ROCKET_CAT
    return "/".join(sorted((author, import_id(said.receiver) or folder.id)))


def members_of(channel: str) -> tuple[str, ...]:
    """The people of a conversation, by its import id."""
    return tuple(dict.fromkeys(channel.split("/")))


def message_id(folder: Folder, channel: str, kind: str, said: Said) -> str:
    """Rocket.Chat's own scheme for messages from HipChat. One without an id is known by what it says.

    In private conversations that scheme has nothing but HipChat's id: whatever is no UUID gets more.
    """
    id = import_id(said.id) or derived_hex(
        "hipchat message", sender_id(said), sender_name(said), said.timestamp or "", said.message or ""
    )
    if folder.is_room:
        return f"hipchatenterprise-{channel}-{kind}-{id}"
    if kind == "private" and _UUID.fullmatch(id):
        return f"hipchatenterprise-private-{id}"
    return f"hipchatenterprise-{channel}-{kind}-{author_of(kind, said) or sender_name(said)}-{id}"


def unknown_event(value: Any, place: int) -> tuple[str, Said | None, list[Flaw]]:
    """The name of an element of a kind that nobody knows, what it says if anything, and what is wrong."""
    for name, inner in value.items() if isinstance(value, dict) else ():
        if isinstance(inner, dict) and isinstance(inner.get("message"), str):
            return name, *lenient(inner, Said, f"$[{place}]")
    return "", None, []


def to_record(
    kind: str,
    said: Said,
    ts: int,
    folder: Folder,
    channel: str,
    names: Mapping[str, str],
    spot: Position,
    stored: Callable[[str], bool],
    problems: list[Problem],
) -> Message:
    """The record of a message whose time is `ts`; what could not be taken over goes to `problems`.

    `names` has the ids behind @names; `stored(path)` tells whether the archive itself holds a file.
    """
    id = message_id(folder, channel, kind, said)
    author, alias = _author(kind, said, spot, problems)
    if said.card is not NO_JSON and bytes(said.card) != b"null":
        problems.append(spot.problem("attachment-not-readable", "a card was left out", "card"))
    text, long = fitting(_text(kind, said, names))
    if long:
        problems.append(spot.problem(*long, "text"))
    return Message(
        id,
        channel,
        author,
        ts,
        text,
        spot.file,
        spot.index,
        system=_system(kind, said),
        alias=alias,
        files=tuple(_files(said, id, folder, stored)),
    )


def _author(kind: str, said: Said, spot: Position, problems: list[Problem]) -> tuple[str, str]:
    """The import id of the author, and the name to show instead of the author's own."""
    name = sender_name(said)
    if id := author_of(kind, said):
        return id, ""
    if not name and kind != "notif":
        problems.append(spot.problem("message-without-author", "the message names no sender", "sender"))
    return ROCKET_CAT, name


def _system(kind: str, said: Said) -> str:
    """Rocket.Chat's message type."""
    if kind == "archive":
        return "room-unarchived" if said.is_archived is False else "room-archived"
    return "room_changed_topic" if kind == "topic" else ""


# ---------------------------------------------------------------- text

_COMMAND = re.compile(r"/(me|code|quote)(?:[ \t]+|\r?\n)(.*)", re.DOTALL)
_NAME = re.compile(r"(```.*?```|`[^`\n]+`|(?<![\w@/.])@[\w.-]+)", re.DOTALL)


def _text(kind: str, said: Said, names: Mapping[str, str]) -> Text:
    text = said.message or ""
    if kind == "archive":
        return ()
    if kind == "topic":
        return (text,) if text else ()
    if said.message_format == "html":
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
    """The text, cut where it names somebody, or everybody; code keeps its names as they are."""
    if "@" not in text:
        return (text,) if text else ()
    return joined(_segment(piece, names) for piece in _cut(text))


def _cut(text: str) -> Iterator[str]:
    """The pieces of a text; a dot or hyphen behind a name is no part of it."""
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
    """The @names in a text, in lower case."""
    return (match[0][1:].rstrip(".-").lower() for match in _NAME.finditer(text) if match[0][0] == "@")


# ---------------------------------------------------------------- files


def _files(said: Said, id: str, folder: Folder, stored: Callable[[str], bool]) -> Iterator[File]:
    given = said.attachment or (HipChatFile() if said.attachment_path else None)
    if given is None:
        return
    path = given.path or said.attachment_path or ""
    name = given.name or path.rpartition("/")[2] or "attachment"
    url = given.url or ""
    yield File(
        id=f"{id}-{name}",
        name=name,
        title=name,
        mime=_TYPES.get(name.rpartition(".")[2].lower(), ""),
        size=int(given.size) if given.size is not None and 0 <= given.size < 2**53 else None,
        url=url if url.startswith(("https://", "http://")) else "",
        path=next((place for place in _places(path, folder) if path and stored(place)), ""),
    )


def _places(path: str, folder: Folder) -> tuple[str, ...]:
    """Where the bytes of a file may lie in the archive."""
    if folder.is_room:
        return f"rooms/{folder.id}/files/{path}", path
    return f"users/files/{path}", f"users/{folder.id}/files/{path}", path
