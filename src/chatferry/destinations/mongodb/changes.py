"""Changes to one collection, brought to MongoDB inside a transaction."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter

from bson.datetime_ms import DatetimeMS
from msgspec import Struct
from pymongo import InsertOne, UpdateOne
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import BulkWriteError

from chatferry.destinations.mongodb.bson_documents import decoded, difference, document_of, encoded, in_bson
from chatferry.destinations.mongodb.digests import Digests
from chatferry.destinations.mongodb.queries import RIVAL_FIELDS, rivals
from chatferry.destinations.mongodb.server import Row, refusal, refused_documents
from chatferry.destinations.protocol import Rejection
from chatferry.destinations.rules import ChangeError, columns, identity, keys, patched
from chatferry.destinations.slices import slices
from chatferry.destinations.unique import Key, UniqueKeys
from chatferry.documents import MESSAGES, Change, Insert, Update


class RefusedError(Exception):
    """The server refuses the write of the changes at `indexes`, which has ended the transaction."""

    def __init__(self, indexes: list[int], reason: str) -> None:
        self.indexes = indexes
        self.reason = reason
        super().__init__(reason)


class _DocumentWrite(Struct):
    """A write that several changes of one document were merged into. `before` is {} for a new document."""

    id: str
    before: Row
    after: Row
    indexes: list[int]

    def request(self, now: int) -> InsertOne[Row] | UpdateOne | None:
        """Return the request, None if nothing differs. Raise ChangeError if BSON cannot hold it."""
        written = {"_updatedAt": DatetimeMS(now)}
        if not self.before:
            return InsertOne(self.after | written)
        operators = difference(self.before, self.after)
        if not operators:
            return None
        encoded(operators)
        operators["$set"] = operators.get("$set", {}) | written
        return UpdateOne({"_id": self.id}, operators)


class CollectionChanges:
    """The changes of one collection, with their places in the whole batch.

    Check every change against stored and pending documents, then write each document once. `one_by_one`
    writes each change by itself, which tells the change that the server refuses.
    """

    def __init__(
        self,
        database: Database[Row],
        session: ClientSession,
        collection: str,
        changes: Sequence[tuple[int, Change]],
        now: int,
        one_by_one: bool,
    ) -> None:
        self._database = database
        self._session = session
        self._collection = collection
        self._changes = changes
        self._now = now
        self._one_by_one = one_by_one
        self._documents: dict[str, Row] = {}  # by _id, as they are after the changes weighed so far
        self._unique = UniqueKeys(self._holders)
        self._writes: dict[str | int, _DocumentWrite] = {}
        self._stored_digests = Digests(database)
        self._digests: dict[str, bytes] = {}

    def apply(self) -> list[Rejection]:
        """Make the changes; raises RefusedError if the server does not take one of them."""
        self._load()
        rejections = []
        for index, change in self._changes:
            try:
                if isinstance(change, Update):
                    self._update(index, change)
                else:
                    self._insert(index, change)
            except ChangeError as fault:
                rejections.append(Rejection(index, str(fault)))
        self._write()
        return rejections

    # ------------------------------------------------------------ what is there

    def _load(self) -> None:
        ids = {
            change.id if isinstance(change, Update) else change.document.get("_id")
            for _, change in self._changes
        }
        collection = self._database[self._collection]
        for some in slices(id_ for id_ in ids if isinstance(id_, str)):
            for document in collection.find({"_id": {"$in": some}}, session=self._session):
                self._documents[document["_id"]] = _unstamped(document)
        self._unique.expect(key for _, change in self._changes for key in self._wanted(change))

    def _wanted(self, change: Change) -> Iterable[Key]:
        """Return the keys that a change is likely to ask for."""
        stored: Row = {}
        if isinstance(change, Update):
            stored = self._documents.get(change.id, {})
            document = {**stored, **change.set}
        else:
            document = change.document
        try:
            return keys(self._collection, document) - keys(self._collection, stored)
        except ChangeError:
            return ()

    def _holders(self, wanted: Iterable[Key]) -> Iterator[tuple[Key, str]]:
        """Yield the keys of stored documents that hold some of the wanted ones, with the documents' ids."""
        for field, same in groupby(sorted(wanted), itemgetter(0)):
            for some in slices((value for _, value in same), 1000):
                collection, query, collation = rivals(field, some)
                for document in self._database[collection].find(
                    query, RIVAL_FIELDS, collation=collation, session=self._session
                ):
                    yield from ((key, document["_id"]) for key in keys(collection, document))

    # ------------------------------------------------------------ weighing

    def _insert(self, index: int, change: Insert) -> None:
        id_ = identity(change.document)
        data = encoded({key: value for key, value in change.document.items() if key != "_updatedAt"})
        document = decoded(data)
        if self._collection == MESSAGES:
            _require_columns(document)
        if id_ in self._documents:
            return
        self._keep(index, id_, {}, document)
        if self._collection == MESSAGES:
            self._digests[id_] = change.digest

    def _update(self, index: int, change: Update) -> None:
        stored = self._documents.get(change.id)
        if stored is None:
            raise ChangeError("there is no such document")
        data = encoded(stored)
        document = patched(decoded(data), in_bson(change))
        if encoded(document) != data:
            if self._collection == MESSAGES:
                _require_columns(document)
            self._keep(index, change.id, stored, document)
        if self._collection == MESSAGES and change.digest:
            self._digests[change.id] = change.digest

    def _keep(self, index: int, id_: str, before: Row, after: Row) -> None:
        self._unique.move(id_, keys(self._collection, before), keys(self._collection, after))
        self._documents[id_] = after
        place = index if self._one_by_one else id_
        write = self._writes.setdefault(place, _DocumentWrite(id_, before, after, []))
        write.after = after
        write.indexes.append(index)

    # ------------------------------------------------------------ writing

    def _write(self) -> None:
        requests = list(self._requests())
        if requests:
            try:
                self._database[self._collection].bulk_write(
                    [request for _, request in requests], session=self._session
                )
            except BulkWriteError as error:
                fault = refused_documents(error)[0]
                raise RefusedError(requests[fault["index"]][0].indexes, refusal(fault)) from error
        if self._digests:
            self._stored_digests.replace(self._digests, self._session)

    def _requests(self) -> Iterator[tuple[_DocumentWrite, InsertOne[Row] | UpdateOne]]:
        for write in self._writes.values():
            try:
                if request := write.request(self._now):
                    yield write, request
            except ChangeError as fault:
                raise RefusedError(write.indexes, str(fault)) from fault


def _unstamped(document: Row) -> Row:
    return {key: value for key, value in document.items() if key != "_updatedAt"}


def _require_columns(message: Row) -> None:
    """Raise ChangeError unless room, thread and time of a message have the right types."""
    columns({key: document_of(message[key]) for key in ("rid", "ts", "tmid") if key in message})
