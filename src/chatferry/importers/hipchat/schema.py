"""HipChat's JSON: the shapes of its export files.

Every element is an object with one key that says what it is: {"UserMessage": {...}}.
Format: https://confluence.atlassian.com/hipchatkb/exporting-from-hipchat-for-data-portability-950821555.html.
"""

import re

from msgspec import Raw, Struct

from chatferry.importers.reading.json_list import NO_JSON
from chatferry.importers.reading.timeline import iso_micros

Id = int | str


class Person(Struct, frozen=True, gc=False):
    """A person as messages and rooms name one."""

    id: Id | None = None
    name: str | None = None
    mention_name: str | None = None


Named = Person | Id


class HipChatUser(Person, frozen=True, kw_only=True):
    email: str | None = None
    title: str | None = None
    is_deleted: bool | None = None
    avatar: str | None = None  # a picture in base64


class UserEntry(Struct, frozen=True, rename={"user": "User"}):
    """An element of users.json."""

    user: HipChatUser | None = None


class HipChatRoom(Struct, frozen=True, kw_only=True):
    id: Id | None = None
    name: str | None = None
    topic: str | None = None
    created: str | None = None
    privacy: str | None = None
    is_archived: bool | None = None
    owner: Named | None = None
    members: list[Named] | None = None  # usually empty for public rooms: everybody may enter


class RoomEntry(Struct, frozen=True, rename={"room": "Room"}):
    """An element of rooms.json."""

    room: HipChatRoom | None = None


class HipChatFile(Struct, frozen=True, gc=False):
    name: str | None = None
    path: str | None = None
    url: str | None = None
    size: int | float | None = None


class Payload(Struct, frozen=True, kw_only=True, gc=False):
    """The content of a message of any kind: no kind has all fields."""

    id: Id | None = None
    timestamp: str | None = None
    sender: Named | None = None
    receiver: Named | None = None
    message: str | None = None
    message_format: str | None = None
    mentions: list[Named] | None = None
    attachment: HipChatFile | None = None
    attachment_path: str | None = None
    card: Raw = NO_JSON
    is_archived: bool | None = None


KINDS = {
    "user": "UserMessage",
    "notif": "NotificationMessage",
    "topic": "TopicRoomMessage",
    "private": "PrivateUserMessage",
    "archive": "ArchiveRoomMessage",
    "guest": "GuestAccessMessage",
}
"""Kinds of messages, as message ids name them, and the keys that HipChat writes."""


class Event(Struct, frozen=True, kw_only=True, gc=False, rename=KINDS):
    """An element of history.json. All fields are None if its kind is unknown."""

    user: Payload | None = None
    notif: Payload | None = None
    topic: Payload | None = None
    private: Payload | None = None
    archive: Payload | None = None
    guest: Payload | None = None

    @property
    def payload(self) -> tuple[str, Payload] | None:
        """The kind and the content of the message; None if the kind is unknown."""
        if self.user is not None:  # most are
            return "user", self.user
        for kind in ("private", "notif", "topic", "archive", "guest"):
            payload = getattr(self, kind)
            if payload is not None:
                return kind, payload
        return None


def import_id(named: Named | None) -> str:
    """Return an import id; "" if there is none, or for the 0 that HipChat writes for itself."""
    given = named.id if isinstance(named, Person) else named
    return "" if given is None or given in (0, "0") else str(given).strip()


def sender_id(payload: Payload) -> str:
    """Return the import id of the sender; "" if there is only a name."""
    sender = payload.sender
    if isinstance(sender, str):
        return import_id(sender) if sender.isascii() and sender.isdigit() else ""
    return import_id(sender)


def sender_name(payload: Payload) -> str:
    sender = payload.sender
    if isinstance(sender, Person):
        return sender.name or sender.mention_name or ""
    return sender if isinstance(sender, str) else ""


_LAST = 2**33 * 1_000_000  # in the year 2242
_TIME = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:?\d\d)?)(?: (\d{1,6}))?")


def micros(timestamp: str | None) -> int | None:
    """Return a time as microseconds since the epoch; None if it is invalid.

    HipChat writes "2018-08-08T14:23:54Z 626267", with the microseconds behind the space.
    """
    match = _TIME.fullmatch(timestamp) if timestamp and timestamp.isascii() else None
    exact = iso_micros(match[1]) if match else None
    if match is None or exact is None:
        return None
    exact += int(match[2] or 0)
    return exact if 0 <= exact < _LAST else None


def millis(timestamp: str | None) -> int | None:
    exact = micros(timestamp)
    return None if exact is None else exact // 1000
