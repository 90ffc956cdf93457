"""Subscriptions in the embedded workspace: room and user are columns of their table.

Only messages are more numerous. Insert blindly; look for conflicts only if some rows were ignored.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from chatferry.destinations.protocol import Rejection
from chatferry.destinations.rules import UNIQUE, ChangeError, identity, to_json, with_timestamp
from chatferry.destinations.slices import slices
from chatferry.destinations.sqlite.sql import placeholders
from chatferry.documents import SUBSCRIPTIONS, Document, Insert, decode

Member = tuple[str | bytes | None, str | bytes | None]
"""The columns `rid` and `uid`: texts as they are, what is none as the bytes of its JSON, NULL for nothing."""

_ENTER = f"INSERT OR IGNORE INTO {SUBSCRIPTIONS} (_id, rid, uid, doc) VALUES (?, ?, ?, ?)"
_ENTERED = f"SELECT _id FROM {SUBSCRIPTIONS} WHERE _id IN "
_HOLDERS = f"SELECT _id FROM {SUBSCRIPTIONS} WHERE rid = ? AND uid = ?"
_LEAVE = f"UPDATE {SUBSCRIPTIONS} SET rid = NULL, uid = NULL WHERE _id = ?"
_REPLACE = f"UPDATE {SUBSCRIPTIONS} SET rid = ?, uid = ?, doc = ? WHERE _id = ?"

_COLUMNS = f"SELECT name FROM pragma_table_info('{SUBSCRIPTIONS}')"
_ADD_COLUMN = f"ALTER TABLE {SUBSCRIPTIONS} ADD COLUMN {{}} TEXT"
_SOME = f"SELECT rowid, doc FROM {SUBSCRIPTIONS} WHERE rowid > ? ORDER BY rowid LIMIT 1000"
_FILL = f"UPDATE {SUBSCRIPTIONS} SET rid = ?, uid = ? WHERE rowid = ?"
_DROP_KEYS = f"DELETE FROM chatferry_keys WHERE collection = '{SUBSCRIPTIONS}'"

_Row = tuple[str, str | bytes | None, str | bytes | None, str]


def enter(
    db: sqlite3.Connection, inserts: Iterable[tuple[int, Insert]], suffix: bytes
) -> Iterator[Rejection]:
    """Insert new subscriptions, given with their numbers. Yield the rejected ones."""
    rows: dict[str, _Row] = {}
    numbers: list[int] = []
    for number, insert in inserts:
        try:
            id_ = identity(insert.document)
            row = (id_, *member(insert.document), with_timestamp(insert.document, suffix).decode())
        except ChangeError as fault:
            yield Rejection(number, str(fault))
            continue
        if id_ in rows:
            yield from _enter(db, rows, numbers)
            rows, numbers = {}, []
        rows[id_] = row
        numbers.append(number)
    yield from _enter(db, rows, numbers)


def _enter(db: sqlite3.Connection, rows: dict[str, _Row], numbers: Sequence[int]) -> Iterator[Rejection]:
    if not rows or db.executemany(_ENTER, rows.values()).rowcount == len(rows):
        return
    there = {id_ for some in slices(rows) for (id_,) in db.execute(_ENTERED + placeholders(some), some)}
    for number, id_ in zip(numbers, rows, strict=True):
        if id_ not in there:
            yield Rejection(number, UNIQUE["member"])


def member(subscription: Document) -> Member:
    """Return the values of a subscription's columns."""
    rid, user = subscription.get("rid"), subscription.get("u")
    if type(rid) is str and type(user) is dict and type(user_id := user.get("_id")) is str:
        return rid, user_id
    user_id = _column(user["_id"]) if isinstance(user, dict) and "_id" in user else None
    return None if rid is None else _column(rid), user_id


def _column(value: Any) -> str | bytes:
    return value if isinstance(value, str) else to_json(value)


def holders(db: sqlite3.Connection, key: str) -> set[str]:
    """Return the ids of subscriptions with this key "member" of `rules.keys`."""
    return {id_ for (id_,) in db.execute(_HOLDERS, [*map(_column, msgspec.json.decode(key))])}


def replace(db: sqlite3.Connection, changed: Sequence[tuple[str, Member, str]]) -> None:
    """Overwrite subscriptions, given by id, columns and text. They may exchange rooms and users."""
    db.executemany(_LEAVE, [(id_,) for id_, _, _ in changed])
    db.executemany(_REPLACE, [(*columns, text, id_) for id_, columns, text in changed])


def give_columns(db: sqlite3.Connection) -> None:
    """Give a table that version 2 made its columns, and drop the keys that they replace."""
    columns = {name for (name,) in db.execute(_COLUMNS)}
    if not columns or "rid" in columns:
        return
    for name in ("rid", "uid"):
        db.execute(_ADD_COLUMN.format(name))
    last = 0
    while rows := db.execute(_SOME, (last,)).fetchall():
        db.executemany(_FILL, [(*member(decode(text)), number) for number, text in rows])
        last = rows[-1][0]
    db.execute(_DROP_KEYS)
