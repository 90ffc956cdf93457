"""The operations that commands leave to the server that works in the same data directory."""

from chatferry.store.database import Database


class Handovers:
    """A row lasts until the server takes notice, some tenths of a second."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, operation_id: str) -> None:
        """Note that the server is to work on an operation."""
        self._database.run("INSERT OR REPLACE INTO handovers VALUES (?)", (operation_id,))

    def take(self) -> list[str]:
        """Return the ids of the operations to be worked on, and forget them."""
        if self._database.one("SELECT 1 FROM handovers LIMIT 1") is None:  # without waiting for writers
            return []
        with self._database.transaction():
            rows = self._database.all("SELECT operation FROM handovers")
            self._database.run("DELETE FROM handovers")
        return [operation_id for (operation_id,) in rows]
