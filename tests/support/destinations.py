"""Every destination, for the tests that all have to pass, and documents to work with.

A new destination is one more line in `DESTINATIONS`, and in `LASTING` if it lasts.
"""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from chatferry.destinations import Destination
from chatferry.destinations.memory import MemoryDestination
from chatferry.destinations.mongodb.destination import MongoDestination
from chatferry.destinations.sqlite.destination import SqliteDestination
from chatferry.documents import (
    AVATARS,
    COLLECTIONS,
    CONTACTS,
    LINKS,
    MESSAGES,
    ORIGINS,
    PERMISSIONS,
    ROOMS,
    SUBSCRIPTIONS,
    UPLOADS,
    USERS,
    Change,
    Date,
    Document,
    Insert,
    Update,
    decode,
)
from tests.support.mongo import Mongod, set_settings, wipe
from tests.support.s3 import S3Server


def sqlite(directory: Path) -> Destination:
    return SqliteDestination(directory / "workspace.db")


class MongoDatabase:
    """One database on the server for all tests: emptied when a test comes with a directory of its own."""

    def __init__(self) -> None:
        self._url = ""
        self._client: MongoClient[dict[str, Any]] | None = None
        self._directory: Path | None = None

    def use(self, server: Mongod) -> None:
        if self._client is None:
            self._url, self._client = server.database_url("conformance"), server.client()

    def __call__(self, directory: Path, settings: Mapping[str, Any] | None = None) -> Destination:
        assert self._client is not None
        if directory != self._directory:
            wipe(self._client["conformance"])
            set_settings(self._client["conformance"], settings or {})
        self._directory = directory
        return MongoDestination(self._url)


MONGO = MongoDatabase()


def mongo_and_directory(directory: Path) -> Destination:
    path = str(directory)
    return MONGO(directory, {"FileUpload_Storage_Type": "FileSystem", "FileUpload_FileSystemPath": path})


def mongo_and_s3(server: S3Server, directory: Path) -> Destination:
    bucket = hashlib.sha256(str(directory).encode()).hexdigest()[:20]
    server.client().create_bucket(Bucket=bucket)
    return MONGO(directory, server.settings(bucket))


DESTINATIONS: dict[str, Callable[[Path], Destination]] = {
    "sqlite": sqlite,
    "memory": lambda directory: MemoryDestination(),
    "memory over sqlite": lambda directory: MemoryDestination(sqlite(directory)),
    "mongodb": MONGO,
}


def opened_by_name(name: str, request: pytest.FixtureRequest, directory: Path) -> Destination:
    if name.startswith("mongodb"):
        request.getfixturevalue("mongodb")
    if name == "mongodb and a directory":
        return mongo_and_directory(directory)
    if name == "mongodb and S3":
        return mongo_and_s3(request.getfixturevalue("s3"), directory)
    return DESTINATIONS[name](directory)


def user(id_: str, **fields: Any) -> Insert:
    return Insert(USERS, {"_id": id_, "type": "user", "active": True} | fields)


def room(id_: str, t: str = "c", **fields: Any) -> Insert:
    return Insert(ROOMS, {"_id": id_, "t": t} | fields)


def subscription(id_: str, rid: str, uid: str) -> Insert:
    return Insert(SUBSCRIPTIONS, {"_id": id_, "rid": rid, "u": {"_id": uid, "username": uid}, "open": True})


def message(
    id_: str, rid: str = "r1", ts: int = 1_672_650_050_123, digest: bytes = b"", **fields: Any
) -> Insert:
    document = {"_id": id_, "rid": rid, "ts": Date.at(ts), "msg": id_, "u": {"_id": "u1"}, "urls": []}
    return Insert(MESSAGES, document | fields, digest)


def change(target: Insert, **how: Any) -> Update:
    return Update(collection=target.collection, id=target.document["_id"], **how)


def bare(document: Document) -> Document:
    """Return a document without the fields that the destination adds."""
    return {key: value for key, value in document.items() if key != "_updatedAt"}


def stored(destination: Destination, collection: str) -> list[Document]:
    return [decode(line) for line in destination.dump(collection)]


def everything(destination: Destination) -> dict[str, list[Document]]:
    return {c: [bare(document) for document in stored(destination, c)] for c in COLLECTIONS}


def the(destination: Destination, insert: Insert) -> Document:
    """Return an inserted document as it is stored."""
    documents = {document["_id"]: bare(document) for document in stored(destination, insert.collection)}
    return documents[insert.document["_id"]]


def ids(documents: Collection[Document]) -> list[str]:
    return sorted(document["_id"] for document in documents)


LOGGED_IN = {"resume": {"loginTokens": [{"hashedToken": "hash"}]}}


SOME_OF_EACH: Sequence[Change] = [
    user(
        "u1",
        username="Ada",
        emails=[{"address": "Ada@Example.org", "verified": True}],
        importIds=["U1", "W1"],
    ),
    user("u2", username="ben", roles=["user", "admin"], importIds=["U2"], services=LOGGED_IN),
    Insert(CONTACTS, {"_id": "c1", "name": "Cleo", "importIds": ["7", "x"]}),
    room("r1", name="general", fname="General", default=True, importIds=["C1"]),
    room("r2", t="d", uids=["u2", "u1"], usernames=["Ada", "ben"], importIds=["D1"]),
    room("r3", t="p", name="secret", fname="Secret", default=False),
    subscription("s1", "r1", "u1"),
    subscription("s2", "r1", "u2"),
    subscription("s3", "r2", "u1"),
    message("m1", ts=1000, digest=b"12345678"),
    message("m2", rid="r2", ts=2000, tmid="m1"),
    message("m3", ts=3000),
    Insert(AVATARS, {"_id": "a1", "userId": "u1"}),
    Insert(UPLOADS, {"_id": "f1", "name": "a.txt", "size": 3}),
    Insert(PERMISSIONS, {"_id": "run-import", "roles": ["admin"]}),
    Insert(ORIGINS, {"_id": "csv/csv", "importer": "csv", "name": "csv"}),
    Insert(LINKS, {"_id": "l1", "origin": "csv/csv", "importId": "7", "document": "u1"}),
]


def rejected(destination: Destination, batch: Sequence[Change]) -> list[int]:
    return [rejection.index for rejection in destination.apply(batch)]
