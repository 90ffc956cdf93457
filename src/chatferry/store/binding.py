"""The destination that the store belongs to."""

from msgspec import Struct

from chatferry.store.database import StoreTables


class Binding(Struct, frozen=True):
    """A destination: `id` is its `Destination.unique_id`, `url` its address without secrets.

    `url` is "" for the workspace in the data directory. `is_whole`: it had no secrets, and can be opened.
    """

    id: str
    url: str
    is_whole: bool


class BindingTable(StoreTables):
    def get(self) -> Binding | None:
        row = self._database.one("SELECT id, url, is_whole FROM binding")
        return Binding(row[0], row[1], bool(row[2])) if row else None

    def put(self, binding: Binding) -> None:
        sql = "INSERT OR REPLACE INTO binding (one, id, url, is_whole) VALUES (1, ?, ?, ?)"
        self._database.run(sql, (binding.id, binding.url, binding.is_whole))
