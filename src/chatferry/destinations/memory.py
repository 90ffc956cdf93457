"""A workspace in memory, for tests and dry runs."""

import heapq
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property
from operator import itemgetter
from typing import Any

from chatferry.destinations.protocol import Destination, Lookup, Packed, Rejection
from chatferry.destinations.rules import (
    ChangeError,
    columns,
    embedded_settings,
    identity,
    keys,
    looked_up,
    normalized,
    patch_json,
    shown,
    timestamp_suffix,
    to_json,
    totals,
    with_timestamp,
)
from chatferry.destinations.unique import require_free
from chatferry.documents import (
    COLLECTIONS,
    MESSAGES,
    ROOMS,
    SUBSCRIPTIONS,
    UPLOADS,
    Change,
    Document,
    Insert,
    Update,
    decode,
    encode,
)


class _Shelf:
    """The documents of one collection, as JSON, and what they are found by."""

    def __init__(self, collection: str) -> None:
        self._collection = collection
        self._found_by: dict[tuple[str, str], dict[str, None]] = {}
        self.documents: dict[str, bytes] = {}

    def put(self, document: Document, data: bytes) -> None:
        """Keep a document, in the place of the one that has its `_id`."""
        id_ = identity(document)
        if id_ in self.documents:
            for key in keys(self._collection, decode(self.documents[id_])):
                del self._found_by[key][id_]
        for key in keys(self._collection, document):
            self._found_by.setdefault(key, {})[id_] = None
        self.documents[id_] = data

    def ids(self, field: str, values: Iterable[str]) -> Collection[str]:
        """Return the ids of the documents that have one of `values` in `field`."""
        if field == "_id":
            return [value for value in values if value in self.documents]
        return dict.fromkeys(id_ for value in values for id_ in self._found_by.get((field, value), ()))

    def require_free(self, document: Document) -> None:
        """Raise ChangeError if another document holds what only one may hold."""
        found_by = keys(self._collection, document)
        require_free(document["_id"], found_by, lambda key: self._found_by.get(key, {}))


_BY_ID = {collection: lookup for lookup in Lookup for collection, field in [lookup.value] if field == "_id"}
_RIVALS = {"username": Lookup.USERNAME, "unique name": Lookup.ROOM_NAME, "rid": Lookup.SUBSCRIPTION_ROOM}


