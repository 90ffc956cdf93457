"""Problems of an operation, kept per phase of the work, so that repeated work replaces its own."""

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from chatferry.records import Problem
from chatferry.store.database import StoreTables

_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(Problem).decode
_PAGE = 1000
_LAST = 2**62

Place = tuple[int, int]
"""Where a problem is among those of its operation: its phase, and its number there."""

FIRST_PLACE: Place = (-1, -1)
"""The place before all problems."""


PREPARE, USERS, CHANNELS, CONTACTS, TEXT_INDEX, FILES, PARTS = 0, 1, 2, 3, 8, 9, 10
"""Phases: reading the archive, users, channels, contacts, the text index of messages, fetching bytes, and
from PARTS on one per part."""


class Problems(StoreTables):
    def add(self, operation_id: str, phase: int, problems: Iterable[Problem], first: int = 0) -> None:
        """Store problems of a phase, numbered from `first` on; same numbers are replaced."""
        sql = "INSERT OR REPLACE INTO problems VALUES (?, ?, ?, ?)"
        self._database.run_many(
            sql, ((operation_id, phase, first + n, _encode(problem)) for n, problem in enumerate(problems))
        )

    def replace(self, operation_id: str, problems: Mapping[int, Iterable[Problem]]) -> None:
        """Store the problems of whole phases, by phase, in place of what they had."""
        with self._database.transaction():
            self._database.run_many(
                "DELETE FROM problems WHERE operation = ? AND phase = ?",
                ((operation_id, phase) for phase in problems),
            )
            self._database.run_many(
                "INSERT INTO problems VALUES (?, ?, ?, ?)",
                (
                    (operation_id, phase, number, _encode(problem))
                    for phase, some in problems.items()
                    for number, problem in enumerate(some)
                ),
            )

    def next_number(self, operation_id: str, phase: int) -> int:
        """Return the number of a phase's next problem."""
        sql = "SELECT coalesce(max(number), -1) + 1 FROM problems WHERE operation = ? AND phase = ?"
        return self._database.number(sql, (operation_id, phase))

    def all(self, operation_id: str, last_phase: int = _LAST) -> Iterator[Problem]:
        """Yield the problems of all phases up to the last, in order."""
        return (problem for _, problem in self.placed(operation_id, last_phase=last_phase))

    def placed(
        self, operation_id: str, after: Place = FIRST_PLACE, last_phase: int = _LAST
    ) -> Iterator[tuple[Place, Problem]]:
        """Yield the problems behind a place, each with its own place, in order."""
        sql = (
            "SELECT phase, number, data FROM problems WHERE operation = ? AND phase <= ? "
            "AND (phase, number) > (?, ?) ORDER BY phase, number LIMIT ?"
        )
        for rows in self._database.pages(sql, (operation_id, last_phase), after, _PAGE):
            yield from (((phase, number), _decode(data)) for phase, number, data in rows)

    def clear(self, operation_id: str) -> None:
        self._database.run("DELETE FROM problems WHERE operation = ?", (operation_id,))
