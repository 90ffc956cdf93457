"""How often a process died while it worked on an operation, and where that stood."""

from chatferry.store.database import StoreTables


class WorkAttempts(StoreTables):
    """A row lasts as long as the work. A row that exists before the work begins shows that a process died."""

    def begin(self, operation_id: str, place: str) -> int:
        """Note that the work begins at a place. Return how many processes died there in a row."""
        with self._database.transaction():
            sql = "SELECT place, deaths FROM attempts WHERE operation = ?"
            row = self._database.one(sql, (operation_id,))
            deaths = 0 if row is None else row[1] + 1 if row[0] == place else 1
            values = (operation_id, place, deaths)
            self._database.run("INSERT OR REPLACE INTO attempts VALUES (?, ?, ?)", values)
        return deaths

    def end(self, operation_id: str) -> None:
        """Note that the work came to an end, whatever that was."""
        self._database.run("DELETE FROM attempts WHERE operation = ?", (operation_id,))
