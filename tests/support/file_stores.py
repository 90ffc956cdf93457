"""Uploads for the file stores beside MongoDB."""

import random
from collections.abc import Callable
from typing import Any

from pymongo.database import Database

from chatferry.destinations.mongodb.destination import MongoDestination
from chatferry.documents import Date, Document
from tests.support.s3 import S3Server

Db = Database[dict[str, Any]]
MIB = 1 << 20


UPLOAD: Document = {
    "_id": "f1f1f1f1f1f1f1f1f1f1f1f1",
    "name": "a plan.png",
    "type": "image/png",
    "rid": "room1",
    "userId": "user1",
    "store": "GridFS:Uploads",
    "path": "/ufs/GridFS:Uploads/f1f1f1f1f1f1f1f1f1f1f1f1/a%20plan.png",
    "uploadedAt": Date.at(5),
}


Open = Callable[..., MongoDestination]


def in_folder(path: object) -> dict[str, Any]:
    return {"FileUpload_Storage_Type": "FileSystem", "FileUpload_FileSystemPath": str(path)}


def keys_of(s3: S3Server, bucket: str) -> list[str]:
    return [found["Key"] for found in s3.client().list_objects_v2(Bucket=bucket).get("Contents", [])]


def noise(size: int) -> bytes:
    """Bytes no two parts of which are the same."""
    return random.Random(size).randbytes(size)