class MemoryDestination:
    """Keeps everything in memory, and nothing when the process ends.

    Laid over a `base` it shows the base's documents and all changes since, and never writes to the base;
    `refresh_rooms` then builds on the `msgs` and `lastMessage` of the base's rooms.
    Without `keep_messages` it keeps only ids and digests of new messages, and each room's newest one.
    """

    address = ""

    def __init__(self, base: Destination | None = None, keep_messages: bool = True) -> None:
        self._base = base
        self._keep_messages = keep_messages
        self._shelves = {collection: _Shelf(collection) for collection in COLLECTIONS}
        self._asked: set[tuple[Lookup, str]] = set()  # of the base; the answers are on the shelves
        self._digests: dict[str, bytes] = {}
        self._added: Counter[str | None] = Counter()  # messages, by room
        self._newest: dict[str | None, tuple[str, str, bytes]] = {}  # by room, when messages are not kept
        self._files: dict[tuple[str, str], bytes] = {}  # by collection and _id

    def unique_id(self) -> str:
        return self._base.unique_id() if self._base else ""

    def settings(self, names: Collection[str]) -> dict[str, Any]:
        return self._base.settings(names) if self._base else embedded_settings(names)

    def find(self, lookup: Lookup, values: Collection[str]) -> list[Document]:
        collection, field = lookup.value
        wanted = looked_up(lookup, values)
        if collection != MESSAGES:
            self._ask(lookup, wanted)
        shelf = self._shelves[collection]
        found = shelf.ids(field, wanted)
        documents = [decode(shelf.documents[id_]) for id_ in found]
        if self._base and collection == MESSAGES:
            documents += self._base.find(lookup, wanted.difference(found))
        return documents

    def digests(self, message_ids: Collection[str]) -> dict[str, bytes]:
        own = {id_: self._digests[id_] for id_ in message_ids if id_ in self._digests}
        return {**self._base.digests(set(message_ids) - own.keys()), **own} if self._base else own

    def apply(self, changes: Sequence[Change]) -> list[Rejection]:
        known = self._known_messages(changes)
        suffix = timestamp_suffix()
        rejections = []
        for index, change in enumerate(changes):
            try:
                if isinstance(change, Update):
                    self._update(change, suffix)
                elif change.collection == MESSAGES:
                    self._insert_message(change, suffix, known)
                else:
                    self._insert(change, suffix)
            except ChangeError as fault:
                rejections.append(Rejection(index, str(fault)))
        return rejections

    @staticmethod
    def pack(message: Document, encoded: bytes | bytearray, digest: bytes) -> Packed:
        return message["_id"], digest, message

    @staticmethod
    def unpack(message: Packed) -> Document:
        document: Document = message[2]
        return document

    def insert(self, messages: Sequence[Packed]) -> list[Rejection]:
        return self.apply([Insert(MESSAGES, document, digest) for _, digest, document in messages])

    def put_file(self, document: Document, content: Iterable[bytes], collection: str = UPLOADS) -> None:
        data = with_timestamp(document, timestamp_suffix())
        self._files[collection, identity(document)] = b"".join(content)
        self._shelves[collection].put(document, data)

    def read_file(self, id: str, collection: str = UPLOADS, start: int = 0) -> Iterator[bytes]:
        if (collection, id) in self._files:
            return iter([self._files[collection, id][start:]])
        return self._base.read_file(id, collection, start) if self._base else iter(())

    def refresh_rooms(self, room_ids: Collection[str]) -> None:
        suffix = timestamp_suffix()
        for room_id in room_ids:
            if self._stored(ROOMS, room_id):
                self._update(self._totals(room_id), suffix)

    def dump(self, collection: str) -> Iterator[bytes]:
        own = self._shelves[collection].documents
        lines = self._base.dump(collection) if self._base else ()
        below = ((id_, line) for line in lines if (id_ := decode(line)["_id"]) not in own)
        return (line for _, line in heapq.merge(sorted(own.items()), below, key=itemgetter(0)))

    def count(self, collection: str) -> int:
        return sum(1 for _ in self.dump(collection))

    def server_documents(self, collection: str, limit: int) -> list[Document]:
        return self._base.server_documents(collection, limit) if self._base else []

    def close(self) -> None:
        """Close nothing: the base is closed by its owner."""

    def _ask(self, lookup: Lookup, values: Iterable[str]) -> None:
        """Load what the base has for these values, once."""
        new = [value for value in values if (lookup, value) not in self._asked] if self._base else []
        if self._base and new:
            self._asked.update((lookup, value) for value in new)
            shelf = self._shelves[lookup.value[0]]
            for document in self._base.find(lookup, new):
                if document["_id"] not in shelf.documents:
                    shelf.put(document, encode(document))

    def _known_messages(self, changes: Sequence[Change]) -> Collection[str]:
        """Return the ids of messages to be inserted that the base has."""
        if self._base is None:
            return ()
        inserts = [c.document for c in changes if isinstance(c, Insert) and c.collection == MESSAGES]
        return self._base.digests(
            [id_ for document in inserts if isinstance(id_ := document.get("_id"), str)]
        )

    def _insert_message(self, change: Insert, suffix: bytes, known: Collection[str]) -> None:
        id_, data = identity(change.document), with_timestamp(change.document, suffix)
        rid, _, _ = columns(change.document)
        if id_ not in self._digests and id_ not in known:
            self._digests[id_] = change.digest
            self._added[rid] += 1
            self._put_message(change.document, data)

    def _put_message(self, message: Document, data: bytes) -> None:
        if self._keep_messages:
            self._shelves[MESSAGES].put(message, data)
        elif shown(message):
            rid, ts, _ = columns(message)
            last = (ts or "", message["_id"], data)
            self._newest[rid] = max(self._newest.get(rid, last), last)

    def _insert(self, change: Insert, suffix: bytes) -> None:
        id_, data = identity(change.document), with_timestamp(change.document, suffix)
        shelf = self._shelves[change.collection]
        if change.collection in _BY_ID:
            self._ask(_BY_ID[change.collection], [id_])
        self._ask_for_rivals(change.collection, change.document)
        if id_ not in shelf.documents:
            shelf.require_free(change.document)
            shelf.put(change.document, data)

    def _update(self, change: Update, suffix: bytes) -> None:
        stored = self._stored(change.collection, change.id)
        if stored is not None:
            document = patch_json(stored, change)
            if to_json(document) != stored:
                self._replace(change.collection, stored, document, suffix)
        elif change.collection == MESSAGES and change.id in self._digests:
            normalized(change)
        else:
            raise ChangeError("there is no such document")
        if change.collection == MESSAGES and change.digest:
            self._digests[change.id] = change.digest

    def _replace(self, collection: str, stored: bytes, document: Document, suffix: bytes) -> None:
        data = with_timestamp(document, suffix)
        if collection == MESSAGES:
            self._added[columns(document)[0]] += 1
            self._added[decode(stored).get("rid")] -= 1
            self._put_message(document, data)
        else:
            self._ask_for_rivals(collection, document)
            self._shelves[collection].require_free(document)
            self._shelves[collection].put(document, data)

    def _stored(self, collection: str, id_: str) -> bytes | None:
        own = self._shelves[collection].documents
        if id_ not in own and collection == MESSAGES:
            return next((encode(message) for message in self._below(Lookup.MESSAGE_ID, id_)), None)
        if id_ not in own and collection == SUBSCRIPTIONS:
            self._ask(Lookup.SUBSCRIPTION_ROOM, self._subscription_rooms.get(id_, ()))
        elif id_ not in own:
            self._ask(_BY_ID[collection], [id_])
        return own.get(id_)

    @cached_property
    def _subscription_rooms(self) -> dict[str, list[str]]:
        """Return the rooms of the base's subscriptions: no look-up goes by a subscription's own `_id`."""
        lines = self._base.dump(SUBSCRIPTIONS) if self._base else ()
        return {document["_id"]: [document.get("rid", "")] for document in map(decode, lines)}

    def _ask_for_rivals(self, collection: str, document: Document) -> None:
        for field, value in keys(collection, document):
            if field in _RIVALS:
                self._ask(_RIVALS[field], [value])

    def _below(self, lookup: Lookup, value: str) -> list[Document]:
        return self._base.find(lookup, [value]) if self._base else []

    def _totals(self, room_id: str) -> Update:
        self._ask(Lookup.SUBSCRIPTION_ROOM, [room_id])
        users = len(self._shelves[SUBSCRIPTIONS].ids("rid", [room_id]))
        room = next(iter(self._below(Lookup.ROOM_ID, room_id)), {})
        messages = [message for message in self._last_messages(room_id, room) if shown(message)]
        newest = max(messages, key=lambda message: (message["ts"].ms, message["_id"]), default=None)
        return totals(room_id, room.get("msgs", 0) + self._added[room_id], users, newest)

    def _last_messages(self, room_id: str, below: Document) -> Iterator[Document]:
        """Yield messages of a room, its newest among them. `below` is the room in the base."""
        own = self._shelves[MESSAGES]
        yield from (decode(own.documents[id_]) for id_ in own.ids("rid", [room_id]))
        if room_id in self._newest:
            yield decode(self._newest[room_id][2])
        if "lastMessage" in below and below["lastMessage"]["_id"] not in own.documents:
            yield below["lastMessage"]


class PassingDestination(MemoryDestination):
    """A new workspace that any number of records may pass through.

    It forgets messages, with their digests, and who is in which room.
    """

    def __init__(self) -> None:
        super().__init__(keep_messages=False)

    def apply(self, changes: Sequence[Change]) -> list[Rejection]:
        kept = [place for place, change in enumerate(changes) if change.collection != SUBSCRIPTIONS]
        refused = super().apply([changes[place] for place in kept])
        self._digests.clear()
        return [Rejection(kept[one.index], one.reason) for one in refused]
