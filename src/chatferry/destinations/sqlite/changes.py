"""Changes to the embedded workspace, brought to its tables inside a transaction."""

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter

from msgspec import Struct

from chatferry.destinations.protocol import Rejection
from chatferry.destinations.rules import (
    ChangeError,
    columns,
    identity,
    is_plain,
    keys,
    normalized,
    patched,
    to_json,
    touches_keys,
    with_timestamp,
)
from chatferry.destinations.slices import slices
from chatferry.destinations.sqlite import subscriptions as subscriptions
from chatferry.destinations.sqlite.sql import placeholders
from chatferry.destinations.unique import Key, UniqueKeys
from chatferry.documents import COLLECTIONS, MESSAGES, SUBSCRIPTIONS, Change, Document, Insert, Update, decode

_AT_ONCE = 1000  # changes that are weighed together

BY_ID: Mapping[str, str] = {table: f"SELECT _id, doc FROM {table} WHERE _id IN " for table in COLLECTIONS}
_INSERT = {table: f"INSERT INTO {table} (_id, doc) VALUES (?, ?)" for table in COLLECTIONS}
_REPLACE = {table: f"UPDATE {table} SET doc = ? WHERE _id = ?" for table in COLLECTIONS}

INSERT_MESSAGE = (
    f"INSERT OR IGNORE INTO {MESSAGES} (_id, digest, rid, ts, tmid, doc) VALUES (?, ?, ?, ?, ?, ?)"
)
_REPLACE_MESSAGE = f"UPDATE {MESSAGES} SET rid = ?, ts = ?, tmid = ?, doc = ? WHERE _id = ?"
_SET_DIGEST = f"UPDATE {MESSAGES} SET digest = ? WHERE _id = ?"

_ADD_KEY = "INSERT INTO chatferry_keys (collection, field, value, _id) VALUES (?, ?, ?, ?)"
_DROP_KEY = "DELETE FROM chatferry_keys WHERE collection = ? AND field = ? AND value = ? AND _id = ?"
_HOLDERS = "SELECT value, _id FROM chatferry_keys WHERE collection = ? AND field = ? AND value IN "

_Place = tuple[str, str]  # collection and _id


class _New(Struct, frozen=True):
    """A document to be inserted: its stored text, its keys, and a message's columns."""

    id: str
    text: str
    found_by: set[Key]
    columns: tuple[str | None, ...]


def apply(db: sqlite3.Connection, changes: Sequence[Change], suffix: bytes) -> list[Rejection]:
    """Make the changes that can be made, in order. `suffix` is their documents' end, with `_updatedAt`.

    New subscriptions, by far the most frequent changes, wait until one of them might be changed.
    """
    rejections: list[Rejection] = []
    entering: list[tuple[int, Insert]] = []
    various: list[tuple[int, Change]] = []

    def make() -> None:
        rejections.extend(_ChangeBatch(db, various, suffix).apply())
        rejections.extend(subscriptions.enter(db, entering, suffix))
        various.clear()
        entering.clear()

    for index, change in enumerate(changes):
        if isinstance(change, Insert) and change.collection == SUBSCRIPTIONS:
            entering.append((index, change))
        else:
            if entering and change.collection == SUBSCRIPTIONS:
                make()
            various.append((index, change))
        if len(entering) >= _AT_ONCE or len(various) >= _AT_ONCE:
            make()
    make()
    return sorted(rejections, key=lambda rejection: rejection.index)


