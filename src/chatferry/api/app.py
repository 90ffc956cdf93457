"""The HTTP edge: requests in, JSON out. Every answer passes here, every error becomes one here."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import ceil
from typing import Any
from urllib.parse import parse_qsl

import anyio
import anyio.to_thread
import msgspec
from msgspec import Struct
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from chatferry import accounts
from chatferry.api import resumable, schemas, wire
from chatferry.api.endpoints import ENDPOINTS, Endpoint
from chatferry.api.files import file_routes
from chatferry.api.services import Call, Services
from chatferry.api.sessions import LoginError
from chatferry.documents import Document
from chatferry.errors import RequestError, SettingsError
from chatferry.pipeline import now
from chatferry.worker import write_down

BODY_LIMIT = 16 * 1024 * 1024  # bytes, of bodies that are not uploads
MOST_PARAMETERS = 1000  # in a query; Rocket.Chat's own limit
_HEADERS = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_TOO_MANY = (
    "Error, too many requests. Please slow down. You must wait {} seconds before trying this endpoint again. "
    "[error-too-many-requests]"
)
_UNLIMITED = "api-bypass-rate-limit"
_FORBIDDEN = "User does not have the permissions required for this action [error-unauthorized]"


def create_app(services: Services) -> Starlette:
    """The server; its worker runs while it does."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        services.worker.start()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(resumable.keep_sweeping, services)
            yield
            tasks.cancel_scope.cancel()
        await anyio.to_thread.run_sync(services.close)

    return Starlette(
        routes=[*(_route(endpoint, services) for endpoint in ENDPOINTS), *file_routes(services)],
        lifespan=lifespan,
        exception_handlers={HTTPException: _no_such_endpoint},
    )


def _route(endpoint: Endpoint, services: Services) -> Route:
    async def respond(request: Request) -> Response:
        response = await answer(request)
        limits = getattr(request.state, "rate_limit_headers", {})
        response.headers.update({**_HEADERS, **endpoint.headers, **limits})
        return response

    async def answer(request: Request) -> Response:
        try:
            return _response(await _served(request, endpoint, services), endpoint)
        except RequestError as error:
            return _refused(error)
        except SettingsError as error:  # the workspace cannot be reached just now
            return _json({"success": False, "error": str(error)}, 503)
        except ClientDisconnect:
            return _json({"success": False, "error": "The connection ended before the body did."}, 400)
        except Exception:
            write_down(services.settings)
            reason = "Something unforeseen happened. The server's errors.log has the details."
            return _json({"success": False, "error": reason}, 500)

    return Route(endpoint.path, respond, methods=[endpoint.method])


async def _served(request: Request, endpoint: Endpoint, services: Services) -> Any:
    """Authentication, permission, query, body, rate limit, and then the answer: in Rocket.Chat's order.

    Only a body that the endpoint receives itself comes after the limit: nobody uploads to be refused then.
    Without a body everything is done in one go: during an import every change of threads takes its time.
    """
    if endpoint.body is None and endpoint.receive is None:
        return await anyio.to_thread.run_sync(_answered, request, endpoint, services)
    caller = await anyio.to_thread.run_sync(_admitted, request, endpoint, services)
    body: dict[str, object] = {}
    if endpoint.body is not None and endpoint.receive is None:
        given = await _body(request)
        body = _object(given) if endpoint.takes_any_body else schemas.check_body(endpoint.body, given)
    _limit(request, endpoint, services, caller)
    if endpoint.receive is not None:
        return await endpoint.receive(request, services, caller.user)
    return await anyio.to_thread.run_sync(_called, request, endpoint, services, caller, body)


def _answered(request: Request, endpoint: Endpoint, services: Services) -> Any:
    """The answer to a call whose body is not looked at."""
    caller = _admitted(request, endpoint, services)
    _limit(request, endpoint, services, caller)
    return _called(request, endpoint, services, caller, {})


def _called(
    request: Request, endpoint: Endpoint, services: Services, caller: "_Caller", body: dict[str, object]
) -> Any:
    if endpoint.answer is None:
        raise AssertionError(f"{endpoint.path} has no function")
    site = str(request.base_url).rstrip("/")
    return endpoint.answer(
        Call(services=services, user=caller.user, token=caller.token, body=body, site=site)
    )


