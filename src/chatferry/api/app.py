"""The HTTP server: takes requests, gives answers, and turns errors into answers."""

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from functools import partial
from math import ceil
from typing import Any

import anyio
import msgspec
from anyio.to_thread import run_sync
from msgspec import Struct
from msgspec.structs import replace
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from chatferry import accounts
from chatferry.api import validation, wire
from chatferry.api.auth.sessions import LoginError
from chatferry.api.bodies import RequestBody, plain
from chatferry.api.call_log import CallLog
from chatferry.api.endpoint import Endpoint
from chatferry.api.media.files import file_routes
from chatferry.api.routes import ENDPOINTS
from chatferry.api.schemas import Schema
from chatferry.api.services import TOO_MANY, Call, OperationAnswer, Services
from chatferry.api.uploads import resumable
from chatferry.clock import now
from chatferry.documents import Document
from chatferry.errors import ChatferryError, DestinationError, NoRoomError, RequestError, SettingsError
from chatferry.logs import event
from chatferry.observing import audit
from chatferry.observing.current import note_endpoint, note_user
from chatferry.observing.seldom import Seldom
from chatferry.pipeline.operation import write_down

MOST_PARAMETERS = 1000  # in a query; Rocket.Chat's own limit
_HEADERS = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_UNLIMITED = "api-bypass-rate-limit"
_AWAY = "The destination of imports cannot be used just now. Try again later; the server's log says why."
_LOG = logging.getLogger("chatferry.api")
_SELDOM = Seldom()
_FORBIDDEN = "User does not have the permissions required for this action [error-unauthorized]"


