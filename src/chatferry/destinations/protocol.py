"""The protocol that every destination keeps."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from enum import Enum
from typing import Any, Protocol

from msgspec import Struct

from chatferry.documents import (
    AVATARS,
    CONTACTS,
    LINKS,
    MESSAGES,
    ORIGINS,
    PERMISSIONS,
    ROOMS,
    SUBSCRIPTIONS,
    UPLOADS,
    USERS,
    Change,
    Document,
)

ADDRESS = "address"
"""What `unique_id` begins with where it is made of the destination's address, for lack of anything better."""


class Lookup(Enum):
    """The questions a destination answers: a collection, and its field that the values are compared with.

    Unless the comment says otherwise, a value that equals the field, or one of its items, is found.
    """

    USER_ID = USERS, "_id"
    USER_IMPORT_ID = USERS, "importIds"
    USER_EMAIL = USERS, "emails.address"  # whatever its case
    USERNAME = USERS, "username"  # whatever its case
    USER_ROLE = USERS, "roles"
    USER_TOKEN = USERS, "services.resume.loginTokens.hashedToken"
    CONTACT_ID = CONTACTS, "_id"
    CONTACT_IMPORT_ID = CONTACTS, "importIds"
    ROOM_ID = ROOMS, "_id"
    ROOM_IMPORT_ID = ROOMS, "importIds"
    ROOM_NAME = ROOMS, "name"  # or fname
    ROOM_MEMBERS = ROOMS, "uids"  # of rooms with t "d", sorted, joined by ","
    ROOM_DEFAULT = ROOMS, "default"  # the value is "true"
    SUBSCRIPTION_ROOM = SUBSCRIPTIONS, "rid"
    MESSAGE_ID = MESSAGES, "_id"
    UPLOAD_ID = UPLOADS, "_id"
    AVATAR_ID = AVATARS, "_id"
    PERMISSION_ID = PERMISSIONS, "_id"
    ORIGIN_ID = ORIGINS, "_id"
    LINK_ID = LINKS, "_id"


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
