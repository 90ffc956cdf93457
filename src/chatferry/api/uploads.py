"""uploadImportFile: a file inside a JSON body, decoded on its way to the disk."""

import os
from pathlib import Path
from typing import BinaryIO

import anyio.to_thread
from starlette.requests import ClientDisconnect, Request

from chatferry.api import imports, schemas, wire
from chatferry.api.services import Services
from chatferry.api.upload_body import UploadBody
from chatferry.documents import Document
from chatferry.errors import RequestError
from chatferry.ids import new_id
from chatferry.pipeline import now

LONGEST_NAME = 200  # characters; file systems hold 255 bytes


async def upload_import_file(request: Request, services: Services, user: Document) -> wire.JSON:
    """Store the file; its operation begins once all of it is there."""
    operation_id = new_id()
    path = services.settings.uploads / operation_id
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as sink:
            fields = await _receive(request, sink, services.settings.max_upload)
            await anyio.to_thread.run_sync(_keep, sink)
        body = schemas.check_body(schemas.UPLOAD_IMPORT_FILE, fields)
        importer = imports.importer_of_upload(body["importerKey"])
        file = f"{wire.stamp(now())}_{user['_id']}_{file_name(body['fileName'])}"
        await anyio.to_thread.run_sync(
            imports.begin, services, user["_id"], importer, operation_id, path, file, body["contentType"]
        )
    except OSError as error:
        path.unlink(missing_ok=True)
        raise RequestError(f"The file cannot be stored on the server: {error.strerror}.") from error
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return {}


async def _receive(request: Request, sink: BinaryIO, limit: int) -> dict[str, object]:
    body = UploadBody(sink, limit=limit)
    try:
        async for chunk in request.stream():
            body.feed(chunk)
    except ClientDisconnect as error:
        raise RequestError("The connection ended before the body did. Send it again.") from error
    return body.finish()


def _keep(sink: BinaryIO) -> None:
    sink.flush()
    os.fsync(sink.fileno())


def file_name(name: str) -> str:
    """The last component of a file name, without control characters; it is shown, never opened."""
    last = name.replace("\\", "/").rpartition("/")[2]
    shown = "".join(sign for sign in last if sign.isprintable())
    return shown[-LONGEST_NAME:] or "import"


def clear_uploads(uploads: Path, wanted: set[str]) -> None:
    """Remove what uploads that never ended have left behind."""
    for path in uploads.iterdir() if uploads.is_dir() else ():
        if path.name not in wanted:
            path.unlink(missing_ok=True)
