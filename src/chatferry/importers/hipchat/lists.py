"""The lists of a HipChat export: users.json and rooms.json."""

import re
from collections.abc import Callable, Iterator
from typing import TypeVar

from msgspec import Struct

from chatferry.archive import Archive
from chatferry.importers.hipchat.schema import (
    HipChatRoom,
    HipChatUser,
    RoomEntry,
    UserEntry,
    import_id,
    millis,
)
from chatferry.importers.reading.json_list import Flaw, flaw_problem
from chatferry.importers.reading.json_stream import read_list
from chatferry.importers.reading.texts import is_web
from chatferry.problems import MOST_OF_ARCHIVE, Notes, problem
from chatferry.records import Channel, Problem, RecordType, User

E = TypeVar("E", UserEntry, RoomEntry)
T = TypeVar("T", HipChatUser, HipChatRoom)

USERS, ROOMS = "users.json", "rooms.json"

_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_PICTURES = {"iVBOR": "image/png", "/9j/": "image/jpeg", "R0lG": "image/gif", "UklGR": "image/webp"}


class ListedRoom(Struct, frozen=True):
    """A room of rooms.json. `members_known`: the export lists its members."""

    record: Channel
    members_known: bool


def read_users(archive: Archive) -> Iterator[User | Problem]:
    """Yield every user once."""
    for item in _each_once(archive, USERS, UserEntry, "user", lambda entry: entry.user):
        if isinstance(item, Problem):
            yield item
        else:
            yield from _user(*item)


def read_rooms(archive: Archive) -> Iterator[ListedRoom | Problem]:
    """Yield every room once."""
    for item in _each_once(archive, ROOMS, RoomEntry, "channel", lambda entry: entry.room):
        yield item if isinstance(item, Problem) else _room(*item)


def _each_once(
    archive: Archive, file: str, kind: type[E], record: RecordType, inner: Callable[[E], T | None]
) -> Iterator[tuple[T, str, str] | Problem]:
    """Yield the users or rooms of a list, each import id once, with that id and the position."""
    if file not in archive:
        return
    field = "User.id" if record == "user" else "Room.id"
    seen: set[str] = set()
    held = Notes(MOST_OF_ARCHIVE)  # they come after the entries that cannot be read
    for found in read_list(archive, file, kind, in_bytes=True):
        if isinstance(found, Flaw):
            yield flaw_problem(found, file, record)
            continue
        number, entry = found
        item = inner(entry)
        position, id = f"$[{number}]", import_id(item.id) if item else ""
        if item is not None and id and id not in seen:
            seen.add(id)
            yield item, id, position
            continue
        kind_of, reason = f"{record}-not-readable", "the entry has no id"
        if id:
            kind_of, reason = f"{record}-twice", f"another entry has the same id, {id}"
        held.append(problem(kind_of, reason, file=file, position=position, field=field))
    yield from held


def _user(user: HipChatUser, id: str, position: str) -> Iterator[User | Problem]:
    if not user.email and not user.is_deleted:
        reason = f"{user.mention_name or user.name or id} has no e-mail address in the export"
        yield problem("user-without-email", reason, file=USERS, position=position, field="User.email")
    avatar = _avatar(user.avatar or "")
    if user.avatar and not avatar:
        flaw = Flaw(position, "User.avatar", "the picture is no image in base64")
        yield flaw_problem(flaw, USERS, "user")
    yield User(
        id=id,
        username=user.mention_name or "",
        name=user.name or user.mention_name or "",
        emails=(user.email.strip(),) if user.email and user.email.strip() else (),
        deleted=user.is_deleted,
        avatar_url=avatar,
        bio=user.title or "",
        file=USERS,
        position=position,
    )


def _avatar(text: str) -> str:
    """Return a picture as a data: URL; "" if it is invalid."""
    if is_web(text):
        return text
    if text.startswith("data:image/"):
        text = text.partition(";base64,")[2]
    data = "".join(text.split())
    mime = next((mime for start, mime in _PICTURES.items() if data.startswith(start)), "")
    return f"data:{mime};base64,{data}" if mime and _BASE64.fullmatch(data) else ""


def _room(room: HipChatRoom, id: str, position: str) -> ListedRoom:
    is_private = room.privacy == "private"
    owner = import_id(room.owner)
    listed = [import_id(member) for member in room.members or ()]
    members = tuple(dict.fromkeys(member for member in (*listed, owner) if member))
    record = Channel(
        id=id,
        type="p" if is_private else "c",
        name=room.name or "",
        creator=owner,
        members=members,
        topic=room.topic or "",
        created=millis(room.created),
        archived=room.is_archived is True,
        file=ROOMS,
        position=position,
    )
    return ListedRoom(record, members_known=is_private and any(listed))
