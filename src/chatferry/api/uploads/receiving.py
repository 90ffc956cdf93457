"""The bytes of an upload as they arrive, in blocks, with limits on size and silence."""

from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import anyio
from starlette.requests import ClientDisconnect, Request

from chatferry.disks import is_full
from chatferry.errors import NoRoomError, RequestError

BLOCK = 256 * 1024


class BrokenOffError(RequestError):
    """The body ended before it was complete."""


async def blocks(
    request: Request, limit: int, too_large: RequestError, silence: float
) -> AsyncIterator[bytes]:
    """Yield the body in blocks of about BLOCK bytes, so that each is worth a thread.

    Raise `too_large` for a body of more than `limit` bytes, and BrokenOffError if it ends early or nothing
    arrives for `silence` seconds. The blocks before hold everything that has arrived.
    """
    if int(request.headers.get("content-length", "0")) > limit:
        raise too_large
    stream = request.stream()
    gathered, received = bytearray(), 0
    try:
        while chunk := await _next(stream, silence):
            received += len(chunk)
            if received > limit:
                raise too_large
            gathered += chunk
            if len(gathered) >= BLOCK:
                yield bytes(gathered)
                gathered.clear()
    except BrokenOffError:
        yield bytes(gathered)
        raise
    yield bytes(gathered)


async def _next(stream: AsyncIterator[bytes], silence: float) -> bytes:
    """Return the next bytes, b"" at the end."""
    try:
        with anyio.fail_after(silence):
            return await anext(stream, b"")
    except TimeoutError as error:
        raise BrokenOffError(
            f"Nothing came for {silence:g} s, and the body is not complete. Send it again.", status=408
        ) from error
    except ClientDisconnect as error:
        raise BrokenOffError("The connection ended before the body did. Send it again.") from error


def too_large(limit: int, what: str = "upload", why: str = "") -> RequestError:
    """Return the answer to an upload beyond the limit in bytes; `why` explains a surprising size."""
    return RequestError(
        f"The {what} is larger than {limit / 2**20:.7g} MiB, the most that is accepted here{why}. Put the"
        " archive where the server can fetch it and use downloadPublicImportFile, or have the administrator"
        " raise CHATFERRY_MAX_UPLOAD_MIB.",
        type_="invalid-params",
        status=413,
    )


def cannot_store(error: OSError | NoRoomError) -> RequestError:
    """Return the answer if the server's disk refuses an upload."""
    if isinstance(error, NoRoomError) or is_full(error):
        reason = str(error) if isinstance(error, NoRoomError) else error.strerror
        return RequestError(
            f"The file cannot be stored on the server: {reason}. The administrator has to make room in the "
            "data directory; then send the file again.",
            code="error-no-room",
            status=507,
        )
    return RequestError(
        f"The file cannot be stored on the server: {error.strerror}. The administrator has to mend that "
        "(room in the data directory, its permissions); then send the file again."
    )


def discard(path: Path) -> None:
    """Remove the file of an upload; if that fails, the next start removes it."""
    with suppress(OSError):
        path.unlink()
