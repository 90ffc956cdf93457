"""Rules that all destinations share: which keys find a document, and how a change applies to it."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import Any
from unicodedata import normalize

from msgspec.structs import replace

from chatferry.clock import now
from chatferry.destinations.protocol import Lookup
from chatferry.documents import (
    CONTACTS,
    MESSAGES,
    ROOMS,
    SUBSCRIPTIONS,
    USERS,
    Date,
    Document,
    Update,
    decode,
    encode,
)


class ChangeError(ValueError):
    """A change that cannot be made. The text says why."""


UNIQUE: Mapping[str, str] = {
    "username": "another user has the username {}",
    "unique name": "another room has the name {}",
    "member": "its user has a subscription of its room already",
}
"""The fields whose values no two documents share, and what to say when they would."""


def looked_up(lookup: Lookup, values: Iterable[str]) -> set[str]:
    """Return the values as `keys` has them: usernames and e-mails folded."""
    return set(map(fold, values)) if lookup in (Lookup.USER_EMAIL, Lookup.USERNAME) else set(values)


def fold(text: str) -> str:
    """Return the form that all upper-case and lower-case spellings of a text share."""
    return text.lower() if text.isascii() else normalize("NFC", text).casefold()


def keys(collection: str, document: Document) -> set[tuple[str, str]]:
    """Return the fields and values, besides `_id`, that a document is found by."""
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
        yield "member", to_json([rid, user["_id"]]).decode()


_KEYS: Mapping[str, Callable[[Document], Iterable[tuple[str, Any]]]] = {
    USERS: _user_keys,
    CONTACTS: lambda contact: [("importIds", value) for value in _items(contact.get("importIds"))],
    ROOMS: _room_keys,
    SUBSCRIPTIONS: _subscription_keys,
    MESSAGES: lambda message: [("rid", message.get("rid"))],
}


_FOUND_BY: Mapping[str, frozenset[str]] = {
    USERS: frozenset({"importIds", "roles", "services", "emails", "username"}),
    CONTACTS: frozenset({"importIds"}),
    ROOMS: frozenset({"importIds", "name", "fname", "t", "uids", "default"}),
    SUBSCRIPTIONS: frozenset({"rid", "u"}),
    MESSAGES: frozenset({"rid"}),
}
"""The fields that `keys` looks at."""


def touches_keys(update: Update) -> bool:
    """Return whether the update may change the keys of its document."""
    paths = (*update.set, *update.unset, *update.add, *update.pull)
    return not _FOUND_BY.get(update.collection, frozenset()).isdisjoint(
        [path.partition(".")[0] for path in paths]
    )


def _items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def identity(document: Document) -> str:
    """Return the document's `_id`. Raise ChangeError if it has none."""
    value = document.get("_id")
    if isinstance(value, str) and value:
        return value
    raise ChangeError("it has no _id")


def to_json(value: Any) -> bytes:
    """Return the value as JSON. Raise ChangeError if JSON cannot hold it."""
    try:
        return encode(value)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ChangeError(f"it cannot be written as JSON: {error}") from error


def timestamp_suffix() -> bytes:
    """Return the bytes that `with_timestamp` adds to documents that are written now."""
    return b',"_updatedAt":' + encode(Date.at(now())) + b"}"


def with_timestamp(document: Document, suffix: bytes) -> bytes:
    """Return a document, which has an `_id`, as JSON that ends with its `_updatedAt`."""
    if "_updatedAt" in document:
        document = {key: value for key, value in document.items() if key != "_updatedAt"}
    return to_json(document)[:-1] + suffix


def patch_json(stored: bytes | str, update: Update) -> Document:
    """Return the document, stored as JSON, after the update."""
    return patched(decode(stored), normalized(update))


def patched(document: Document, update: Update) -> Document:
    """Change the document itself and return it. The update has values as stored documents have them."""
    for path, value in update.set.items():
        holder, key = _place(document, path, make=True)
        holder[key] = value
    for path in update.unset:
        if place := _existing(document, path):
            del place[0][place[1]]
    for path, values in update.add.items():
        holder, key = _place(document, path, make=True)
        if isinstance(holder, dict):
            holder.setdefault(key, [])
        _add(_list(holder, key), values)
    for path, (field, *gone) in update.pull.items():
        if place := _existing(document, path):
            found = _list(*place)
            found[:] = _without(found, field, gone)
    if document.get("_id") != update.id:
        raise ChangeError("its _id cannot change")
    return document


def _add(items: list[Any], values: Iterable[Any]) -> None:
    """Add the values that a list does not hold."""
    texts = {item for item in items if type(item) is str}
    for value in values:
        if type(value) is str:
            if value not in texts:
                texts.add(value)
                items.append(value)
        elif value not in items:
            items.append(value)


def _without(items: list[Any], field: str, values: Iterable[Any]) -> list[Any]:
    """Return the items whose field has none of the values."""
    texts = {value for value in values if isinstance(value, str)}
    rest = [value for value in values if not isinstance(value, str)]

    def has(value: Any) -> bool:
        return value in texts if isinstance(value, str) else value in rest

    return [item for item in items if not (isinstance(item, dict) and has(item.get(field)))]


def normalized(update: Update) -> Update:
    """Return the update with values as stored documents have them: a list in place of a tuple."""
    return replace(update, **decode(to_json({"set": update.set, "add": update.add, "pull": update.pull})))


def is_plain(update: Update) -> bool:
    """Return whether all values are texts and whole numbers, which are stored unchanged."""
    values = [*update.set.values(), *chain.from_iterable(update.add.values())]
    return not update.pull and all(type(value) is str or type(value) is int for value in values)


def _place(document: Document, path: str, make: bool = False) -> tuple[Any, Any]:
    """Return the object that holds the end of a path, and its key there. `make` adds missing dicts."""
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
    """Return what messages are found and ordered by: `rid`, `ts` as text that sorts as time does, `tmid`."""
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
    """Return a date of `Date.at` as text that sorts as time does: with "Z", "50Z" would follow "50.123Z"."""
    return date.iso[:-1]


_TEXT = (str, type(None))


def shown(message: Document) -> bool:
    """Return whether a room itself shows the message: not hidden, nor a reply that only its thread shows."""
    if message.get("ts") is None or message.get("_hidden") is True:
        return False
    return "tmid" not in message or message.get("tshow") is True


def totals(room_id: str, messages: int, users: int, newest: Document | None) -> Update:
    """Return the update of a room with so many messages and users. `newest` is the last message it shows."""
    counts = {"msgs": messages, "usersCount": users}
    if newest is None:
        return Update(collection=ROOMS, id=room_id, set=counts, unset=("lm", "lastMessage"))
    last = {key: value for key, value in newest.items() if key != "_updatedAt"}
    return Update(collection=ROOMS, id=room_id, set=counts | {"lm": newest["ts"], "lastMessage": last})


# ---------------------------------------------------------------- settings

# Names of rooms may have any letters, but no white space and nothing that ends a name in a text.
_EMBEDDED = {"UTF8_Channel_Names_Validation": r"[^\s\x00-\x1f\x7f-\x9f/\\#@:`]+"}


def embedded_settings(names: Collection[str]) -> dict[str, Any]:
    """Return the settings of an embedded workspace, as far as they have these names."""
    return {name: value for name, value in _EMBEDDED.items() if name in names}
