"""The protocol that every destination keeps."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from enum import Enum
from typing import Any, Protocol

from msgspec import Struct

from chatferry.documents import UPLOADS, Change, Document

ADDRESS = "address"
"""What `unique_id` begins with where it is made of the destination's address, for lack of anything better."""


class Lookup(Enum):
    """The questions a destination answers. The comment says what the values are compared with."""

    USER_ID = "user _id"  # users._id
    USER_IMPORT_ID = "user import id"  # users.importIds, any of them
    USER_EMAIL = "user e-mail"  # users.emails.address, any of them, whatever its case
    USERNAME = "username"  # users.username, whatever its case
    USER_ROLE = "user role"  # users.roles, any of them
    USER_TOKEN = "user login token"  # users.services.resume.loginTokens.hashedToken, any of them
    CONTACT_ID = "contact _id"  # rocketchat_livechat_contact._id
    CONTACT_IMPORT_ID = "contact import id"  # rocketchat_livechat_contact.importIds, any of them
    ROOM_ID = "room _id"  # rocketchat_room._id
    ROOM_IMPORT_ID = "room import id"  # rocketchat_room.importIds, any of them
    ROOM_NAME = "room name"  # rocketchat_room.name or .fname, exactly
    ROOM_MEMBERS = "direct room members"  # rocketchat_room.uids of rooms with t "d", sorted, joined by ","
    ROOM_DEFAULT = "default rooms"  # rocketchat_room.default; the value is "true"
    SUBSCRIPTION_ROOM = "subscriptions of a room"  # rocketchat_subscription.rid
    MESSAGE_ID = "message _id"  # rocketchat_message._id
    UPLOAD_ID = "upload _id"  # rocketchat_uploads._id
    AVATAR_ID = "avatar _id"  # rocketchat_avatars._id
    PERMISSION_ID = "permission _id"  # rocketchat_permissions._id
    ORIGIN_ID = "origin _id"  # chatferry_origins._id
    LINK_ID = "link _id"  # chatferry_links._id


class Rejection(Struct, frozen=True):
    """A change that was not applied: its place in the batch, and why."""

    index: int
    reason: str


Packed = tuple[Any, ...]
"""A message ready to be stored: its `_id`, its digest, and what is the destination's own."""


class Destination(Protocol):
    """Keeps users, rooms, messages, files and login tokens in Rocket.Chat's collections.

    One object serves one thread at a time, but any thread may `pack` and `unpack`. Each call of `apply` is
    one transaction, unless all its changes only add values to lists. If the process dies during `insert` or
    such a call, repeating it does no harm.

    address  its URL, if several processes may write at once, each with an object of its own; else "".
             With an address, several threads may also `find`, `apply` and read with one object.
    """

    address: str

    def unique_id(self) -> str:
        """Return the id of this destination, wherever it lies; "" if it is not kept.

        That is the `uniqueID` of a Rocket.Chat server, or the id that an embedded workspace was made with.
        """
        ...

    def settings(self, names: Collection[str]) -> dict[str, Any]:
        """Return Rocket.Chat's settings of these names, as far as they exist."""
        ...

    def find(self, lookup: Lookup, values: Collection[str]) -> list[Document]:
        """Return the documents whose looked-up field has one of `values`, each once, in no set order."""
        ...

    def digests(self, message_ids: Collection[str]) -> dict[str, bytes]:
        """Return the digests of existing messages; b"" for a message that no import wrote."""
        ...

    def apply(self, changes: Sequence[Change]) -> list[Rejection]:
        """Apply all changes that can be applied, in order, and set `_updatedAt` in the written documents.

        Inserting an `_id` that exists leaves the stored document as it is. Rejected are: a document without
        an `_id`, one that cannot be encoded, a username, or the name of a room of type c or p, that another
        document holds, a second subscription of one user to one room, and an update of a missing document.
        """
        ...

    def pack(self, message: Document, encoded: bytes | bytearray, digest: bytes) -> Packed:
        """Prepare a message for `insert`. `encoded` is what `encode` made of it.

        `encoded` may be used for another message afterwards.
        """
        ...

    def unpack(self, message: Packed) -> Document:
        """Return the document that was packed."""
        ...

    def insert(self, messages: Sequence[Packed]) -> list[Rejection]:
        """Insert messages as `apply` would: the fast way for many."""
        ...

    def put_file(self, document: Document, content: Iterable[bytes], collection: str = UPLOADS) -> None:
        """Store a file's bytes under its document in `rocketchat_uploads` or `rocketchat_avatars`.

        Storing it again replaces it.
        """
        ...

    def read_file(self, id: str, collection: str = UPLOADS, start: int = 0) -> Iterator[bytes]:
        """Yield the bytes of a stored file from `start` on, in pieces; nothing if there is no such file.

        Another thread may take the pieces, however slowly, while this one goes on to use the destination.
        """
        ...

    def refresh_rooms(self, room_ids: Collection[str]) -> None:
        """Make `msgs`, `usersCount`, `lm` and `lastMessage` of these rooms true, and touch no other field.

        `lastMessage` is the newest message that the room itself shows: no hidden one, and no thread reply
        unless it has `tshow`.
        """
        ...

    def dump(self, collection: str) -> Iterator[bytes]:
        """Yield each document of a collection as a line of relaxed Extended JSON, by ascending `_id`."""
        ...

    def count(self, collection: str) -> int:
        """Return how many documents a collection has; a server may estimate it."""
        ...

    def server_documents(self, collection: str, limit: int) -> list[Document]:
        """Return documents of a collection in which only a Rocket.Chat server writes; none without a server.

        At most `limit`, the greatest `ts` first.
        """
        ...

    def close(self) -> None: ...
