"""Operations in the store."""

from collections.abc import Collection

import msgspec
from msgspec.structs import replace

from chatferry.operations import Operation
from chatferry.store.database import Database, Row

_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(Operation).decode
_FIELDS = "SELECT data, valid, updated_at FROM operations"


class Operations:
    """`valid` lives in a column of its own: work in progress saves an operation without reviving it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, operation: Operation) -> None:
        sql = "INSERT INTO operations (id, ts, updated_at, valid, data) VALUES (?, ?, ?, ?, ?)"
        row = (operation.id, operation.ts, operation.updated_at, operation.valid, _encode(operation))
        self._database.run(sql, row)

    def save(self, operation: Operation) -> None:
        """Store a changed operation, all but its validity."""
        sql = "UPDATE operations SET updated_at = ?, data = ? WHERE id = ?"
        self._database.run(sql, (operation.updated_at, _encode(operation), operation.id))

    def invalidate_all(self, now: int) -> None:
        """No operation is valid any more; `updated_at` moves only where that is news."""
        self._database.run("UPDATE operations SET valid = 0, updated_at = ? WHERE valid = 1", (now,))

    def get(self, id: str) -> Operation | None:
        return _first(self._database.all(f"{_FIELDS} WHERE id = ?", (id,)))

    def last(self) -> Operation | None:
        """The one that began last: Rocket.Chat's "current" operation."""
        return _first(self._database.all(f"{_FIELDS} ORDER BY ts DESC, number DESC LIMIT 1"))

    def latest(self, limit: int, without: Collection[str] = ()) -> list[Operation]:
        """Those that changed last, newest first; of equals the one created later."""
        sql = f"{_FIELDS} ORDER BY updated_at DESC, number DESC LIMIT ?"
        operations = [_operation(row) for row in self._database.all(sql, (limit + len(without),))]
        return [operation for operation in operations if operation.id not in without][:limit]

    def all(self) -> list[Operation]:
        """Every operation, in order of creation."""
        return [_operation(row) for row in self._database.all(f"{_FIELDS} ORDER BY number")]


def _operation(row: Row) -> Operation:
    data, valid, updated_at = row
    return replace(_decode(data), valid=bool(valid), updated_at=updated_at)


def _first(rows: list[Row]) -> Operation | None:
    return _operation(rows[0]) if rows else None
