"""A workspace in memory, for tests and dry runs, and the rules that it shares with the one in a file."""

import heapq
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from operator import itemgetter
from typing import Any
from unicodedata import normalize

from chatferry.destinations import Destination, Lookup, Rejection
from chatferry.documents import (
    COLLECTIONS,
    MESSAGES,
    PERMISSIONS,
    ROOMS,
    SUBSCRIPTIONS,
    UPLOADS,
    USERS,
    Change,
    Date,
    Document,
    Insert,
    Update,
    decode,
    encode,
)

# ---------------------------------------------------------------- the rules


class ChangeError(ValueError):
    """A change that cannot be made. The text says why."""


FIELDS: Mapping[Lookup, tuple[str, str]] = {
    Lookup.USER_ID: (USERS, "_id"),
    Lookup.USER_IMPORT_ID: (USERS, "importIds"),
    Lookup.USER_EMAIL: (USERS, "emails.address"),
    Lookup.USERNAME: (USERS, "username"),
    Lookup.USER_ROLE: (USERS, "roles"),
    Lookup.USER_TOKEN: (USERS, "services.resume.loginTokens.hashedToken"),
    Lookup.ROOM_ID: (ROOMS, "_id"),
    Lookup.ROOM_IMPORT_ID: (ROOMS, "importIds"),
    Lookup.ROOM_NAME: (ROOMS, "name"),
    Lookup.ROOM_MEMBERS: (ROOMS, "uids"),
    Lookup.ROOM_DEFAULT: (ROOMS, "default"),
    Lookup.SUBSCRIPTION_ROOM: (SUBSCRIPTIONS, "rid"),
    Lookup.MESSAGE_ID: (MESSAGES, "_id"),
    Lookup.UPLOAD_ID: (UPLOADS, "_id"),
    Lookup.PERMISSION_ID: (PERMISSIONS, "_id"),
}
"""The collection and the field that a look-up looks in."""

UNIQUE: Mapping[str, str] = {
    "username": "another user has the username {}",
    "unique name": "another room has the name {}",
    "member": "its user has a subscription of its room already",
}
"""The fields whose values no two documents share, and what to say when they would."""


def looked_up(lookup: Lookup, values: Iterable[str]) -> set[str]:
    """The values as `keys` gives them: usernames and e-mails without regard to case."""
    return set(map(fold, values)) if lookup in (Lookup.USER_EMAIL, Lookup.USERNAME) else set(values)


def fold(text: str) -> str:
    """A text in the form that all its spellings in upper and lower case share."""
    return text.lower() if text.isascii() else normalize("NFC", text).casefold()


def keys(collection: str, document: Document) -> set[tuple[str, str]]:
    """What a document is found by besides its `_id`: fields and their values."""
    found = _KEYS[collection](document) if collection in _KEYS else ()
    return {(field, value) for field, value in found if isinstance(value, str)}


def _user_keys(user: Document) -> Iterator[tuple[str, Any]]:
    addresses = [item.get("address") for item in _items(user.get("emails")) if isinstance(item, dict)]
    yield from (("importIds", value) for value in _items(user.get("importIds")))
    yield from (("roles", value) for value in _items(user.get("roles")))
    yield from (("services.resume.loginTokens.hashedToken", value) for value in _token_hashes(user))
    yield from (("emails.address", fold(value)) for value in addresses if isinstance(value, str))
    if isinstance(username := user.get("username"), str):
        yield "username", fold(username)


def _token_hashes(user: Document) -> Iterator[Any]:
    holder: Any = user
    for step in ("services", "resume", "loginTokens"):
        holder = holder.get(step) if isinstance(holder, dict) else None
    yield from (entry.get("hashedToken") for entry in _items(holder) if isinstance(entry, dict))


