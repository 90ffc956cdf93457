"""What became of files of messages and of avatars when their bytes were fetched."""

from chatferry.records import Outcome
from chatferry.store.database import StoreTables


class Fetches(StoreTables):
    """A file goes by its upload's id and its message's, an avatar by its user's id alone."""

    def note(self, operation_id: str, outcome: Outcome, id: str, message_id: str = "") -> None:
        sql = "INSERT OR REPLACE INTO fetches VALUES (?, ?, ?, ?)"
        self._database.run(sql, (id, message_id, operation_id, outcome))

    def is_noted(self, operation_id: str, id: str, message_id: str = "") -> bool:
        """Return whether the operation has dealt with a file or avatar."""
        sql = "SELECT 1 FROM fetches WHERE id = ? AND message_id = ? AND operation = ?"
        return self._database.one(sql, (id, message_id, operation_id)) is not None

    def outcomes(self, operation_id: str) -> dict[Outcome, int]:
        sql = "SELECT outcome, count(*) FROM fetches WHERE operation = ? GROUP BY outcome"
        return {Outcome(outcome): count for outcome, count in self._database.all(sql, (operation_id,))}


class AvatarAddresses(StoreTables):
    """The addresses of avatars that hold a secret, by the id of their user."""

    def put(self, user_id: str, url: str) -> None:
        self._database.run("INSERT OR REPLACE INTO avatar_addresses VALUES (?, ?)", (user_id, url))

    def remove(self, user_id: str) -> None:
        self._database.run("DELETE FROM avatar_addresses WHERE user_id = ?", (user_id,))

    def clear(self) -> int:
        """Remove all; return how many there were."""
        return self._database.run("DELETE FROM avatar_addresses")

    def count(self) -> int:
        return self._database.number("SELECT count(*) FROM avatar_addresses")

    def get(self, user_id: str) -> str:
        """Return the address; "" if the user's document has it whole."""
        row = self._database.one("SELECT url FROM avatar_addresses WHERE user_id = ?", (user_id,))
        return str(row[0]) if row else ""