class _Caller(Struct, frozen=True):
    """Who calls, with which token, and whether as often as they like."""

    user: Document = {}
    token: str = ""
    is_exempt: bool = False


def _admitted(request: Request, endpoint: Endpoint, services: Services) -> _Caller:
    """Who calls, if they may, and with a query that the endpoint takes."""
    user_id, token = request.headers.get("x-user-id", ""), request.headers.get("x-auth-token", "")
    caller = _Caller(token=token)
    if endpoint.auth:
        caller = _authenticated(services, user_id, token, endpoint.permission)
    if request.scope["query_string"].count(b"&") >= MOST_PARAMETERS:
        raise RequestError("Invalid query parameters")
    if endpoint.query is not None:
        schemas.check_query(endpoint.query, request.query_params)
    return caller


def _authenticated(services: Services, user_id: str, token: str, permission: str) -> _Caller:
    with services.reading() as workspace:
        user = accounts.user_of_token(workspace, user_id, token)
        if user is None:
            raise RequestError("unauthorized", status=401)
        granted = services.grants.of(user, {permission, _UNLIMITED} - {""}, workspace)
    if permission and permission not in granted:
        raise RequestError(_FORBIDDEN, status=403)
    return _Caller(user, token, _UNLIMITED in granted)


def _limit(request: Request, endpoint: Endpoint, services: Services, caller: _Caller) -> None:
    limiter = services.limiter
    if limiter is None or not endpoint.limited or caller.is_exempt:
        return
    address = request.client.host if request.client else ""
    standing = limiter.take(address, f"{endpoint.method} {endpoint.path}")
    request.state.rate_limit_headers = {
        "X-RateLimit-Limit": str(limiter.calls),
        "X-RateLimit-Remaining": str(standing.remaining),
        "X-RateLimit-Reset": str(now() + round(standing.wait * 1000)),
    }
    if not standing.allowed:
        raise RequestError(_TOO_MANY.format(ceil(standing.wait)), status=429)


# ---------------------------------------------------------------- bodies


async def _body(request: Request) -> object:
    """The body as Rocket.Chat's router reads it: JSON that cannot be read is {}."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > BODY_LIMIT:
            raise RequestError(f"The body is larger than {BODY_LIMIT // 2**20} MiB.", status=413)
    content_type = request.headers.get("content-type", "")
    if wire.is_json(content_type):
        return _parsed(bytes(data))
    text = data.decode("utf-8", "replace")
    if content_type.partition(";")[0].strip().lower() == "application/x-www-form-urlencoded":
        return _form(text)
    return {str(index): sign for index, sign in enumerate(text[:100])}  # as JavaScript spreads a string


def _form(text: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=1000))
    except ValueError:  # too many fields
        return {}


def _parsed(data: bytes) -> object:
    try:
        return msgspec.json.decode(data) if data.strip() else {}
    except (msgspec.DecodeError, ValueError, RecursionError):
        return {}


def _object(body: object) -> dict[str, object]:
    return body if isinstance(body, dict) else {}


# ---------------------------------------------------------------- answers


def _response(answer: Any, endpoint: Endpoint) -> Response:
    """Objects say that all went well; arrays cannot. What is a response already stays as it is."""
    if isinstance(answer, Response):
        return answer
    if not endpoint.enveloped or isinstance(answer, list) or "success" in answer:
        return _json(answer)
    return _json({**answer, "success": True})


def _json(content: Any, status: int = 200) -> Response:
    body = msgspec.json.encode(content)
    return Response(body, status, headers=_HEADERS, media_type="application/json")


def _refused(error: RequestError) -> Response:
    if isinstance(error, LoginError):
        told = {"error": error.reason, "message": error.message}
        return _json({"success": False, "status": "error", **told}, error.status)
    wire: dict[str, object] = {"success": False, "error": str(error)}
    if error.type:
        wire["errorType"] = error.type
    if error.details:
        wire["details"] = error.details
    return _json(wire, error.status)


async def _no_such_endpoint(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    what = f"{request.method} {request.url.path}"
    reason = f"{what} is not allowed here." if status == 405 else f"There is no endpoint {what}."
    response = _json({"success": False, "error": reason}, status)
    response.headers.update(getattr(error, "headers", None) or {})  # Allow
    return response
