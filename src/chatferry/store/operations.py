"""Operations in the store."""

from collections.abc import Callable, Collection, Iterator
from typing import TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from chatferry.operations import ENDS, Operation, Status, Summary, has_begun
from chatferry.store.database import Row, StoreTables

_encode = msgspec.msgpack.encode
_PAGE = 500
_FIELDS = "SELECT data, valid, updated_at FROM operations"
_LAST = f"{_FIELDS} ORDER BY ts DESC, number DESC LIMIT 1"
_LATEST = f"{_FIELDS} ORDER BY updated_at DESC, number DESC LIMIT ?"
_VALID = f"{_FIELDS} WHERE valid = 1 ORDER BY number"
_ADDRESSED = f"{_FIELDS} WHERE instr(data, CAST('://' AS BLOB)) ORDER BY number"
_INVALIDATE = "UPDATE operations SET valid = 0, updated_at = ? WHERE valid = 1"

Some = TypeVar("Some", bound=Summary)


class _StatusOnly(Struct):
    """The part of an operation that is read when very many are looked at."""

    status: Status


class _Location(Struct):
    """Where an archive lies, for the same reason."""

    url: str = ""
    archive: str = ""


_operation = msgspec.msgpack.Decoder(Operation).decode
_summary = msgspec.msgpack.Decoder(Summary).decode
_location_of = msgspec.msgpack.Decoder(_Location).decode
_status_of = msgspec.msgpack.Decoder(_StatusOnly).decode


class Operations(StoreTables):
    """`valid` lives in a column of its own: work in progress saves an operation without reviving it."""

    def add(self, operation: Operation) -> None:
        sql = "INSERT INTO operations (id, ts, updated_at, valid, data) VALUES (?, ?, ?, ?, ?)"
        row = (operation.id, operation.ts, operation.updated_at, operation.valid, _encode(operation))
        self._database.run(sql, row)

    def save(self, operation: Operation) -> None:
        """Store a changed operation, all but its validity."""
        sql = "UPDATE operations SET updated_at = ?, data = ? WHERE id = ?"
        self._database.run(sql, (operation.updated_at, _encode(operation), operation.id))

    def invalidate_all(self, now: int) -> None:
        """Make all operations invalid; `updated_at` changes only for valid ones."""
        self._database.run(_INVALIDATE, (now,))

    def invalidate(self, id: str) -> None:
        """Make this operation invalid: nobody can continue it."""
        self._database.run("UPDATE operations SET valid = 0 WHERE id = ?", (id,))

    def get(self, id: str) -> Operation | None:
        return _first(self._database.all(f"{_FIELDS} WHERE id = ?", (id,)), _operation)

    def is_cancelled(self, id: str) -> bool:
        """Return whether an operation was made invalid, so that the work on it is to end."""
        row = self._database.one("SELECT valid FROM operations WHERE id = ?", (id,))
        return row is not None and not row[0]

    def after(self, operation: Summary) -> str:
        """Return the id of the operation that began next after an operation; "" if none did."""
        sql = "SELECT id FROM operations WHERE ts > ? ORDER BY ts LIMIT 1"
        row = self._database.one(sql, (operation.ts,))
        return row[0] if row else ""

    def last(self) -> Operation | None:
        """Return the operation that began last: Rocket.Chat's "current" operation."""
        return _first(self._database.all(_LAST), _operation)

    def last_summary(self) -> Summary | None:
        """Return the latest operation without its selection."""
        return _first(self._database.all(_LAST), _summary)

    def latest(self, limit: int, without: Collection[str] = ()) -> list[Summary]:
        """Return the operations that changed last, newest first; of equals the one created later."""
        rows = self._database.all(_LATEST, (limit + len(without),))
        found = [_of(row, _summary) for row in rows]
        return [summary for summary in found if summary.id not in without][:limit]

    def page(self, offset: int, count: int) -> Iterator[Summary]:
        """Yield `count` operations from `offset` on, the one created last first."""
        sql = "SELECT number FROM operations ORDER BY number DESC LIMIT ? OFFSET ?"
        for number in self._database.all(sql, (count, offset)):  # one by one: a selection may be large
            rows = self._database.all(f"{_FIELDS} WHERE number = ?", number)
            yield from (_of(row, _summary) for row in rows)

    def total(self) -> int:
        """Return how many operations there are."""
        row = self._database.one("SELECT count(*) FROM operations")
        return int(row[0]) if row else 0

    def valid(self) -> list[Summary]:
        """Return the valid operations, in order of creation."""
        return [_of(row, _summary) for row in self._database.all(_VALID)]

    def have_begun(self) -> bool:
        """Return whether anything may have been imported, or was fetched."""
        rows = self._database.all("SELECT data FROM operations")
        return any(has_begun(_status_of(data).status) for (data,) in rows)

    def addressed(self) -> Iterator[Summary]:
        """Yield the operations whose archive is or was at a URL, in order of creation. Looks at them all."""
        for row in self._database.all(_ADDRESSED):
            location = _location_of(row[0])
            if location.url or "://" in location.archive:
                yield _of(row, _summary)

    def unfinished(self) -> Iterator[Summary]:
        """Yield the operations that have not ended, in order of creation. Reads all operations."""
        sql = (
            "SELECT number, data, valid, updated_at FROM operations WHERE number > ? ORDER BY number LIMIT ?"
        )
        for rows in self._database.pages(sql, (), (-1,), _PAGE):
            yield from (_of(row[1:], _summary) for row in rows if _status_of(row[1]).status not in ENDS)

    def statuses(self, since: int) -> Iterator[tuple[int, Status, int]]:
        """Yield number, status and `updated_at` of the operations that changed since then."""
        sql = "SELECT number, data, updated_at FROM operations WHERE updated_at >= ?"
        for number, data, updated_at in self._database.all(sql, (since,)):
            yield number, _status_of(data).status, updated_at


def _of(row: Row, decode: Callable[[bytes], Some]) -> Some:
    data, valid, updated_at = row
    return replace(decode(data), valid=bool(valid), updated_at=updated_at)


def _first(rows: list[Row], decode: Callable[[bytes], Some]) -> Some | None:
    return _of(rows[0], decode) if rows else None
