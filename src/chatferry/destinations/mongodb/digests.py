"""The digests of imported messages, in a collection of chatferry's own.

They lie there by the thousand, `{messages: [{_id, digest}, ...]}`: one document for each took a tenth of the
time that the message itself takes with all its indexes.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from bson import ObjectId
from pymongo.client_session import ClientSession
from pymongo.database import Database

from chatferry.destinations.mongodb.server import Row
from chatferry.destinations.slices import slices

DIGESTS = "chatferry_message_digests"
_AT_ONCE = 1000  # in one document


class Digests:
    """The digests of messages as they were imported, by message `_id`."""

    def __init__(self, database: Database[Row]) -> None:
        self._collection = database[DIGESTS]
        self._is_ready = False

    def make_ready(self) -> None:
        """Make the index that finds digests; a transaction cannot make it."""
        if not self._is_ready:
            self._collection.create_index("messages._id")
            self._is_ready = True

    def find(self, ids: Collection[str]) -> dict[str, bytes]:
        """Return the stored digests of these ids, the newer one of two."""
        wanted, found = set(ids), {}
        for some in slices(ids):
            for row in self._collection.find({"messages._id": {"$in": some}}).sort("_id", 1):
                for entry in row["messages"]:
                    if entry["_id"] in wanted:
                        found[entry["_id"]] = bytes(entry["digest"])
        return found

    def add(self, digests: Sequence[tuple[str, bytes]]) -> list[Row]:
        """Store the digests of new messages. Return the written documents, for `take_back`."""
        rows = [
            {
                "_id": ObjectId(),
                "messages": [{"_id": id_, "digest": digest} for id_, digest in some if digest],
            }
            for some in (digests[start : start + _AT_ONCE] for start in range(0, len(digests), _AT_ONCE))
        ]
        self._collection.insert_many(rows)
        return rows

    def take_back(self, rows: Iterable[Row], ids: Collection[str]) -> None:
        """Remove digests of these ids from documents that `add` has written."""
        for row in rows:
            pull = {"$pull": {"messages": {"_id": {"$in": list(ids)}}}}
            self._collection.update_one({"_id": row["_id"]}, pull)

    def replace(self, digests: Mapping[str, bytes], session: ClientSession) -> None:
        """Replace stored digests; b"" deletes."""
        for some in slices(digests, _AT_ONCE):
            self._collection.update_many(
                {"messages._id": {"$in": some}},
                {"$pull": {"messages": {"_id": {"$in": some}}}},
                session=session,
            )
            entries = [{"_id": id_, "digest": digests[id_]} for id_ in some if digests[id_]]
            if entries:
                self._collection.insert_one({"messages": entries}, session=session)