def _room_keys(room: Document) -> Iterator[tuple[str, Any]]:
    yield from (("importIds", value) for value in _items(room.get("importIds")))
    yield from (("name", room.get(field)) for field in ("name", "fname"))
    if room.get("t") in ("c", "p"):
        yield "unique name", room.get("name")
    if room.get("t") == "d":
        yield "uids", ",".join(sorted(uid for uid in _items(room.get("uids")) if isinstance(uid, str)))
    if room.get("default") is True:
        yield "default", "true"


def _subscription_keys(subscription: Document) -> Iterator[tuple[str, Any]]:
    rid, user = subscription.get("rid"), subscription.get("u")
    yield "rid", rid
    if rid is not None and isinstance(user, dict) and "_id" in user:
        yield "member", written([rid, user["_id"]]).decode()


_KEYS: Mapping[str, Callable[[Document], Iterable[tuple[str, Any]]]] = {
    USERS: _user_keys,
    ROOMS: _room_keys,
    SUBSCRIPTIONS: _subscription_keys,
    MESSAGES: lambda message: [("rid", message.get("rid"))],
}


def _items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def identity(document: Document) -> str:
    """The document's `_id`."""
    value = document.get("_id")
    if isinstance(value, str) and value:
        return value
    raise ChangeError("it has no _id")


def written(value: Any) -> bytes:
    """The value as JSON."""
    try:
        return encode(value)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ChangeError(f"it cannot be written as JSON: {error}") from error


