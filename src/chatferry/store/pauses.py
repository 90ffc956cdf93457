"""Which operations are paused."""

from chatferry.store.database import StoreTables


class Pauses(StoreTables):
    """A pause is no status: Rocket.Chat's pages know only Rocket.Chat's. It outlives the process."""

    def add(self, operation_id: str) -> None:
        self._database.run("INSERT OR IGNORE INTO pauses VALUES (?)", (operation_id,))

    def remove(self, operation_id: str) -> None:
        self._database.run("DELETE FROM pauses WHERE operation = ?", (operation_id,))

    def has(self, operation_id: str) -> bool:
        sql = "SELECT 1 FROM pauses WHERE operation = ?"
        return self._database.one(sql, (operation_id,)) is not None
