"""The file stores that Rocket.Chat's own settings describe, and the one that they choose."""

from chatferry.destinations.mongodb.filestores.directory import Directory
from chatferry.destinations.mongodb.filestores.gridfs import Bucket
from chatferry.destinations.mongodb.filestores.protocol import FileStore
from chatferry.destinations.mongodb.filestores.s3 import S3Files
from chatferry.destinations.mongodb.filestores.s3_client import S3Bucket
from chatferry.destinations.mongodb.server import Row, Server
from chatferry.documents import AVATARS, UPLOADS, Document, kept_in
from chatferry.errors import SettingsError

SETTINGS = "rocketchat_settings"
_WANTED = {"$regex": "^(FileUpload_(Storage_Type|FileSystemPath|S3_.*)|uniqueID)$"}
_GRIDFS, _DIRECTORY, _S3 = "GridFS", "FileSystem", "AmazonS3"
_NOT_OURS = ("GoogleCloudStorage", "Webdav")
_KINDS = {UPLOADS: "Uploads", AVATARS: "Avatars"}


class FileStores:
    """The stores as the settings have them when the database is opened.

    `server_id` is the id of the Rocket.Chat server, "" while none has been started on the database.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._settings = server.patiently(read_settings, server, _WANTED)
        self._chosen = self._settings.get("FileUpload_Storage_Type") or _GRIDFS
        self.server_id = str(self._settings.get("uniqueID") or "")
        self._bucket = S3Bucket(self._settings)

    def placed(self, document: Document, collection: str) -> Document:
        """Return the document of a file that is to be stored, with its place in the store of the settings."""
        if self._chosen not in (_GRIDFS, _DIRECTORY, _S3):
            raise _unsupported(self._chosen)
        store, id_ = f"{self._chosen}:{_KINDS[collection]}", document["_id"]
        found = document | kept_in(store, id_, str(document.get("name", "")))
        return found | self.of(found, collection).place(found)

    def of(self, document: Document, collection: str) -> FileStore:
        """Return the store that a file's document names; GridFS if it names none."""
        kind = str(document.get("store", "")).partition(":")[0]
        if kind in _NOT_OURS:
            raise _unsupported(kind)
        if kind == _DIRECTORY:
            return Directory(str(self._settings.get("FileUpload_FileSystemPath") or ""))
        if kind == _S3:
            return S3Files(self._bucket, self.server_id, collection)
        return Bucket(self._server, collection)

    def close(self) -> None:
        self._bucket.close()


def read_settings(server: Server, ids: Row) -> Row:
    """Return Rocket.Chat's settings whose `_id` meets this condition."""
    rows = server.database[SETTINGS].find({"_id": ids}, {"value": 1})
    return {row["_id"]: row.get("value") for row in rows}


def _unsupported(kind: object) -> SettingsError:
    return SettingsError(
        f"Rocket.Chat keeps files in {kind} (FileUpload_Storage_Type), which chatferry does not support. "
        "Nothing was stored there, and the files stay pending. Choose GridFS, FileSystem or AmazonS3 in "
        "Rocket.Chat's settings of file uploads, start chatferry again, and fetch what is pending."
    )
