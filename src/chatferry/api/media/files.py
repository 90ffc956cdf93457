"""GET /file-upload and GET /avatar: stored files, for users who may see them."""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from urllib.parse import quote

import anyio.to_thread
import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from chatferry import accounts
from chatferry.api.media.initials import initials_svg
from chatferry.api.media.ranges import ByteRange, requested_range
from chatferry.api.services import Services
from chatferry.clock import now
from chatferry.convert.files import UNKNOWN_TYPE, avatar_id
from chatferry.destinations import Destination, Lookup
from chatferry.documents import AVATARS, UPLOADS, Document
from chatferry.errors import DestinationError, RequestError, SettingsError
from chatferry.observing.current import note_endpoint, note_user
from chatferry.pipeline.operation import write_down

# A browser runs nothing in a stored page or drawing.
_HARMLESS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "Cross-Origin-Resource-Policy": "same-site",
    "Vary": "Cookie, X-User-Id, X-Auth-Token",
}
_KEPT, _ASKED_AGAIN = "private, max-age=31536000", "private, no-cache"
_TYPE = re.compile(r"[a-z0-9][a-z0-9.+_-]*/[a-z0-9][a-z0-9.+_-]*", re.IGNORECASE)
_SHOWN = re.compile(r"image/(png|jpe?g|gif|webp|bmp|avif)|(audio|video)/[^/]*|text/plain", re.IGNORECASE)
_SEE_PUBLIC_ROOMS = {"admin", "user", "bot", "app"}  # the roles that Rocket.Chat gives view-c-room

Answer = Callable[[Request, Services], Response]


def file_routes(services: Services) -> list[Route]:
    """Return the routes of stored files and avatars."""
    return [
        _route("/file-upload/{id}/{name:path}", _file, services),
        _route("/avatar/{username}", _avatar, services),
    ]


def _route(path: str, answer: Answer, services: Services) -> Route:
    async def respond(request: Request) -> Response:
        note_endpoint(path)
        try:
            response = await anyio.to_thread.run_sync(answer, request, services)
        except RequestError as error:
            response = _refused(error)
        except (DestinationError, SettingsError):
            write_down(services.settings)
            reason = "The place where files are kept cannot be reached. The server's errors.log says why."
            response = _refused(RequestError(reason, status=503))
        except Exception:
            write_down(services.settings)
            reason = "Something unforeseen happened. The server's errors.log has the details."
            response = _refused(RequestError(reason, status=500))
        response.headers.update(_HARMLESS)
        return response

    return Route(path, respond, methods=["GET"])


def _refused(error: RequestError) -> Response:
    body = msgspec.json.encode({"success": False, "error": str(error)})
    headers = {"Cache-Control": "no-store"}
    return Response(body, error.status, headers=headers, media_type="application/json")


# ---------------------------------------------------------------- who asks for what


def _file(request: Request, services: Services) -> Response:
    id = request.path_params["id"]
    with services.destination() as destination:
        user = _caller(request, destination, services.settings.token_rules)
        uploads = destination.find(Lookup.UPLOAD_ID, [id])
        if not uploads:
            raise RequestError("There is no such file.", status=404)
        rooms = {uploads[0].get("rid", ""), *services.store.pending_files.rooms(id)}
        if not any(_may_see(room, user, destination) for room in destination.find(Lookup.ROOM_ID, rooms)):
            raise RequestError("Only members of its room may see this file.", status=403)
    return _content(request, uploads[0], services, UPLOADS, _KEPT)


def _avatar(request: Request, services: Services) -> Response:
    username = request.path_params["username"]
    with services.destination() as destination:
        _caller(request, destination, services.settings.token_rules)
        users = destination.find(Lookup.USERNAME, [username])
        stored = destination.find(Lookup.AVATAR_ID, [avatar_id(user["_id"]) for user in users])
    if stored:
        return _content(request, stored[0], services, AVATARS, _ASKED_AGAIN)
    headers = {"Cache-Control": _ASKED_AGAIN}
    return Response(initials_svg(username), headers=headers, media_type="image/svg+xml")


def _caller(request: Request, destination: Destination, rules: accounts.TokenRules) -> Document:
    """Return the user whose login is in headers, in Rocket.Chat's cookies, or in the query."""
    for source, user_key, token_key in (
        (request.headers, "x-user-id", "x-auth-token"),
        (request.cookies, "rc_uid", "rc_token"),
        (request.query_params, "rc_uid", "rc_token"),
    ):
        user_id, token = source.get(user_key), source.get(token_key)
        if not user_id or not token:
            continue
        user = accounts.user_of_token(destination, user_id, token, rules, now())
        if user is not None:
            note_user(user["_id"])
            return user
    raise RequestError("Log in first: with headers, cookies, or rc_uid and rc_token.", status=403)


def _may_see(room: Document, user: Document, destination: Destination) -> bool:
    """Return whether the user may see a room's files: members, and in public rooms users with the permission.

    As in Rocket.Chat no role opens other rooms.
    """
    if room.get("t") == "c" and _SEE_PUBLIC_ROOMS.intersection(user.get("roles", ())):
        return True
    if room.get("t") == "d":
        return user["_id"] in room.get("uids", ())
    inside = destination.find(Lookup.SUBSCRIPTION_ROOM, [room["_id"]])
    return any(subscription.get("u", {}).get("_id") == user["_id"] for subscription in inside)


# ---------------------------------------------------------------- bytes


def _content(
    request: Request, document: Document, services: Services, collection: str, cache: str
) -> Response:
    """Return a stored file, the requested range of it, or a 304."""
    size, etag = int(document.get("size", 0)), f'"{document.get("etag", document["_id"])}"'
    headers = {"ETag": etag, "Cache-Control": cache, "Accept-Ranges": "bytes"}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    try:
        piece = requested_range(request.headers, size, etag) if request.method == "GET" else None
    except ValueError:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{size}"})
    headers |= _described(document, is_download="download" in request.query_params)
    status, whole = 200, ByteRange(0, size)
    if piece is not None:
        status, headers["Content-Range"] = 206, f"bytes {piece.start}-{piece.end - 1}/{size}"
    start, length = (piece or whole).start, (piece or whole).end - (piece or whole).start
    headers["Content-Length"] = str(length)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    with services.destination() as destination:
        pieces = destination.read_file(document["_id"], collection, start)
    return StreamingResponse(_begun(_first(pieces, length), length), status, headers)


def _begun(pieces: Iterator[bytes], length: int) -> Iterator[bytes]:
    """Return the pieces, with the first one read: a missing file can still be a 404 then."""
    first = next(pieces, b"")
    if length and not first:
        raise RequestError("The bytes of this file are not there any more.", status=404)
    return chain([first], pieces)


def _described(document: Document, *, is_download: bool) -> dict[str, str]:
    """Return headers with the media type; only types that cannot hold scripts may be shown inline."""
    type = document.get("type", "")
    type = type if _TYPE.fullmatch(type) else UNKNOWN_TYPE
    how = "inline" if _SHOWN.fullmatch(type) and not is_download else "attachment"
    name = quote(str(document.get("name", "")), safe="", errors="replace")
    return {"Content-Type": type, "Content-Disposition": f"{how}; filename*=UTF-8''{name}"}


def _first(pieces: Iterable[bytes], length: int) -> Iterator[bytes]:
    for piece in pieces:
        if len(piece) >= length:
            yield piece[:length]
            return
        yield piece
        length -= len(piece)
