"""Changes to the embedded workspace, brought to its tables inside a transaction."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from chatferry.destinations.protocol import Rejection
from chatferry.destinations.rules import (
    UNIQUE,
    ChangeError,
    columns,
    identity,
    is_plain,
    keys,
    normalized,
    patched,
    stamped,
    touches_keys,
    written,
)
from chatferry.destinations.sqlite import subscriptions as subscriptions
from chatferry.destinations.sqlite.sql import marks, slices
from chatferry.documents import (
    COLLECTIONS,
    MESSAGES,
    SUBSCRIPTIONS,
    Change,
    Document,
    Insert,
    Update,
    decode,
)

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
_Key = tuple[str, str, str]  # collection, field and value


class _New(Struct, frozen=True):
    """A document to be inserted: as it will be stored, what it is found by, and a message's columns."""

    id: str
    text: str
    found_by: set[tuple[str, str]]
    columns: tuple[str | None, ...]


def apply(db: sqlite3.Connection, changes: Sequence[Change], ending: bytes) -> list[Rejection]:
    """Make the changes that can be made, in order. `ending` is what their documents are stamped with.

    New subscriptions, of which there are far more than of all else, wait until one of them might be changed.
    """
    rejections: list[Rejection] = []
    entering: list[tuple[int, Insert]] = []
    others: list[tuple[int, Change]] = []

    def make() -> None:
        rejections.extend(_Batch(db, others, ending).apply())
        rejections.extend(subscriptions.enter(db, entering, ending))
        others.clear()
        entering.clear()

    for index, change in enumerate(changes):
        if isinstance(change, Insert) and change.collection == SUBSCRIPTIONS:
            entering.append((index, change))
        else:
            if entering and change.collection == SUBSCRIPTIONS:
                make()
            others.append((index, change))
        if len(entering) >= _AT_ONCE or len(others) >= _AT_ONCE:
            make()
    make()
    return sorted(rejections, key=lambda rejection: rejection.index)


class _Batch:
    """Some changes that follow each other, with their numbers.

    All are weighed first, one after the other, against what is stored and what those before make of it; then
    what came of that is written: a document once, however many changes it has met.
    """

    def __init__(self, db: sqlite3.Connection, changes: Sequence[tuple[int, Change]], ending: bytes) -> None:
        self._db = db
        self._changes = changes
        self._ending = ending
        self._stored: dict[_Place, str] = {}
        self._texts: dict[_Place, str] = {}  # of documents that are new or others than before
        self._holders: dict[_Key, set[str]] = {}  # of values that only one document may hold
        self._added: set[tuple[str, str, str, str]] = set()
        self._dropped: set[tuple[str, str, str, str]] = set()
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
        """What an insert is to store, or why it cannot."""
        if isinstance(change, Update):
            return None
        document, is_message = change.document, change.collection == MESSAGES
        try:
            return _New(
                identity(document),
                stamped(document, self._ending).decode(),
                set() if is_message else keys(change.collection, document),
                columns(document) if is_message else (),
            )
        except ChangeError as fault:
            return fault

    # ------------------------------------------------------------ what is there

    def _load(self, made: Iterable[_New | ChangeError | None]) -> None:
        ids: dict[str, set[str]] = {}
        unique: dict[tuple[str, str], set[str]] = {}
        for (_, change), new in zip(self._changes, made, strict=True):
            if isinstance(change, Update):
                ids.setdefault(change.collection, set()).add(change.id)
            elif isinstance(new, _New):
                ids.setdefault(change.collection, set()).add(new.id)
                for field, value in new.found_by:
                    if field in UNIQUE:
                        unique.setdefault((change.collection, field), set()).add(value)
        for collection, wanted in ids.items():
            for some in slices(sorted(wanted)):
                rows = self._db.execute(BY_ID[collection] + marks(some), some)
                self._stored.update(((collection, id_), text) for id_, text in rows)
        for (collection, field), values in unique.items():
            self._load_holders(collection, field, sorted(values))

    def _load_holders(self, collection: str, field: str, values: Sequence[str]) -> None:
        """Who holds the values, apart from those that have given them up since."""
        self._holders.update(((collection, field, value), set()) for value in values)
        for value, id_ in self._stored_holders(collection, field, values):
            if (collection, field, value, id_) not in self._dropped:
                self._holders[collection, field, value].add(id_)

    def _stored_holders(
        self, collection: str, field: str, values: Sequence[str]
    ) -> Iterator[tuple[str, str]]:
        if collection == SUBSCRIPTIONS:
            for value in values:
                yield from ((value, id_) for id_ in subscriptions.holders(self._db, value))
            return
        for some in slices(values):
            yield from self._db.execute(_HOLDERS + marks(some), (collection, field, *some))

    def _require_free(self, collection: str, id_: str, found_by: Iterable[tuple[str, str]]) -> None:
        """No other document holds what only one may hold."""
        for field, value in found_by:
            if field not in UNIQUE:
                continue
            if (collection, field, value) not in self._holders:
                self._load_holders(collection, field, [value])
            if self._holders[collection, field, value] - {id_}:
                raise ChangeError(UNIQUE[field].format(value))

    # ------------------------------------------------------------ weighing

    def _insert(self, change: Insert, new: _New) -> None:
        place = (change.collection, new.id)
        if place in self._texts or place in self._stored:
            return
        self._require_free(change.collection, new.id, new.found_by)
        self._texts[place] = new.text
        if change.collection == MESSAGES:
            self._columns[new.id], self._digests[new.id] = new.columns, change.digest
        for field, value in new.found_by:
            self._add((change.collection, field, value), new.id)

    def _update(self, change: Update) -> None:
        collection, id_ = place = (change.collection, change.id)
        stored = self._texts.get(place) or self._stored.get(place)
        if stored is None:
            raise ChangeError("there is no such document")
        document = decode(stored)
        old = keys(collection, document) if touches_keys(change) else None
        document = patched(document, change if is_plain(change) else normalized(change))
        if written(document).decode() != stored:
            self._replace(collection, id_, document, old)
        if collection == MESSAGES and change.digest:
            self._digests[id_] = change.digest

    def _replace(
        self, collection: str, id_: str, document: Document, old: set[tuple[str, str]] | None
    ) -> None:
        """Keep the document as it now is. `old` are its keys before, None if these are as they were."""
        text = stamped(document, self._ending).decode()
        if collection == MESSAGES:
            self._columns[id_] = columns(document)
        elif old is not None:
            new = keys(collection, document)
            self._require_free(collection, id_, new - old)
            for field, value in old - new:
                self._drop((collection, field, value), id_)
            for field, value in new - old:
                self._add((collection, field, value), id_)
        if collection == SUBSCRIPTIONS:
            self._members[id_] = subscriptions.member(document)
        self._texts[collection, id_] = text

    def _add(self, key: _Key, id_: str) -> None:
        row = (*key, id_)
        if row in self._dropped:
            self._dropped.remove(row)
        else:
            self._added.add(row)
        if key in self._holders:
            self._holders[key].add(id_)

    def _drop(self, key: _Key, id_: str) -> None:
        row = (*key, id_)
        if row in self._added:
            self._added.remove(row)
        else:
            self._dropped.add(row)
        if key in self._holders:
            self._holders[key].discard(id_)

    # ------------------------------------------------------------ writing

    def _write(self) -> None:
        """In the order of the tables: what is written one after the other lies side by side."""
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
        self._write_many(_DROP_KEY, sorted(row for row in self._dropped if row[0] != SUBSCRIPTIONS))
        self._write_many(_ADD_KEY, sorted(row for row in self._added if row[0] != SUBSCRIPTIONS))

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
