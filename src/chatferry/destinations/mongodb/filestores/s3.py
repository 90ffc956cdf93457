"""Files as objects of a bucket, under the keys that Rocket.Chat's file store `AmazonS3` gives them."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import Any

from chatferry.destinations.mongodb.filestores.gridfs import content_type
from chatferry.destinations.mongodb.filestores.protocol import Settle, settled
from chatferry.destinations.mongodb.filestores.s3_client import BucketError, S3Bucket
from chatferry.destinations.slices import chunks
from chatferry.documents import AVATARS, Document
from chatferry.sizes import MIB

_PART = 8 * MIB  # bytes of one part of a large file
_PARTS = 10_000  # of one file, at most
_PIECE = MIB
_NO_MORE = ("NoSuchKey", "InvalidRange", "404", "416")


class S3Files:
    """The files of one collection. `unique_id` is that of the Rocket.Chat server: all keys begin with it."""

    def __init__(self, bucket: S3Bucket, unique_id: str, collection: str) -> None:
        self._ask = bucket.ask
        self._unique_id = unique_id
        self._collection = collection

    def place(self, document: Document) -> Document:
        user, id_ = document.get("userId", ""), document["_id"]
        names = ["avatars", user or id_]
        if self._collection != AVATARS:
            names = ["uploads", document.get("rid", ""), user, id_]
        return {"AmazonS3": {"path": "/".join(filter(None, [self._unique_id, *names]))}}

    def write(self, document: Document, content: Iterable[bytes]) -> Settle:
        """Store an object: nobody sees it before it is whole."""
        what = {"Key": _key(document), "ContentType": content_type(document)}
        size = max(_PART, -(-int(document.get("size", 0)) // _PARTS))
        parts = chunks(content, size)
        first = next(parts, b"")
        if len(first) < size:
            self._ask(lambda client, bucket: client.put_object(Bucket=bucket, Body=first, **what))
        else:
            self._write_parts(what, chain([first], parts))
        return settled

    def read(self, document: Document, start: int) -> Iterator[bytes]:
        """Make one request for each piece: a connection would be closed while a slow reader reads."""
        etag = ""
        while True:
            try:
                data, etag = self._ask(partial(_piece, _key(document), start, etag))
            except BucketError as error:
                if error.code in _NO_MORE:
                    return
                raise
            yield data
            start += len(data)
            if len(data) < _PIECE:
                return

    def _write_parts(self, what: dict[str, str], parts: Iterable[bytes]) -> None:
        upload = self._ask(lambda client, bucket: client.create_multipart_upload(Bucket=bucket, **what))
        which = {"Key": what["Key"], "UploadId": upload["UploadId"]}
        try:
            done = [self._ask(partial(_put_part, which, n, part)) for n, part in enumerate(parts, 1)]
            self._ask(
                lambda client, bucket: client.complete_multipart_upload(
                    Bucket=bucket, MultipartUpload={"Parts": done}, **which
                )
            )
        except BaseException:
            with suppress(BucketError):
                self._ask(lambda client, bucket: client.abort_multipart_upload(Bucket=bucket, **which))
            raise


def _key(document: Document) -> str:
    """Return the key that a file's document names; earlier versions of Rocket.Chat wrote it elsewhere."""
    if "AmazonS3" in document:
        return str(document["AmazonS3"]["path"])
    return f"{document.get('s3', {}).get('path', '')}{document['_id']}"


def _put_part(which: dict[str, str], number: int, part: bytes, client: Any, bucket: str) -> dict[str, Any]:
    answer = client.upload_part(Bucket=bucket, PartNumber=number, Body=part, **which)
    return {"PartNumber": number, "ETag": answer["ETag"]}


def _piece(key: str, start: int, etag: str, client: Any, bucket: str) -> tuple[bytes, str]:
    """Return bytes of an object from `start` on, and its version. `etag` demands a version."""
    same = {"IfMatch": etag} if etag else {}
    asked = f"bytes={start}-{start + _PIECE - 1}"
    answer = client.get_object(Bucket=bucket, Key=key, Range=asked, **same)
    return answer["Body"].read(), answer["ETag"]
