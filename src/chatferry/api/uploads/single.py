"""Uploads in one request: uploadImportFile with the file in a JSON body, import.upload with a form."""

import logging
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import BinaryIO

import anyio.to_thread
from msgspec import Struct
from msgspec.structs import replace
from starlette.requests import Request

from chatferry import private
from chatferry.api import schemas, validation, wire
from chatferry.api.bodies import hint_of_type
from chatferry.api.imports import operations
from chatferry.api.services import OperationAnswer, Services
from chatferry.api.uploads.form_body import FormBody
from chatferry.api.uploads.json_body import UploadBody
from chatferry.api.uploads.receiving import blocks, cannot_store, discard, too_large
from chatferry.clock import now
from chatferry.documents import Document
from chatferry.errors import NoRoomError, RequestError
from chatferry.ids import new_id
from chatferry.logs import event
from chatferry.operations import Operation
from chatferry.pipeline.commands import new_operation

LOG = logging.getLogger("chatferry.uploads")
LONGEST_NAME = 200  # characters; file systems hold 255 bytes


BodyReader = UploadBody | FormBody


class _Way(Struct, frozen=True):
    """An upload endpoint, the schema of its fields, why a body may be larger than its file, and whether the
    operation may replace a running one.
    """

    method: str
    schema: schemas.Schema
    overhead: str = ""
    may_replace: bool = True


_JSON = _Way("uploadImportFile", schemas.UPLOAD_IMPORT_FILE, " (base64 makes a file a third larger)")
_FORM = _Way("import.upload", schemas.IMPORT_UPLOAD)


async def upload_import_file(request: Request, services: Services, user: Document) -> OperationAnswer:
    """Begin an import with a file in the request."""
    content_type = request.headers.get("content-type", "")
    if not wire.is_json(content_type):  # Rocket.Chat finds none of the fields in such a body
        raise RequestError(
            "must have required property 'binaryContent'",
            type_="invalid-params",
            hint=hint_of_type(content_type),
        )
    return await _store(request, services, user, _JSON, UploadBody)


async def import_upload(request: Request, services: Services, user: Document) -> OperationAnswer:
    """Begin an import with a file in a form."""
    form = partial(FormBody, request.headers.get("content-type", ""))
    way = replace(_FORM, may_replace=operations.may_replace(request.query_params))
    await anyio.to_thread.run_sync(operations.check_room, services, way.may_replace)
    return await _store(request, services, user, way, form)


async def _store(
    request: Request,
    services: Services,
    user: Document,
    way: _Way,
    open_body: Callable[[BinaryIO], BodyReader],
) -> OperationAnswer:
    """Store the file, and begin its operation once it is complete. Otherwise remove it."""
    id = new_id()
    path = services.settings.uploads / id
    try:
        private.make_folder(path.parent)
        size = int(request.headers.get("content-length", "0"))
        with (
            services.upload_room.promised(path, min(size, services.settings.max_upload)),
            open(path, "xb", opener=private.opener) as sink,
        ):
            fields = await _receive(request, services, way, open_body(sink), path)
            await anyio.to_thread.run_sync(_keep, sink)
        operations.origin_name(fields.get("origin", ""), way.method)
        begun = partial(begin_import, services, id, user["_id"], fields, method=way.method)
        await anyio.to_thread.run_sync(partial(begun, may_replace=way.may_replace))
    except (OSError, NoRoomError) as error:
        discard(path)
        raise cannot_store(error) from error
    except BaseException:
        discard(path)
        raise
    return OperationAnswer({}, id)


async def _receive(
    request: Request, services: Services, way: _Way, body: BodyReader, path: Path
) -> dict[str, str]:
    settings = services.settings
    too_much = too_large(settings.max_upload, "body", way.overhead)
    async for block in blocks(request, settings.max_upload, too_much, settings.upload_silence):
        await anyio.to_thread.run_sync(_feed, services, body, block, path)
    return validation.check_body(way.schema, body.finish())


def _feed(services: Services, body: BodyReader, block: bytes, path: Path) -> None:
    services.upload_room.check(path)
    body.feed(block)


def _keep(sink: BinaryIO) -> None:
    sink.flush()
    os.fsync(sink.fileno())


def begin_import(
    services: Services, id: str, user_id: str, fields: Mapping[str, str], *, method: str, may_replace: bool
) -> Operation:
    """Begin the operation `id` with the file that was uploaded by this method; `fields` are the upload's."""
    importer = operations.importer_of(fields["importerKey"], method)
    path = services.settings.uploads / id
    file, size = f"{wire.stamp(now())}_{user_id}_{file_name(fields['fileName'])}", path.stat().st_size
    event(LOG, "upload received", operation=id, importer=importer.key, file=file, bytes=size, by=method)
    new = replace(new_operation(importer.key, user_id), id=id, archive=str(path), file=file)
    new = replace(new, content_type=fields["contentType"], origin=fields.get("origin", ""))
    return operations.begin(services, new, may_replace=may_replace)


def file_name(name: str) -> str:
    """Return the last component of a file name, without control characters; it is only shown."""
    last = name.replace("\\", "/").rpartition("/")[2]
    shown = "".join(sign for sign in last if sign.isprintable())
    return shown[-LONGEST_NAME:] or "import"
