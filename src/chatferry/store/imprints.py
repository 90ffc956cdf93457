"""What imports of parts left in a destination: see `chatferry.unchanged`."""

import zlib

import msgspec
from msgspec import Struct

from chatferry.convert.messages import PendingFile
from chatferry.records import Outcome, Problem
from chatferry.store.database import Database


class Imprint(Struct, frozen=True, array_like=True):
    """What is kept of an imported part.

    users, rooms   the import ids that its messages name
    known          a digest of what these stood for
    ids, digests   of its messages in the destination; the digests as one
    messages, files, problems, pending
                   what would become of it in another import
    """

    users: tuple[str, ...]
    rooms: tuple[str, ...]
    known: bytes
    ids: tuple[str, ...]
    digests: bytes
    messages: dict[Outcome, int]
    files: dict[Outcome, int]
    problems: list[Problem]
    pending: list[PendingFile]


_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(Imprint).decode


class Imprints:
    def __init__(self, database: Database) -> None:
        self._database = database

    def any(self) -> bool:
        return self._database.one("SELECT 1 FROM imprints LIMIT 1") is not None

    def add(self, operation_id: str, channel: str, mark: bytes, imprint: Imprint) -> None:
        """Keep the imprint of a part, by what marks the part."""
        data = zlib.compress(_encode(imprint), 1)
        values = (mark, operation_id, channel, data)
        self._database.run("INSERT OR REPLACE INTO imprints VALUES (?, ?, ?, ?)", values)

    def get(self, mark: bytes) -> Imprint | None:
        row = self._database.one("SELECT data FROM imprints WHERE mark = ?", (mark,))
        return _decode(zlib.decompress(row[0])) if row else None

    def renew(self, operation_id: str, mark: bytes) -> None:
        """This operation has made use of an imprint."""
        self._database.run("UPDATE imprints SET operation = ? WHERE mark = ?", (operation_id, mark))

    def drop_older(self, operation_id: str) -> None:
        """Drop what other operations left in the channels that this one has brought up to date."""
        self._database.run(
            "DELETE FROM imprints WHERE operation <> ?1 "
            "AND channel IN (SELECT channel FROM parts WHERE operation = ?1)",
            (operation_id,),
        )