def stamp() -> bytes:
    """What `stamped` adds to documents that are written now."""
    now = Date.at(time.time_ns() // 1_000_000)
    return b',"_updatedAt":' + encode(now) + b"}"


def stamped(document: Document, stamp: bytes, encoded: bytes = b"") -> bytes:
    """The document, which has an `_id`, as JSON that ends with its `_updatedAt`."""
    if "_updatedAt" in document:
        document, encoded = {key: value for key, value in document.items() if key != "_updatedAt"}, b""
    return (encoded or written(document))[:-1] + stamp


def evolve(stored: bytes | str, update: Update) -> Document:
    """The stored document after the update."""
    document = decode(stored)
    new = _as_stored(update)
    for path, value in new["set"].items():
        holder, key = _place(document, path, make=True)
        holder[key] = value
    for path in update.unset:
        if place := _existing(document, path):
            del place[0][place[1]]
    for path, values in new["add"].items():
        holder, key = _place(document, path, make=True)
        if isinstance(holder, dict):
            holder.setdefault(key, [])
        items = _list(holder, key)
        for value in values:
            if value not in items:
                items.append(value)
    for path, (field, value) in new["pull"].items():
        if place := _existing(document, path):
            items = _list(*place)
            items[:] = [item for item in items if not (isinstance(item, dict) and item.get(field) == value)]
    if document.get("_id") != update.id:
        raise ChangeError("its _id cannot change")
    return document


def _as_stored(update: Update) -> Document:
    """The values of an update as stored documents have them: a tuple is a list there."""
    return decode(written({"set": update.set, "add": update.add, "pull": update.pull}))


def _place(document: Document, path: str, make: bool = False) -> tuple[Any, Any]:
    """What holds the end of a path, and the end's key there. `make` makes the dicts that lack on the way."""
    holder: Any = document
    *steps, last = path.split(".")
    for step in steps:
        if make and isinstance(holder, dict):
            holder.setdefault(step, {})
        holder = holder[_key(holder, step)]
    return holder, _key(holder, last)


def _existing(document: Document, path: str) -> tuple[Any, Any] | None:
    try:
        holder, key = _place(document, path)
        return (holder, key) if isinstance(holder, list) or key in holder else None
    except (ChangeError, KeyError):
        return None


def _key(holder: Any, step: str) -> str | int:
    if isinstance(holder, dict):
        return step
    if isinstance(holder, list) and step.isascii() and step.isdigit() and int(step) < len(holder):
        return int(step)  # the 0 of "attachments.0.title_link"
    raise ChangeError(f"nothing in it can hold {step!r}")


def _list(holder: Any, key: Any) -> list[Any]:
    if isinstance(items := holder[key], list):
        return items
    raise ChangeError(f"its {key!r} is no list")


def columns(message: Document) -> tuple[str | None, str | None, str | None]:
    """What messages are found and ordered by: `rid`, `ts` as text that sorts as time does, `tmid`."""
    rid, ts, tmid = message.get("rid"), message.get("ts"), message.get("tmid")
    if type(rid) not in _TEXT or type(tmid) not in _TEXT:
        raise ChangeError("its rid or tmid is no text")
    if ts is None:
        return rid, None, tmid
    try:
        if datetime.fromisoformat(ts.iso).tzinfo is None:
            raise ChangeError("its ts is a date without a time zone")
        return rid, sortable(Date.at(ts.ms)), tmid
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise ChangeError("its ts is no date") from error


def sortable(date: Date) -> str:
    """A date of `Date.at` as text that sorts as time does: with the "Z", "50Z" would follow "50.123Z"."""
    return date.iso[:-1]


_TEXT = (str, type(None))


def shown(message: Document) -> bool:
    """Whether the room itself shows the message: no hidden one, no reply that only its thread shows."""
    if message.get("ts") is None or message.get("_hidden") is True:
        return False
    return "tmid" not in message or message.get("tshow") is True


def totals(room_id: str, messages: int, users: int, newest: Document | None) -> Update:
    """What is true of a room with so many messages and users. `newest` is the last message it shows."""
    counts = {"msgs": messages, "usersCount": users}
    if newest is None:
        return Update(collection=ROOMS, id=room_id, set=counts, unset=("lm", "lastMessage"))
    last = {key: value for key, value in newest.items() if key != "_updatedAt"}
    return Update(collection=ROOMS, id=room_id, set=counts | {"lm": newest["ts"], "lastMessage": last})


# ---------------------------------------------------------------- the workspace


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
        """The ids of the documents that have one of `values` in `field`."""
        if field == "_id":
            return [value for value in values if value in self.documents]
        return dict.fromkeys(id_ for value in values for id_ in self._found_by.get((field, value), ()))

    def require_free(self, document: Document) -> None:
        """No other document holds what only one may hold."""
        for field, value in keys(self._collection, document):
            if field in UNIQUE and self._found_by.get((field, value), {}).keys() - {document["_id"]}:
                raise ChangeError(UNIQUE[field].format(value))


_BY_ID = {collection: lookup for lookup, (collection, field) in FIELDS.items() if field == "_id"}
_RIVALS = {"username": Lookup.USERNAME, "unique name": Lookup.ROOM_NAME, "rid": Lookup.SUBSCRIPTION_ROOM}


class MemoryDestination:
    """Keeps everything in memory, and nothing when the process ends.

    Laid over a `base` it shows what the base has and what was applied since, and never writes to the base;
    what `finish` then says builds on the `msgs` and `lastMessage` of the base's rooms.
    Without `keep_messages` it knows of new messages only their ids and digests, and each room's newest.
    """

    def __init__(self, base: Destination | None = None, keep_messages: bool = True) -> None:
        self._base = base
        self._keep_messages = keep_messages
        self._shelves = {collection: _Shelf(collection) for collection in COLLECTIONS}
        self._asked: set[tuple[Lookup, str]] = set()  # of the base; the answers are on the shelves
        self._digests: dict[str, bytes] = {}
        self._added: Counter[str | None] = Counter()  # messages, by room
        self._newest: dict[str | None, tuple[str, str, bytes]] = {}  # by room, when messages are not kept
        self._files: dict[str, bytes] = {}

    def find(self, lookup: Lookup, values: Collection[str]) -> list[Document]:
        collection, field = FIELDS[lookup]
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
        ending = stamp()
        rejections = []
        for index, change in enumerate(changes):
            try:
                if isinstance(change, Update):
                    self._update(change, ending)
                elif change.collection == MESSAGES:
                    self._insert_message(change, ending, known)
                else:
                    self._insert(change, ending)
            except ChangeError as fault:
                rejections.append(Rejection(index, str(fault)))
        return rejections

    def put_file(self, document: Document, content: Iterable[bytes]) -> None:
        data = stamped(document, stamp())
        self._files[identity(document)] = b"".join(content)
        self._shelves[UPLOADS].put(document, data)

    def read_file(self, upload_id: str) -> Iterator[bytes]:
        if upload_id in self._files:
            return iter([self._files[upload_id]])
        return self._base.read_file(upload_id) if self._base else iter(())

    def finish(self, room_ids: Collection[str]) -> None:
        ending = stamp()
        for room_id in room_ids:
            if self._stored(ROOMS, room_id):
                self._update(self._totals(room_id), ending)

    def dump(self, collection: str) -> Iterator[bytes]:
        own = self._shelves[collection].documents
        lines = self._base.dump(collection) if self._base else ()
        below = ((id_, line) for line in lines if (id_ := decode(line)["_id"]) not in own)
        return (line for _, line in heapq.merge(sorted(own.items()), below, key=itemgetter(0)))

    def close(self) -> None:
        """The base stays open: whoever opened it closes it."""

    def _ask(self, lookup: Lookup, values: Iterable[str]) -> None:
        """Take from the base, once, what it has for these values."""
        new = [value for value in values if (lookup, value) not in self._asked] if self._base else []
        if self._base and new:
            self._asked.update((lookup, value) for value in new)
            shelf = self._shelves[FIELDS[lookup][0]]
            for document in self._base.find(lookup, new):
                if document["_id"] not in shelf.documents:
                    shelf.put(document, encode(document))

    def _known_messages(self, changes: Sequence[Change]) -> Collection[str]:
        """The ids of the messages to be inserted that the base has."""
        if self._base is None:
            return ()
        inserts = [c.document for c in changes if isinstance(c, Insert) and c.collection == MESSAGES]
        return self._base.digests(
            [id_ for document in inserts if isinstance(id_ := document.get("_id"), str)]
        )

    def _insert_message(self, change: Insert, ending: bytes, known: Collection[str]) -> None:
        id_, data = identity(change.document), stamped(change.document, ending, change.encoded)
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

    def _insert(self, change: Insert, ending: bytes) -> None:
        id_, data = identity(change.document), stamped(change.document, ending, change.encoded)
        shelf = self._shelves[change.collection]
        if change.collection in _BY_ID:
            self._ask(_BY_ID[change.collection], [id_])
        self._ask_for_rivals(change.collection, change.document)
        if id_ not in shelf.documents:
            shelf.require_free(change.document)
            shelf.put(change.document, data)

    def _update(self, change: Update, ending: bytes) -> None:
        stored = self._stored(change.collection, change.id)
        if stored is not None:
            document = evolve(stored, change)
            if written(document) != stored:
                self._replace(change.collection, stored, document, ending)
        elif change.collection == MESSAGES and change.id in self._digests:
            _as_stored(change)
        else:
            raise ChangeError("there is no such document")
        if change.collection == MESSAGES and change.digest:
            self._digests[change.id] = change.digest

    def _replace(self, collection: str, stored: bytes, document: Document, ending: bytes) -> None:
        data = stamped(document, ending)
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
        """The rooms of the base's subscriptions: there is no look-up by a subscription's own `_id`."""
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
        newest = max(messages, key=_order, default=None)
        return totals(room_id, room.get("msgs", 0) + self._added[room_id], users, newest)

    def _last_messages(self, room_id: str, below: Document) -> Iterator[Document]:
        """Messages of a room, among them its newest. `below` is the room in the base."""
        own = self._shelves[MESSAGES]
        yield from (decode(own.documents[id_]) for id_ in own.ids("rid", [room_id]))
        if room_id in self._newest:
            yield decode(self._newest[room_id][2])
        if "lastMessage" in below and below["lastMessage"]["_id"] not in own.documents:
            yield below["lastMessage"]


def _order(message: Document) -> tuple[int, str]:
    return message["ts"].ms, message["_id"]
