"""What commands leave to the server that works in the same data directory."""

from enum import StrEnum

from chatferry.store.database import Database


class Wish(StrEnum):
    """What is wanted of the server for an operation."""

    WORK = "work"
    STOP = "stop"


class Handovers:
    """A row lasts until the server takes notice, some tenths of a second."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, operation_id: str, wish: Wish) -> None:
        """Note what is wanted for an operation, in place of what was wanted before."""
        self._database.run("INSERT OR REPLACE INTO handovers VALUES (?, ?)", (operation_id, wish.value))

    def take(self) -> dict[str, Wish]:
        """Return what is wanted, by the ids of operations, and forget it."""
        if self._database.one("SELECT 1 FROM handovers LIMIT 1") is None:  # without waiting for writers
            return {}
        with self._database.transaction():
            rows = self._database.all("SELECT operation, wish FROM handovers")
            self._database.run("DELETE FROM handovers")
        return {operation_id: Wish(wish) for operation_id, wish in rows}
