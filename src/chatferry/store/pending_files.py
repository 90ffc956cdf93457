"""Files whose bytes are still to be fetched, with their secret addresses."""

from collections.abc import Sequence

import msgspec

from chatferry.convert.messages import PendingFile
from chatferry.records import Outcome
from chatferry.store.database import Database

_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(PendingFile).decode


class PendingFiles:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, files: Sequence[PendingFile]) -> dict[Outcome, int]:
        """Remember files; how many of them are new, changed, or known as they are."""
        outcomes: dict[Outcome, int] = {}
        with self._database.transaction():
            for file in files:
                outcome = self._add(file)
                outcomes[outcome] = outcomes.get(outcome, 0) + 1
        return outcomes

    def _add(self, file: PendingFile) -> Outcome:
        data = _encode(file)
        sql = "SELECT data FROM pending_files WHERE upload_id = ? AND message_id = ?"
        known = self._database.one(sql, (file.upload_id, file.message_id))
        if known and known[0] == data:
            return Outcome.UNCHANGED
        sql = "INSERT OR REPLACE INTO pending_files VALUES (?, ?, ?)"
        self._database.run(sql, (file.upload_id, file.message_id, data))
        return Outcome.UPDATED if known else Outcome.INSERTED

    def of_message(self, message_id: str) -> list[PendingFile]:
        sql = "SELECT data FROM pending_files WHERE message_id = ?"
        return [_decode(row[0]) for row in self._database.all(sql, (message_id,))]

    def count(self) -> int:
        row = self._database.one("SELECT count(*) FROM pending_files")
        return int(row[0]) if row else 0