def create_app(services: Services) -> Starlette:
    """Return the server. The background runner runs as long as it does."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        services.worker.start()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(resumable.keep_sweeping, services)
            yield
            tasks.cancel_scope.cancel()
        await run_sync(services.close)

    return Starlette(
        routes=[*(_route(endpoint, services) for endpoint in ENDPOINTS), *file_routes(services)],
        lifespan=lifespan,
        exception_handlers={HTTPException: _no_such_endpoint},
        middleware=[Middleware(CallLog, ended=services.metrics.call_ended)],
    )


def _route(endpoint: Endpoint, services: Services) -> Route:
    async def respond(request: Request) -> Response:
        note_endpoint(endpoint.path)
        response = await answer(request)
        if response.status_code == 403:
            audit.record("refused", endpoint=endpoint.path)
        limits = getattr(request.state, "rate_limit_headers", {})
        response.headers.update({**_HEADERS, **endpoint.headers, **limits})
        return response

    async def answer(request: Request) -> Response:
        try:
            with services.crowd.one_more(_address(request)):
                return _response(await _served(request, endpoint, services), endpoint)
        except RequestError as error:
            return _refused(error)
        except (DestinationError, SettingsError) as error:
            return _refused(_unavailable(error))
        except ClientDisconnect:
            return _json({"success": False, "error": "The connection ended before the body did."}, 400)
        except Exception:
            write_down(services.settings)
            reason = "Something unforeseen happened. The server's errors.log has the details."
            return _json({"success": False, "error": reason}, 500)

    return Route(endpoint.path, respond, methods=[endpoint.method])


async def _served(request: Request, endpoint: Endpoint, services: Services) -> Any:
    """Check authentication, permission, query, body and rate limit in Rocket.Chat's order, then answer.

    A caller beyond the rate limit is refused before a byte of the body is read.
    A call without a body is served in one thread: during an import every change of threads takes time.
    """
    if endpoint.is_instant:
        return _answered(request, endpoint, services)
    if endpoint.body is None and endpoint.receive is None:
        return await run_sync(_answered, request, endpoint, services)
    caller = _Caller()
    if endpoint.auth:
        caller = await run_sync(_admitted, request, endpoint, services)
    if endpoint.receive is not None:
        _limit(request, endpoint, services, caller)
        return await endpoint.receive(request, services, caller.user)
    _limit(request, endpoint, services, caller, counts=endpoint.takes_any_body)
    with closing(RequestBody(services.settings.data, request.headers.get("content-type", ""))) as body:
        await body.receive(request, endpoint.most_body, services.settings.upload_silence)
        work = partial(_answered_to, body, request, endpoint, services, caller)
        if body.is_large:
            return await run_sync(work, limiter=services.large_bodies)
        if endpoint.hashes:
            with services.hashing.place():
                return await run_sync(work, limiter=services.hashing.turns)
        return await run_sync(work)


def _answered(request: Request, endpoint: Endpoint, services: Services) -> Any:
    """Return the answer to a call whose body is not read."""
    caller = _admitted(request, endpoint, services)
    _limit(request, endpoint, services, caller)
    return _called(request, endpoint, services, caller, {})


def _answered_to(
    body: RequestBody, request: Request, endpoint: Endpoint, services: Services, caller: "_Caller"
) -> Any:
    """Return the answer to a call with a body."""
    assert endpoint.body is not None
    if endpoint.takes_any_body:
        given = plain(body.read())
        return _called(request, endpoint, services, caller, given if isinstance(given, dict) else {})
    try:
        checked = _checked(endpoint.body, body)
    except RequestError as error:
        error.hint = body.hint
        raise
    _limit(request, endpoint, services, caller)
    return _called(request, endpoint, services, caller, checked)


def _checked(schema: Schema, body: RequestBody) -> dict[str, Any]:
    try:
        return validation.check_body(schema, body.read())
    except (msgspec.DecodeError, ValueError):  # invalid UTF-8, or a number beyond JSON: 1e999
        return validation.check_body(schema, {})


def _called(
    request: Request, endpoint: Endpoint, services: Services, caller: "_Caller", body: dict[str, object]
) -> Any:
    if endpoint.answer is None:
        raise AssertionError(f"{endpoint.path} has no function")
    site = str(request.base_url).rstrip("/")
    return endpoint.answer(
        Call(
            services=services,
            user=caller.user,
            token=caller.token,
            body=body,
            query=caller.query,
            path=request.path_params,
            site=site,
            address=_address(request),
        )
    )


class _Caller(Struct, frozen=True):
    """An authenticated caller: the account, its token, whether the rate limit holds for it, and its query."""

    user: Document = {}
    token: str = ""
    is_exempt: bool = False
    query: dict[str, Any] = {}


def _admitted(request: Request, endpoint: Endpoint, services: Services) -> _Caller:
    """Return the caller, or refuse a missing token or permission, or an invalid query."""
    user_id, token = request.headers.get("x-user-id", ""), request.headers.get("x-auth-token", "")
    caller = _Caller(token=token)
    if endpoint.auth:
        caller = _authenticated(services, user_id, token, endpoint.permission)
    if request.scope["query_string"].count(b"&") >= MOST_PARAMETERS:
        raise RequestError("Invalid query parameters")
    if endpoint.query is not None:
        return replace(caller, query=validation.check_query(endpoint.query, request.query_params))
    return caller


def _authenticated(services: Services, user_id: str, token: str, permission: str) -> _Caller:
    with services.reading() as workspace:
        user = accounts.user_of_token(workspace, user_id, token, services.settings.token_rules, now())
        if user is None:
            raise RequestError("unauthorized", status=401)
        note_user(user["_id"])
        granted = services.grants.of(user, {permission, _UNLIMITED} - {""}, workspace)
    if permission and permission not in granted:
        raise RequestError(_FORBIDDEN, status=403)
    return _Caller(user, token, _UNLIMITED in granted)


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _limit(
    request: Request, endpoint: Endpoint, services: Services, caller: _Caller, *, counts: bool = True
) -> None:
    """Refuse a call beyond the rate limit. With `counts` this call counts; otherwise it is only checked."""
    limiter = services.limiter
    if limiter is None or not endpoint.limited or caller.is_exempt:
        return
    count = limiter.take if counts else limiter.look
    standing = count(_address(request), f"{endpoint.method} {endpoint.path}")
    if standing.allowed and not counts:
        return
    request.state.rate_limit_headers = {
        "X-RateLimit-Limit": str(limiter.calls),
        "X-RateLimit-Remaining": str(standing.remaining),
        "X-RateLimit-Reset": str(now() + round(standing.wait * 1000)),
    }
    if not standing.allowed:
        raise RequestError(TOO_MANY.format(ceil(standing.wait)), status=429)


# ---------------------------------------------------------------- answers


def _response(answer: Any, endpoint: Endpoint) -> Response:
    """Return a value as a JSON response. Responses are returned unchanged."""
    if isinstance(answer, Response):
        return answer
    if isinstance(answer, OperationAnswer):
        response = _response(answer.json, endpoint)
        response.headers[wire.OPERATION_ID] = answer.operation
        return response
    return _json(endpoint.envelope(answer))


def _json(content: Any, status: int = 200) -> Response:
    body = msgspec.json.encode(content)
    return Response(body, status, headers=_HEADERS, media_type="application/json")


def _refused(error: RequestError) -> Response:
    if isinstance(error, LoginError):
        payload = {"error": error.reason, "message": error.message}
        return _json({"success": False, "status": "error", **payload}, error.status)
    told: wire.JSON = {"success": False, "error": str(error)}
    if error.type:
        told["errorType"] = error.type
    if error.details:
        told["details"] = error.details
    if error.hint:
        told["hint"] = error.hint
    return _json(told, error.status)


def _unavailable(error: ChatferryError) -> RequestError:
    """Return a 503. Only the log names the destination: anybody may call."""
    if isinstance(error, NoRoomError):
        return RequestError(str(error), code="error-no-room", status=503)
    if _SELDOM.may(str(error), time.monotonic()):
        event(_LOG, "the destination cannot be used", level=logging.WARNING, reason=str(error))
    return RequestError(_AWAY, code="error-destination-away", status=503)


async def _no_such_endpoint(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    what = f"{request.method} {request.url.path}"
    reason = f"{what} is not allowed here." if status == 405 else f"There is no endpoint {what}."
    response = _json({"success": False, "error": reason}, status)
    response.headers.update(getattr(error, "headers", None) or {})  # Allow
    return response
