"""The parts of an operation, and what became of their messages and files."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import msgspec
from msgspec import Struct

from chatferry.records import Outcome, Part
from chatferry.store.database import StoreTables

_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(Part).decode
_PAGE = 20

Outcomes = Mapping[Literal["message", "file"], Mapping[Outcome, int]]
"""How many records of a part have which outcome, by their type."""


class NumberedPart(Struct, frozen=True):
    number: int
    part: Part


class Parts(StoreTables):
    def add(self, operation_id: str, parts: Iterable[tuple[int, Part]]) -> None:
        sql = "INSERT INTO parts (operation, number, channel, messages, data) VALUES (?, ?, ?, ?, ?)"
        self._database.run_many(
            sql,
            ((operation_id, number, part.channel, part.messages, _encode(part)) for number, part in parts),
        )

    def undone(self, operation_id: str) -> Iterator[NumberedPart]:
        """Yield the parts still to be imported, in order."""
        sql = (
            "SELECT number, data FROM parts WHERE operation = ? AND done = 0 AND number > ? "
            "ORDER BY number LIMIT ?"
        )
        for rows in self._database.pages(sql, (operation_id,), (-1,), _PAGE):
            yield from (NumberedPart(number, _decode(data)) for number, data in rows)

    def finish(self, operation_id: str, outcomes: Mapping[int, Outcomes]) -> None:
        """Note that parts are done, by their numbers, and what became of them."""
        with self._database.transaction():
            self._database.run_many(
                "UPDATE parts SET done = 1 WHERE operation = ? AND number = ?",
                ((operation_id, number) for number in outcomes),
            )
            self._database.run_many(
                "INSERT OR REPLACE INTO part_outcomes VALUES (?, ?, ?, ?, ?)",
                (
                    (operation_id, number, type, outcome, count)
                    for number, by_type in outcomes.items()
                    for type, counts in by_type.items()
                    for outcome, count in counts.items()
                ),
            )

    def any_done(self) -> bool:
        """Return whether messages of any operation were imported."""
        return self._database.one("SELECT 1 FROM parts WHERE done = 1 LIMIT 1") is not None

    def outcomes(self, operation_id: str, type: Literal["message", "file"]) -> dict[Outcome, int]:
        sql = (
            "SELECT outcome, sum(count) FROM part_outcomes WHERE operation = ? AND type = ? GROUP BY outcome"
        )
        rows = self._database.all(sql, (operation_id, type))
        return {Outcome(outcome): count for outcome, count in rows}

    def messages(self, operation_id: str) -> int:
        """Return how many messages all parts have together."""
        sql = "SELECT coalesce(sum(messages), 0) FROM parts WHERE operation = ?"
        return self._database.number(sql, (operation_id,))

    def rooms(self, operation_id: str) -> tuple[int, str]:
        """Return how many channels have parts that are done, and the id of the one with most messages."""
        sql = (
            "SELECT count(*) OVER (), channel FROM parts WHERE operation = ? AND done = 1 AND messages > 0 "
            "GROUP BY channel ORDER BY sum(messages) DESC, channel LIMIT 1"
        )
        row = self._database.one(sql, (operation_id,))
        return (int(row[0]), row[1]) if row else (0, "")

    def clear(self, operation_id: str) -> None:
        self._database.run("DELETE FROM parts WHERE operation = ?", (operation_id,))
        self._database.run("DELETE FROM part_outcomes WHERE operation = ?", (operation_id,))
