"""Rocket.Chat's own database: its collections in MongoDB, beside a server that may be at work on them."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from bson.raw_bson import RawBSONDocument
from pymongo.client_session import ClientSession
from pymongo.errors import BulkWriteError
from pymongo.read_preferences import ReadPreference

from chatferry.clock import now
from chatferry.destinations.mongodb.bson_documents import (
    decoded,
    document_of,
    encoded,
    timestamp_suffix,
    with_timestamp,
)
from chatferry.destinations.mongodb.changes import CollectionChanges, RefusedError
from chatferry.destinations.mongodb.digests import Digests
from chatferry.destinations.mongodb.filestores.chosen import FileStores, read_settings
from chatferry.destinations.mongodb.list_additions import add, only_add
from chatferry.destinations.mongodb.queries import COLLATIONS, is_found, queries
from chatferry.destinations.mongodb.room_totals import RoomTotals
from chatferry.destinations.mongodb.server import DUPLICATE, Row, Server, refusal, refused_documents
from chatferry.destinations.protocol import ADDRESS, Lookup, Packed, Rejection
from chatferry.destinations.rules import ChangeError, identity
from chatferry.destinations.slices import is_possible, slices
from chatferry.documents import CONTACTS, MESSAGES, ROOMS, UPLOADS, USERS, Change, Document, decode, encode

T = TypeVar("T")
_PAGE = 500  # documents in one query of `dump`
_LACKING = (USERS, CONTACTS, ROOMS)  # where an index of importIds may be missing


class MongoDestination:
    """Keeps the collections in the database that `url` names.

    `make_indexes`: indexes of `importIds` are made where there are none. Every other index is Rocket.Chat's.
    `patience`: see `Server`.
    """

    def __init__(self, url: str, make_indexes: bool = False, patience: float | None = None) -> None:
        self.address = url
        self._server = Server(url, patience)
        self._database = self._server.database
        self._stored_digests = Digests(self._database)
        try:
            self._server.require()
            self._files = FileStores(self._server)
            if make_indexes:
                self._server.patiently(self._make_indexes)
        except BaseException:
            self._server.client.close()
            raise

    def unique_id(self) -> str:
        """Return the server's own id; while there is none, one that is made of the address."""
        if self._files.server_id:
            return f"server {self._files.server_id}"
        return f"{ADDRESS} {hashlib.sha256(self._server.name.encode()).hexdigest()[:32]}"

    def settings(self, names: Collection[str]) -> dict[str, Any]:
        return self._server.patiently(read_settings, self._server, {"$in": [*names]})

    def find(self, lookup: Lookup, values: Collection[str]) -> list[Document]:
        collection, _ = lookup.value
        is_wanted = is_found(lookup, values)
        found: dict[str, Document] = {}
        for query in queries(lookup, values) if values else ():
            for row in self._server.patiently(self._rows, collection, query, lookup):
                document = document_of(row)
                if is_wanted(document):
                    found[document["_id"]] = document
        return list(found.values())

    def digests(self, message_ids: Collection[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for some in slices(message_ids):
            found.update(self._server.patiently(self._digests, some))
        return found

    def apply(self, changes: Sequence[Change]) -> list[Rejection]:
        if any(change.collection == MESSAGES for change in changes):
            self._server.patiently(self._stored_digests.make_ready)
        if only_add(changes):
            collection = self._database[changes[0].collection]
            if self._server.patiently(add, collection, changes, now()):
                return []
        return self._applied(lambda session: changes) if changes else []

    @staticmethod
    def pack(message: Document, encoded_: bytes | bytearray, digest: bytes) -> Packed:
        """Encode a message. One that BSON cannot hold stays JSON, and `insert` rejects it."""
        try:
            return message["_id"], digest, encoded(message), b""
        except ChangeError:
            return message["_id"], digest, b"", bytes(encoded_)

    @staticmethod
    def unpack(message: Packed) -> Document:
        document: Document = document_of(decoded(message[2])) if message[2] else decode(message[3])
        return document

    def insert(self, messages: Sequence[Packed]) -> list[Rejection]:
        """Write digests first: one without a message is harmless, and replaced when the message comes."""
        rejections: list[Rejection] = []
        good: list[int] = []
        for index, message in enumerate(messages):
            fault = "" if message[2] else _fault(message)
            if fault:
                rejections.append(Rejection(index, fault))
            else:
                good.append(index)
        if good:
            refused = self._server.patiently(self._insert, [messages[index] for index in good])
            rejections += [Rejection(good[place], reason) for place, reason in refused]
        return sorted(rejections, key=lambda rejection: rejection.index)

    def put_file(self, document: Document, content: Iterable[bytes], collection: str = UPLOADS) -> None:
        id_, moment = identity(document), now()
        placed = self._files.placed(document, collection)
        data = encoded({key: value for key, value in placed.items() if key != "_updatedAt"})
        settle = self._files.of(placed, collection).write(placed, content)

        def store(session: ClientSession) -> None:
            settle(session)
            row = decoded(with_timestamp(data, timestamp_suffix(moment)))
            self._database[collection].replace_one({"_id": id_}, row, upsert=True, session=session)

        self._server.patiently(self._transaction, store)

    def read_file(self, id: str, collection: str = UPLOADS, start: int = 0) -> Iterator[bytes]:
        find = self._database[collection].find_one
        document = self._server.patiently(find, {"_id": id}) if is_possible(id) else None
        document = document or {"_id": id}  # GridFS may have bytes without one
        return self._files.of(document, collection).read(document, start)

    def refresh_rooms(self, room_ids: Collection[str]) -> None:
        totals = RoomTotals(self._server)
        for counted in totals.ahead(room_ids):
            self._applied(partial(totals.updates, counted))

    def dump(self, collection: str) -> Iterator[bytes]:
        """Read in pages: a cursor would be closed while a slow reader reads."""
        last: Row = {}
        while page := self._server.patiently(self._page, collection, last):
            yield from (encode(document_of(row)) for row in page)
            last = {"_id": page[-1]["_id"]}

    def count(self, collection: str) -> int:
        return self._server.patiently(self._database[collection].estimated_document_count)

    def server_documents(self, collection: str, limit: int) -> list[Document]:
        def newest() -> list[Row]:
            return list(self._database[collection].find().sort("ts", -1).limit(limit))

        return [document_of(row) for row in self._server.patiently(newest)]

    def close(self) -> None:
        self._files.close()
        self._server.client.close()

    # ------------------------------------------------------------ reading

    def _rows(self, collection: str, query: Row, lookup: Lookup) -> list[Row]:
        return list(self._database[collection].find(query, collation=COLLATIONS.get(lookup)))

    def _digests(self, ids: Sequence[str]) -> dict[str, bytes]:
        rows = self._database[MESSAGES].find({"_id": {"$in": list(ids)}}, {"_id": 1})
        existing = [row["_id"] for row in rows]
        found = dict.fromkeys(existing, b"")
        return found | self._stored_digests.find(existing) if existing else found

    def _page(self, collection: str, last: Row) -> list[Row]:
        """Return the documents after `last` in the order of the index of `_id`, whatever the type of that."""
        cursor = self._database[collection].find().sort("_id", 1).hint([("_id", 1)]).limit(_PAGE + 1)
        if last:
            cursor = cursor.min([("_id", last["_id"])])
        return [row for row in cursor if not last or row["_id"] != last["_id"]]

    # ------------------------------------------------------------ writing

    def _applied(self, changes_of: Callable[[ClientSession], Sequence[Change]]) -> list[Rejection]:
        """Apply changes in one transaction; try again without the changes that the server refuses."""
        refused: dict[int, str] = {}
        one_by_one = False

        def work(session: ClientSession) -> list[Rejection]:
            changes, moment = changes_of(session), now()
            rejections = [Rejection(index, reason) for index, reason in refused.items()]
            for collection, numbered in _by_collection(changes, refused).items():
                batch = CollectionChanges(self._database, session, collection, numbered, moment, one_by_one)
                rejections += batch.apply()
            return sorted(rejections, key=lambda rejection: rejection.index)

        while True:
            try:
                return self._server.patiently(self._transaction, work)
            except RefusedError as fault:
                if one_by_one or len(fault.indexes) == 1:
                    refused[fault.indexes[0]] = fault.reason
                else:
                    one_by_one = True

    def _transaction(self, work: Callable[[ClientSession], T]) -> T:
        with (
            self._server.client.start_session() as session,
            session.start_transaction(
                write_concern=self._server.write_concern, read_preference=ReadPreference.PRIMARY
            ),
        ):
            return work(session)

    def _insert(self, messages: Sequence[Packed]) -> list[tuple[int, str]]:
        """Insert messages and their digests. Return the places of refused messages, and the reasons."""
        suffix = timestamp_suffix(now())
        self._stored_digests.make_ready()
        added = self._stored_digests.add([(message[0], message[1]) for message in messages])
        rows = [RawBSONDocument(with_timestamp(message[2], suffix)) for message in messages]
        refused, twins = [], []
        for fault in _faults(lambda: self._database[MESSAGES].insert_many(rows, ordered=False)):
            if _is_twin(fault):
                twins.append(messages[fault["index"]])
            else:
                refused.append((fault["index"], refusal(fault)))
        if twins and (server_documents := self._foreign(twins)):
            self._stored_digests.take_back(added, server_documents)
        return refused

    def _foreign(self, twins: Sequence[Packed]) -> list[str]:
        """Return the ids under which the database has messages that differ from these."""
        query = {"_id": {"$in": [twin[0] for twin in twins]}}
        stored = {row["_id"]: row for row in self._database[MESSAGES].find(query, {"_updatedAt": 0})}
        return [twin[0] for twin in twins if stored.get(twin[0]) != decoded(twin[2])]

    def _make_indexes(self) -> None:
        for collection in _LACKING:
            found = self._database[collection].index_information().values()
            if all(index["key"][0][0] != "importIds" for index in found):
                self._database[collection].create_index("importIds", sparse=True)


def _by_collection(
    changes: Sequence[Change], refused: Mapping[int, str]
) -> dict[str, list[tuple[int, Change]]]:
    """Return the changes of each collection with their places, without the refused ones."""
    found: dict[str, list[tuple[int, Change]]] = {}
    for index, change in enumerate(changes):
        if index not in refused:
            found.setdefault(change.collection, []).append((index, change))
    return found


def _fault(message: Packed) -> str:
    """Return why BSON cannot hold a packed message."""
    try:
        encoded(decode(message[3]))
    except ChangeError as fault:
        return str(fault)
    return ""


def _faults(work: Callable[[], object]) -> list[Row]:
    """Return the server's faults with the documents of a bulk that it did not write."""
    try:
        work()
    except BulkWriteError as error:
        if error.details.get("writeConcernErrors"):
            raise
        return refused_documents(error)
    return []


def _is_twin(fault: Row) -> bool:
    """Return whether a document was not written because its `_id` exists."""
    return bool(fault["code"] == DUPLICATE and fault.get("keyPattern", {"_id": 1}) == {"_id": 1})
