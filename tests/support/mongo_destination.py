"""Messages for a MongoDB destination."""

from typing import Any

from pymongo.database import Database

from chatferry.destinations.mongodb.destination import MongoDestination
from chatferry.documents import USERS, Date, Document, Update, digest, encode

Db = Database[dict[str, Any]]


def message(id_: str, **fields: Any) -> Document:
    return {"_id": id_, "rid": "r1", "ts": Date.at(1000), "msg": id_, "u": {"_id": "u1"}} | fields


def insert(destination: MongoDestination, *documents: Document, mark: bytes = b"") -> list[int]:
    """Insert packed messages, and return the indexes of the rejected ones."""
    packed = [
        destination.pack(document, encode(document), mark or digest(encode(document)))
        for document in documents
    ]
    return [rejection.index for rejection in destination.insert(packed)]


def rooms_of(id: str, *room_ids: str) -> Update:
    return Update(collection=USERS, id=id, add={"__rooms": room_ids})
