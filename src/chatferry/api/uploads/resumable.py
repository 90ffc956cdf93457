"""Resumable uploads by the tus protocol: a file in any number of requests, also across crashes.

The size of the file on the disk is the state. An upload has the id of the operation that it begins, and is
complete once that operation exists.
"""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from email.utils import formatdate
from functools import partial
from io import FileIO
from pathlib import Path

import anyio
from anyio.to_thread import run_sync
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from chatferry import private
from chatferry.api import wire
from chatferry.api.imports import operations
from chatferry.api.services import Services
from chatferry.api.uploads import tus
from chatferry.api.uploads.receiving import BrokenOffError, blocks, cannot_store, discard, too_large
from chatferry.api.uploads.single import begin_import
from chatferry.clock import now
from chatferry.disks import write_all
from chatferry.documents import Document
from chatferry.errors import DestinationError, NoRoomError, RequestError
from chatferry.ids import new_id
from chatferry.pipeline.operation import write_down
from chatferry.pipeline.retention import clear_away
from chatferry.store.uploads import Upload

METHOD = "import.uploads"
LONGEST_PAUSE = 600  # seconds between two sweeps


async def describe(request: Request, services: Services, user: Document) -> Response:
    """Return what resumable uploads support."""
    return Response(status_code=204, headers=tus.description(services.settings.max_upload))


async def create(request: Request, services: Services, user: Document) -> Response:
    """Announce a resumable upload; the first bytes can be in the same request."""
    tus.check_version(request.headers)
    upload = _announced(request, services, user)
    await run_sync(operations.check_room, services, upload.may_replace)
    if request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers:
        tus.check_content_type(request.headers)
    with _alone(services, upload.id):
        try:
            await run_sync(services.upload_room.promise, _path(services, upload), upload.length)
        except NoRoomError as error:
            raise cannot_store(error) from error
        try:
            offset = await _append(request, services, upload, 0)
        except BaseException:
            with suppress(DestinationError):  # on a full disk; then it is removed when it expires
                _remove(services, upload)
            raise
    return await _standing(services, upload, offset, 201, {"Location": f"/api/v1/{METHOD}/{upload.id}"})


async def look(request: Request, services: Services, user: Document) -> Response:
    """Return how many bytes of an upload have arrived."""
    tus.check_version(request.headers)
    upload = await run_sync(_found, request, services, user)
    offset = await run_sync(_offset, services, upload)
    headers = {"Upload-Length": str(upload.length), "Upload-Metadata": upload.metadata}
    return await _standing(services, upload, offset, 200, headers)


async def resume(request: Request, services: Services, user: Document) -> Response:
    """Send the next bytes of an upload; the last one begins the import."""
    tus.check_version(request.headers)
    tus.check_content_type(request.headers)
    async with _held(request, services, user) as upload:
        offset = await run_sync(_offset, services, upload)
        if tus.size(request.headers, "Upload-Offset") != offset:
            raise RequestError(
                f"{offset} bytes have come: go on from there, with Upload-Offset: {offset}.", status=409
            )
        offset = await _append(request, services, upload, offset)
    return await _standing(services, upload, offset, 204)


async def end(request: Request, services: Services, user: Document) -> Response:
    """Delete an upload."""
    tus.check_version(request.headers)
    async with _held(request, services, user) as upload:
        if await run_sync(_is_complete, services, upload):
            raise RequestError(
                "The upload is complete and became an operation: take that back with import.clear.",
                status=409,
            )
        await run_sync(_remove, services, upload)
    return Response(status_code=204)


async def by_header(request: Request, services: Services, user: Document) -> Response:
    """Use HEAD, PATCH or DELETE with a client that can only POST: a header names the method."""
    meant = {"HEAD": look, "PATCH": resume, "DELETE": end}
    method = request.headers.get("x-http-method-override", "").upper()
    if method not in meant:
        raise RequestError("POST needs X-HTTP-Method-Override: HEAD, PATCH or DELETE here.", status=405)
    return await meant[method](request, services, user)


# ---------------------------------------------------------------- uploads


def _announced(request: Request, services: Services, user: Document) -> Upload:
    """Return the upload that a request announces."""
    limit = services.settings.max_upload
    length = tus.size(request.headers, "Upload-Length")
    if length > limit:
        raise too_large(limit, "upload")
    metadata = request.headers.get("upload-metadata", "")
    operations.importer_of(_fields(metadata)["importerKey"], METHOD)
    return Upload(
        id=new_id(),
        user=user["_id"],
        length=length,
        metadata=metadata,
        expires=_expiry(services),
        may_replace=operations.may_replace(request.query_params),
    )


def _fields(metadata: str) -> dict[str, str]:
    defaults = {"filename": "", "filetype": "application/octet-stream", "origin": ""}
    fields = {**defaults, **tus.metadata(metadata)}
    if "importerKey" not in fields:
        raise RequestError(
            "Upload-Metadata must have an importerKey; filename, filetype and origin may be there too."
        )
    operations.origin_name(fields["origin"], METHOD)
    return fields


def _expiry(services: Services) -> int:
    return now() + services.settings.upload_kept * 1000


def _found(request: Request, services: Services, user: Document) -> Upload:
    """Return the upload that the path names, if it belongs to the user."""
    upload = services.store.uploads.get(request.path_params["upload"])
    if upload is None or upload.user != user["_id"] or _is_over(services, upload):
        raise RequestError("There is no such upload, or no more: begin a new one.", status=404)
    return upload


@asynccontextmanager
async def _held(request: Request, services: Services, user: Document) -> AsyncIterator[Upload]:
    """Lock the upload for one request."""
    id = (await run_sync(_found, request, services, user)).id
    with _alone(services, id):
        yield await run_sync(_found, request, services, user)


