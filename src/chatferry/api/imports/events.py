"""The progress of an operation as server-sent events."""

import time
from collections.abc import AsyncIterator

import msgspec
from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from chatferry.api import schemas, validation
from chatferry.api.imports.listing import asked_for, described
from chatferry.api.services import Services
from chatferry.documents import Document
from chatferry.operations import needs_work

EVENTS = "text/event-stream"
INTERVAL = 0.5  # seconds between two looks at the operation
QUIET = 15.0  # seconds without an event, after which a comment keeps the connection open
LONGEST = 900.0  # seconds of one answer; by then the caller has to show again that it may ask
_RETRY = b"retry: 2000\n\n"
_COMMENT = b": still here\n\n"


async def import_events(request: Request, services: Services, user: Document) -> Response:
    """Return the progress of an operation as server-sent events, until nobody works on it any more."""
    query = validation.check_query(schemas.EVENTS_QUERY, request.query_params)
    operation = await run_sync(asked_for, services, query.get("operation", ""))
    if request.method == "HEAD":
        return Response(media_type=EVENTS)
    services.streams.begin()
    return _EventStream(services, operation.id)


class _EventStream(StreamingResponse):
    """An answer that is counted among the lasting ones until it ends."""

    def __init__(self, services: Services, operation_id: str) -> None:
        super().__init__(
            events(services, operation_id),
            media_type=EVENTS,
            headers={"X-Accel-Buffering": "no"},  # nginx would hold events back
        )
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._services.streams.end()


async def events(services: Services, operation_id: str) -> AsyncIterator[bytes]:
    """Yield an event for each change of an operation, and `end` once nobody works on it.

    The next event is made when the one before was sent: a client that reads slowly misses some.
    """
    began = said = time.monotonic()
    shown = b""
    yield _RETRY
    while True:
        seen, is_over = await run_sync(_look, services, operation_id)
        moment = time.monotonic()
        if is_over:
            yield _event("end", seen)
            return
        if seen != shown:
            shown, said = seen, moment
            yield _event("progress", seen)
        elif moment - said >= QUIET:
            said = moment
            yield _COMMENT
        if moment - began >= LONGEST or await services.streams.is_stopped_within(INTERVAL):
            return


def _look(services: Services, operation_id: str) -> tuple[bytes, bool]:
    """Return an operation as JSON, and whether it has ended or waits for somebody."""
    operation = asked_for(services, operation_id)
    return msgspec.json.encode(described(services, operation)), not needs_work(operation)


def _event(name: str, data: bytes) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), data)
