"""The log of calls: an id for each call, and a line at its end."""

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Callable

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatferry.api.auth.rate_limit import RateLimiter
from chatferry.logs import REQUEST_ID, event
from chatferry.observing.current import CURRENT, CallRecord

LOG = logging.getLogger("chatferry.access")
ANONYMOUS_LINES = 120  # a minute, for calls without a user, of one address
ANONYMOUS_LINES_IN_ALL = 600  # a minute
COUNT_EVERY = 60  # seconds between two lines that say how many calls were not logged
_GIVEN_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
_STOPPING = {"success": False, "error": "The server is stopping. Send the request again in a moment."}


class CallLog:
    """ASGI middleware that gives every call an id, and logs every answer.

    The id is that of `X-Request-Id` if it is a plain word, otherwise a new one; the answer has it too.
    `ended` takes a call, its status and its seconds.
    """

    def __init__(self, app: ASGIApp, ended: Callable[[CallRecord, int, float], None]) -> None:
        self._app = app
        self._ended = ended
        self._lines = _Lines()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        call = CallRecord(_id(scope), _address(scope), scope["method"])
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", call.id.encode())]
            await send(message)

        CURRENT.set(call)  # the server answers every call in a context of its own
        REQUEST_ID.set(call.id)
        began = time.perf_counter()
        try:
            await self._app(scope, receive, answer)
        except asyncio.CancelledError:  # the server stops, and has waited long enough for this call
            if not status:
                await _refuse(answer)
        finally:
            seconds = time.perf_counter() - began
            self._ended(call, status, seconds)
            self._lines.write(call, status, seconds)


class _Lines:
    """A writer of lines. Calls without a user cannot flood the log: beyond a limit they are only counted."""

    def __init__(self) -> None:
        self._limiter = RateLimiter(calls=ANONYMOUS_LINES)
        self._limiter_in_all = RateLimiter(calls=ANONYMOUS_LINES_IN_ALL)
        self._left_out = 0
        self._next_count = 0.0

    def write(self, call: CallRecord, status: int, seconds: float) -> None:
        if self._left_out and time.monotonic() >= self._next_count:
            event(LOG, "calls without a user that were not logged", calls=self._left_out)
            self._left_out = 0
        if not call.user and not self._may_write(call.address):
            if not self._left_out:
                self._next_count = time.monotonic() + COUNT_EVERY
            self._left_out += 1
            return
        event(
            LOG,
            "call",
            address=call.address,
            user=call.user or None,
            method=call.method,
            endpoint=call.endpoint or "unknown",
            status=status,
            ms=round(seconds * 1000, 1),
        )

    def _may_write(self, address: str) -> bool:
        """Return whether a call without a user gets a line, by the limits of its address and of all."""
        return self._limiter.take(address, "").allowed and self._limiter_in_all.take("", "").allowed


def _id(scope: Scope) -> str:
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    return given.decode() if _GIVEN_ID.fullmatch(given) else secrets.token_hex(8)


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


async def _refuse(send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": msgspec.json.encode(_STOPPING)})
