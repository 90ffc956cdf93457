"""Documents, as destinations store them, and changes to documents.

A document is a dict in the shape of Rocket.Chat's own collections. Dates in it are `Date` values; no value
is ever None. Destinations add `_updatedAt` themselves whenever they write.
"""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct
from xxhash import xxh64_digest

Document = dict[str, Any]

PENDING_AVATAR = "_pendingAvatarUrl"
"""The field of a user that says where the avatar is to be fetched from."""
USERS = "users"
ROOMS = "rocketchat_room"
CONTACTS = "rocketchat_livechat_contact"
SUBSCRIPTIONS = "rocketchat_subscription"
MESSAGES = "rocketchat_message"
UPLOADS = "rocketchat_uploads"
AVATARS = "rocketchat_avatars"
PERMISSIONS = "rocketchat_permissions"
ROLES, OPERATIONS = "rocketchat_roles", "rocketchat_import"
"""Where a Rocket.Chat server keeps its roles, and the imports that it did itself: only read here."""
ORIGINS, LINKS = "chatferry_origins", "chatferry_links"
"""chatferry's own: the workspaces that archives came from, and which documents their import ids stand for."""
COLLECTIONS = (
    USERS, CONTACTS, ROOMS, SUBSCRIPTIONS, MESSAGES, UPLOADS, AVATARS, PERMISSIONS, ORIGINS, LINKS
)  # fmt: skip


class Date(Struct, frozen=True, gc=False, rename={"iso": "$date"}):
    """A point in time, written as relaxed Extended JSON writes it: {"$date": "2023-01-02T09:00:50.123Z"}."""

    iso: str

    @staticmethod
    def at(ms: int) -> "Date":
        """Return the date `ms` milliseconds after the epoch (years 1 to 9999)."""
        # Tables: a message has one date or two, and formatting one took longer than encoding the message.
        days, rest = divmod(ms, 86_400_000)
        minutes, rest = divmod(rest, 60_000)
        return Date(_day(days) + _MINUTES[minutes] + _SECONDS[rest // 1000] + _MILLIS[rest % 1000])

    @property
    def ms(self) -> int:
        """Milliseconds since the epoch."""
        moment = datetime.fromisoformat(self.iso)
        return int(moment.replace(microsecond=0).timestamp()) * 1000 + moment.microsecond // 1000


_EPOCH = date(1970, 1, 1)


@lru_cache(maxsize=4096)
def _day(days: int) -> str:
    return (_EPOCH + timedelta(days)).isoformat()


_MINUTES = [f"T{minute // 60:02}:{minute % 60:02}:" for minute in range(24 * 60)]
_SECONDS = [f"{second:02}" for second in range(60)]
_MILLIS = ["Z", *(f".{milli:03}Z" for milli in range(1, 1000))]  # Extended JSON leaves out a zero fraction


class Insert(Struct, frozen=True):
    """A new document. `digest` (of messages) lets a later import see whether the source has changed."""

    collection: str
    document: Document
    digest: bytes = b""


class Update(Struct, frozen=True, kw_only=True):
    """A change to the document `id`. Paths in `set`, `unset`, `add` and `pull` may be dotted.

    set     new values               unset   paths to remove
    add     values to add to lists unless they are there
    pull    path -> (key, value, ...): remove the list's items whose `key` equals one of the values
    """

    collection: str
    id: str
    set: Mapping[str, Any] = {}
    unset: tuple[str, ...] = ()
    add: Mapping[str, tuple[Any, ...]] = {}
    pull: Mapping[str, tuple[Any, ...]] = {}
    digest: bytes = b""


Change = Insert | Update

_encoder = msgspec.json.Encoder()
encode = _encoder.encode
encode_into = _encoder.encode_into  # the same into a bytearray


FORMAT = 3
"""Which documents chatferry makes of messages. It grows whenever the same source becomes another document."""
_FORMAT = bytes([FORMAT])
_HASH = 8  # bytes; digests of format 1 had nothing else


def digest(encoded: bytes | bytearray) -> bytes:
    """Return eight bytes that differ when the encoded documents differ, and the format that they have."""
    # Not a cryptographic hash: nobody gains by hiding an edit of his own archive from himself. Newer ones of
    # its family use wider registers, which for so little data costs more than it brings.
    return xxh64_digest(encoded) + _FORMAT


def is_alike(one: bytes, other: bytes) -> bool:
    """Return whether two digests are of equal documents, whatever their formats."""
    return one[:_HASH] == other[:_HASH]


def has_format(digest: bytes) -> bool:
    """Return whether a digest was made by a chatferry that makes the same documents as this one."""
    return digest[_HASH:] == _FORMAT


def decode(data: bytes | str) -> Document:
    """Return the document that `encode` wrote, with its dates as `Date` values."""
    document: Document = _dated(msgspec.json.decode(data))
    return document


def _dated(value: Any) -> Any:
    """Change a decoded value in place and return it. Most values in it are neither dict nor list."""
    if type(value) is dict:
        if len(value) == 1 and type(iso := value.get("$date")) is str:
            return Date(iso)
        for key, item in value.items():
            if type(item) is dict or type(item) is list:
                value[key] = _dated(item)
    elif type(value) is list:
        for place, item in enumerate(value):
            if type(item) is dict or type(item) is list:
                value[place] = _dated(item)
    return value


# ---------------------------------------------------------------- files

_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!$&'()*+,:;=@-._~")


def file_path(upload_id: str, name: str) -> str:
    """Return the path where clients get a file."""
    return f"/file-upload/{upload_id}/{_quoted(name)}"


def _quoted(name: str) -> str:
    """Return a name as one step of a path."""
    data = name.encode("utf-8", "replace")
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in data)


def kept_in(store: str, id: str, name: str) -> Document:
    """Return the fields that say where the bytes of a file are; `store` is, say, `GridFS:Uploads`."""
    path = f"/ufs/{store}/{id}/{_quoted(name)}"
    return {"store": store, "path": path, "url": path}
