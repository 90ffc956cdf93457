"""Files in GridFS buckets, as Rocket.Chat has them: a file's `_id` is that of its document, a string."""

from collections.abc import Iterable, Iterator
from functools import partial

from bson import ObjectId
from bson.binary import Binary
from bson.datetime_ms import DatetimeMS
from pymongo.client_session import ClientSession
from pymongo.errors import BulkWriteError

from chatferry.clock import now
from chatferry.destinations.mongodb.filestores.protocol import Settle
from chatferry.destinations.mongodb.server import DUPLICATE, Row, Server
from chatferry.destinations.slices import CHUNK, chunks, is_possible
from chatferry.documents import Document

_AT_ONCE = 8  # chunks in one write
_UNFINISHED = "chatferry-unfinished-"


class Bucket:
    """The bytes of the files of one collection: in `<collection>.files` and `<collection>.chunks`."""

    def __init__(self, server: Server, collection: str) -> None:
        self._server = server
        self._files = server.database[f"{collection}.files"]
        self._chunks = server.database[f"{collection}.chunks"]

    @staticmethod
    def place(document: Document) -> Document:
        return {}

    def write(self, document: Document, content: Iterable[bytes]) -> Settle:
        """Write the bytes beside an existing file; `settle` puts them in its place."""
        id_, moment = document["_id"], now()
        self._server.patiently(self._make_indexes)
        replaces = self._server.patiently(self._files.find_one, {"_id": id_}, {"_id": 1})
        place = _UNFINISHED + id_ if replaces else id_
        self._drop(place)  # what a write that broke off has left
        try:
            length = self._write(place, content)
        except BaseException:
            self._drop(place)
            raise
        return partial(self.settle, id_, place, length, content_type(document), moment)

    def settle(self, id_: str, place: str, length: int, type_: str, now: int, session: ClientSession) -> None:
        """Make the bytes at this place those of the file. Repeating it does no harm."""
        is_moved = self._chunks.find_one({"files_id": place}, {"_id": 1}, session=session) is None
        if place != id_ and not (length and is_moved):
            self._chunks.delete_many({"files_id": id_}, session=session)
            self._chunks.update_many({"files_id": place}, {"$set": {"files_id": id_}}, session=session)
        file = {"length": length, "chunkSize": CHUNK, "uploadDate": DatetimeMS(now), "filename": id_}
        self._files.replace_one({"_id": id_}, file | {"contentType": type_}, upsert=True, session=session)

    def read(self, document: Document, start: int) -> Iterator[bytes]:
        """Make one query for each piece: a cursor would be closed while a slow reader reads."""
        id_ = document["_id"]
        file = self._server.patiently(self._files.find_one, {"_id": id_}) if is_possible(id_) else None
        if file is None:
            return
        n, skipped = divmod(start, file["chunkSize"])  # other programs may have chunks of another size
        while chunk := self._server.patiently(self._chunks.find_one, {"files_id": id_, "n": n}):
            yield bytes(chunk["data"])[skipped:]
            n, skipped = n + 1, 0

    def _write(self, place: str, content: Iterable[bytes]) -> int:
        length = n = 0
        rows: list[Row] = []
        for data in chunks(content):
            rows.append({"_id": ObjectId(), "files_id": place, "n": n, "data": Binary(data)})
            n, length = n + 1, length + len(data)
            if len(rows) == _AT_ONCE:
                self._server.patiently(self._add, rows)
                rows = []
        if rows:
            self._server.patiently(self._add, rows)
        return length

    def _add(self, rows: list[Row]) -> None:
        """Add chunks. A repeated call adds only the missing ones."""
        try:
            self._chunks.insert_many(rows, ordered=False)
        except BulkWriteError as error:
            if any(fault["code"] != DUPLICATE for fault in error.details["writeErrors"]):
                raise

    def _drop(self, place: str) -> None:
        self._server.patiently(self._chunks.delete_many, {"files_id": place})

    def _make_indexes(self) -> None:
        """Make the two indexes that every program makes before it stores the first file in a bucket."""
        if self._files.find_one({}, {"_id": 1}) is None:
            self._files.create_index([("filename", 1), ("uploadDate", 1)])
            self._chunks.create_index([("files_id", 1), ("n", 1)], unique=True)


def content_type(document: Document) -> str:
    """Return the media type that a store gets with a file's bytes."""
    return str(document.get("type") or "application/octet-stream")