class _ChangeBatch:
    """Successive changes, with their numbers.

    Check every change against stored and pending documents, then write each document once.
    """

    def __init__(self, db: sqlite3.Connection, changes: Sequence[tuple[int, Change]], suffix: bytes) -> None:
        self._db = db
        self._changes = changes
        self._suffix = suffix
        self._stored: dict[_Place, str] = {}
        self._texts: dict[_Place, str] = {}  # of new and changed documents
        self._unique = {
            collection: UniqueKeys(partial(_holders, db, collection))
            for collection in {change.collection for _, change in changes}
        }
        self._old_keys: dict[_Place, set[Key]] = {}  # of documents whose keys may change
        self._new_keys: dict[_Place, set[Key]] = {}
        self._columns: dict[str, tuple[str | None, ...]] = {}  # of messages
        self._members: dict[str, subscriptions.Member] = {}  # of subscriptions
        self._digests: dict[str, bytes] = {}

    def apply(self) -> list[Rejection]:
        rejections = []
        made = [self._made(change) for _, change in self._changes]
        self._load(made)
        for (index, change), new in zip(self._changes, made, strict=True):
            try:
                if isinstance(change, Update):
                    self._update(change)
                elif isinstance(new, _New):
                    self._insert(change, new)
                else:
                    rejections.append(Rejection(index, str(new)))
            except ChangeError as fault:
                rejections.append(Rejection(index, str(fault)))
        self._write()
        return rejections

    def _made(self, change: Change) -> _New | ChangeError | None:
        """Return the document of an insert, or the reason why it cannot be stored; None for an update."""
        if isinstance(change, Update):
            return None
        document, is_message = change.document, change.collection == MESSAGES
        try:
            return _New(
                identity(document),
                with_timestamp(document, self._suffix).decode(),
                set() if is_message else keys(change.collection, document),
                columns(document) if is_message else (),
            )
        except ChangeError as fault:
            return fault

    # ------------------------------------------------------------ what is there

    def _load(self, made: Iterable[_New | ChangeError | None]) -> None:
        ids: dict[str, set[str]] = {}
        wanted: dict[str, list[Key]] = {}
        for (_, change), new in zip(self._changes, made, strict=True):
            if isinstance(change, Update):
                ids.setdefault(change.collection, set()).add(change.id)
            elif isinstance(new, _New):
                ids.setdefault(change.collection, set()).add(new.id)
                wanted.setdefault(change.collection, []).extend(new.found_by)
        for collection, some_ids in ids.items():
            for some in slices(sorted(some_ids)):
                rows = self._db.execute(BY_ID[collection] + placeholders(some), some)
                self._stored.update(((collection, id_), text) for id_, text in rows)
        for collection, some_keys in wanted.items():
            self._unique[collection].expect(some_keys)

    # ------------------------------------------------------------ weighing

    def _insert(self, change: Insert, new: _New) -> None:
        place = (change.collection, new.id)
        if place in self._texts or place in self._stored:
            return
        self._move(place, set(), new.found_by)
        self._texts[place] = new.text
        if change.collection == MESSAGES:
            self._columns[new.id], self._digests[new.id] = new.columns, change.digest

    def _update(self, change: Update) -> None:
        collection, id_ = place = (change.collection, change.id)
        stored = self._texts.get(place) or self._stored.get(place)
        if stored is None:
            raise ChangeError("there is no such document")
        document = decode(stored)
        old = keys(collection, document) if touches_keys(change) else None
        document = patched(document, change if is_plain(change) else normalized(change))
        if to_json(document).decode() != stored:
            self._replace(collection, id_, document, old)
        if collection == MESSAGES and change.digest:
            self._digests[id_] = change.digest

    def _replace(self, collection: str, id_: str, document: Document, old: set[Key] | None) -> None:
        """Keep the changed document. `old` are its keys before, None if the change does not touch them."""
        text = with_timestamp(document, self._suffix).decode()
        if collection == MESSAGES:
            self._columns[id_] = columns(document)
        elif old is not None:
            self._move((collection, id_), old, keys(collection, document))
        if collection == SUBSCRIPTIONS:
            self._members[id_] = subscriptions.member(document)
        self._texts[collection, id_] = text

    def _move(self, place: _Place, old: set[Key], new: set[Key]) -> None:
        self._unique[place[0]].move(place[1], old, new)
        self._old_keys.setdefault(place, old)
        self._new_keys[place] = new

    # ------------------------------------------------------------ writing

    def _write(self) -> None:
        """Write in the order of the tables, so that documents written together lie together."""
        ids: dict[str, list[str]] = {}
        for collection, id_ in sorted(self._texts):
            ids.setdefault(collection, []).append(id_)
        for id_ in ids.pop(MESSAGES, ()):
            self._write_message(id_, self._texts[MESSAGES, id_])
        changed = ids.pop(SUBSCRIPTIONS, ())
        subscriptions.replace(
            self._db, [(id_, self._members[id_], self._texts[SUBSCRIPTIONS, id_]) for id_ in changed]
        )
        for collection, some in ids.items():
            new = [
                (id_, self._texts[collection, id_]) for id_ in some if not self._is_stored(collection, id_)
            ]
            old = [(self._texts[collection, id_], id_) for id_ in some if self._is_stored(collection, id_)]
            self._write_many(_INSERT[collection], new)
            self._write_many(_REPLACE[collection], old)
        self._write_many(_SET_DIGEST, [(digest, id_) for id_, digest in self._digests.items()])
        self._write_many(_DROP_KEY, _key_rows(self._old_keys, self._new_keys))
        self._write_many(_ADD_KEY, _key_rows(self._new_keys, self._old_keys))

    def _write_message(self, id_: str, text: str) -> None:
        if self._is_stored(MESSAGES, id_):
            self._db.execute(_REPLACE_MESSAGE, (*self._columns[id_], text, id_))
        else:
            digest = self._digests.pop(id_)
            self._db.execute(INSERT_MESSAGE, (id_, digest, *self._columns[id_], text))

    def _write_many(self, sql: str, rows: Sequence[tuple[object, ...]]) -> None:
        if rows:
            self._db.executemany(sql, rows)

    def _is_stored(self, collection: str, id_: str) -> bool:
        return (collection, id_) in self._stored


def _key_rows(these: Mapping[_Place, set[Key]], but: Mapping[_Place, set[Key]]) -> list[tuple[str, ...]]:
    """Return rows for the keys of documents that they have in `these` and not in `but`."""
    return sorted(
        (collection, field, value, id_)
        for (collection, id_), found_by in these.items()
        if collection != SUBSCRIPTIONS
        for field, value in found_by - but[collection, id_]
    )


def _holders(db: sqlite3.Connection, collection: str, wanted: Collection[Key]) -> Iterator[tuple[Key, str]]:
    """Yield the keys that stored documents hold, with the documents' ids."""
    if collection == SUBSCRIPTIONS:
        for key in wanted:
            yield from ((key, id_) for id_ in subscriptions.holders(db, key[1]))
        return
    for field, keys_ in groupby(sorted(wanted), itemgetter(0)):
        for some in slices(value for _, value in keys_):
            rows = db.execute(_HOLDERS + placeholders(some), (collection, field, *some))
            yield from (((field, value), id_) for value, id_ in rows)