@contextmanager
def _alone(services: Services, id: str) -> Iterator[None]:
    if id in services.uploading:
        raise RequestError(
            "Another request is writing to this upload: wait for it, then ask again.", status=423
        )
    services.uploading.add(id)
    try:
        yield
    finally:
        services.uploading.discard(id)


def _is_over(services: Services, upload: Upload) -> bool:
    """Return whether the upload has expired. It cannot while bytes arrive."""
    return upload.expires <= now() and upload.id not in services.uploading


def _path(services: Services, upload: Upload) -> Path:
    return services.settings.uploads / upload.id


def _offset(services: Services, upload: Upload) -> int:
    """Return how many bytes have arrived."""
    if _is_complete(services, upload):
        return upload.length
    path = _path(services, upload)
    size = path.stat().st_size if path.exists() else 0
    return size if upload.certain is None else min(size, upload.certain)


async def _standing(
    services: Services, upload: Upload, offset: int, status: int, more: dict[str, str] | None = None
) -> Response:
    """Return the answer with the state of an upload, and with its operation once it is complete."""
    if await run_sync(_is_complete, services, upload):
        fate = {wire.OPERATION_ID: upload.id}
    else:
        known = await run_sync(services.store.uploads.get, upload.id) or upload
        fate = {"Upload-Expires": formatdate(known.expires / 1000, usegmt=True)}
    return Response(status_code=status, headers={"Upload-Offset": str(offset), **fate, **(more or {})})


def _is_complete(services: Services, upload: Upload) -> bool:
    return services.store.operations.get(upload.id) is not None


def _remove(services: Services, upload: Upload) -> None:
    """Remove an upload. The file of a complete upload belongs to its operation and stays."""
    services.upload_room.release(_path(services, upload))
    if not _is_complete(services, upload):
        discard(_path(services, upload))
    services.store.uploads.remove(upload.id)


# ---------------------------------------------------------------- bytes


async def _append(request: Request, services: Services, upload: Upload, offset: int) -> int:
    """Append the body to the first `offset` bytes; return the new size. The last byte begins the import."""
    if await run_sync(_is_complete, services, upload):
        async for _ in _arriving(request, services, upload, offset):  # nothing, or it goes beyond the end
            pass
        return offset
    path = _path(services, upload)
    try:
        private.make_folder(path.parent)
        with open(path, "ab", buffering=0, opener=private.opener) as file:
            size = await _write(request, services, upload, offset, file)
        if size == upload.length:
            await run_sync(_complete, services, upload)
    except (OSError, NoRoomError) as error:
        raise cannot_store(error) from error
    return size


async def _write(request: Request, services: Services, upload: Upload, offset: int, file: FileIO) -> int:
    """Write the arriving bytes from `offset` on; return the new size of the file.

    The bytes stay however the request ends, unless their promised checksum is wrong or missing, or they go
    beyond the end of the upload.
    """
    checksum = tus.checksum(request.headers)
    file.truncate(offset)
    save = partial(_save, services, upload)
    await run_sync(save, None if checksum is None else offset)
    try:
        async for block in _arriving(request, services, upload, offset):
            await run_sync(_write_block, services, upload, file, block)
            if checksum is not None:
                checksum.update(block)
        if checksum is not None:
            checksum.verify()
    except BrokenOffError:
        if checksum is not None:
            file.truncate(offset)
        if _size(file) < upload.length:
            await run_sync(save, None)
            raise
    except RequestError:
        file.truncate(offset)
        raise
    await run_sync(os.fsync, file.fileno())
    await run_sync(save, None)
    return _size(file)


def _arriving(request: Request, services: Services, upload: Upload, offset: int) -> AsyncIterator[bytes]:
    too_much = RequestError(
        f"The body goes beyond the {upload.length} bytes of Upload-Length: none of it was kept.", status=413
    )
    return blocks(request, upload.length - offset, too_much, services.settings.upload_silence)


def _save(services: Services, upload: Upload, certain: int | None) -> None:
    """Save the size of the file, and extend its expiry."""
    services.store.uploads.save(replace(upload, certain=certain, expires=_expiry(services)))


def _write_block(services: Services, upload: Upload, file: FileIO, block: bytes) -> None:
    services.upload_room.check(_path(services, upload))
    write_all(file.fileno(), block)


def _size(file: FileIO) -> int:
    return os.fstat(file.fileno()).st_size


def _complete(services: Services, upload: Upload) -> None:
    """Begin the import: all bytes have arrived."""
    fields = _fields(upload.metadata)
    named = {**fields, "fileName": fields["filename"], "contentType": fields["filetype"]}
    begin_import(services, upload.id, upload.user, named, method=METHOD, may_replace=upload.may_replace)
    services.upload_room.release(_path(services, upload))


# ---------------------------------------------------------------- now and then


def take_up(services: Services) -> None:
    """Begin the imports whose last bytes had arrived when the server died."""
    for upload in services.store.uploads.all():
        if _is_complete(services, upload):
            continue
        services.upload_room.promise_again(_path(services, upload), upload.length)
        if _offset(services, upload) == upload.length:
            with suppress(RequestError):  # its importer no longer exists: the upload stays until it expires
                _complete(services, upload)


def sweep(services: Services) -> None:
    """Remove expired uploads, and files of operations that have ended."""
    for upload in services.store.uploads.all():
        if _is_over(services, upload):
            _remove(services, upload)
    clear_away(services.store, services.settings, now())


async def keep_sweeping(services: Services) -> None:
    while True:
        await anyio.sleep(min(services.settings.upload_kept, LONGEST_PAUSE))
        try:
            await run_sync(sweep, services)
        except Exception:  # the next time may go better
            write_down(services.settings)
