"""Users, channels and contacts between reading and importing."""

from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from typing import Literal, TypeVar

import msgspec
from msgspec import Struct

from chatferry.records import Channel, Contact, Outcome, User
from chatferry.store.database import StoreTables

Record = User | Channel | Contact
Type = Literal["user", "channel", "contact"]

_TYPES: dict[type[Record], Type] = {User: "user", Channel: "channel", Contact: "contact"}

T = TypeVar("T")

_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(Record).decode
_PAGE = 500

_DOCUMENTS = "SELECT document_id FROM staged WHERE document_id > '' AND type IN ('user', 'channel')"


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the items in lists of at most `size`."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


class Staged(Struct, frozen=True):
    """A staged record and its outcome so far."""

    number: int
    record: Record
    outcome: Outcome | None
    document_id: str
    name: str


class Result(Struct, frozen=True):
    number: int
    outcome: Outcome
    document_id: str = ""
    name: str = ""


class Staging(StoreTables):
    def add(self, operation_id: str, records: Iterable[tuple[int, Record]]) -> None:
        sql = "INSERT INTO staged (operation, type, number, import_id, data) VALUES (?, ?, ?, ?, ?)"
        self._database.run_many(
            sql,
            (
                (operation_id, _TYPES[type(record)], number, record.id, _encode(record))
                for number, record in records
            ),
        )

    def records(self, operation_id: str, type: Type, undecided: bool = False) -> Iterator[Staged]:
        """Yield the records of a type in order; `undecided`: only records without an outcome."""
        condition = "AND outcome IS NULL" if undecided else ""
        sql = (
            "SELECT number, data, outcome, document_id, name FROM staged "
            f"WHERE operation = ? AND type = ? AND number > ? {condition} ORDER BY number LIMIT ?"
        )
        for rows in self._database.pages(sql, (operation_id, type), (-1,), _PAGE):
            for number, data, outcome, document_id, name in rows:
                decided = Outcome(outcome) if outcome else None
                yield Staged(number, _decode(data), decided, document_id or "", name or "")

    def next_number(self, operation_id: str) -> int:
        sql = "SELECT coalesce(max(number), -1) + 1 FROM staged WHERE operation = ?"
        return self._database.number(sql, (operation_id,))

    def import_ids(self, operation_id: str, type: Type) -> frozenset[str]:
        sql = "SELECT import_id FROM staged WHERE operation = ? AND type = ?"
        return frozenset(row[0] for row in self._database.all(sql, (operation_id, type)))

    def decide(self, operation_id: str, type: Type, results: Collection[Result]) -> None:
        sql = (
            "UPDATE staged SET outcome = ?, document_id = ?, name = ? "
            "WHERE operation = ? AND type = ? AND number = ?"
        )
        self._database.run_many(
            sql,
            (
                (result.outcome, result.document_id, result.name, operation_id, type, result.number)
                for result in results
            ),
        )

    def document_ids(self) -> list[str]:
        """Return the ids of some users and rooms that imports found or made in the destination."""
        newest = "SELECT document_id FROM traces ORDER BY number DESC LIMIT 200"
        return [id_ for sql in (f"{_DOCUMENTS} LIMIT 200", newest) for (id_,) in self._database.all(sql)]

    def outcomes(self, operation_id: str, type: Type) -> dict[Outcome | None, int]:
        """Return how many records of a type have which outcome, also when the records are gone."""
        sql = (
            "SELECT outcome, count(*) FROM staged WHERE operation = ?1 AND type = ?2 GROUP BY outcome "
            "UNION ALL SELECT outcome, count FROM staged_outcomes WHERE operation = ?1 AND type = ?2"
        )
        rows = self._database.all(sql, (operation_id, type))
        return {Outcome(outcome) if outcome else None: count for outcome, count in rows}

    def operations(self) -> list[str]:
        """Return the ids of the operations that have staged records."""
        sql = (
            "WITH RECURSIVE found (id) AS (SELECT min(operation) FROM staged UNION ALL "
            "SELECT (SELECT min(operation) FROM staged WHERE operation > id) FROM found WHERE id NOTNULL) "
            "SELECT id FROM found WHERE id NOTNULL"
        )
        return [row[0] for row in self._database.all(sql)]

    def count(self, operation_id: str) -> int:
        return self._database.number("SELECT count(*) FROM staged WHERE operation = ?", (operation_id,))

    def reduce(self, operation_id: str) -> None:
        """Remove the records of an operation; the counts of outcomes stay, and some ids of documents."""
        with self._database.transaction():
            self._database.run(
                "INSERT OR REPLACE INTO staged_outcomes "
                "SELECT operation, type, coalesce(outcome, ''), count(*) "
                "FROM staged WHERE operation = ? GROUP BY operation, type, outcome",
                (operation_id,),
            )
            self._database.run(
                f"INSERT OR IGNORE INTO traces (document_id) {_DOCUMENTS} AND operation = ? LIMIT 200",
                (operation_id,),
            )
            self._database.run("DELETE FROM staged WHERE operation = ?", (operation_id,))

    def clear(self, operation_id: str) -> None:
        self._database.run("DELETE FROM staged WHERE operation = ?", (operation_id,))
        self._database.run("DELETE FROM staged_outcomes WHERE operation = ?", (operation_id,))
