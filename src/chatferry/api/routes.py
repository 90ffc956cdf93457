"""The table of endpoints."""

from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from chatferry.api import bodies, health, schemas
from chatferry.api.auth import access_tokens, sessions
from chatferry.api.description import examples, openapi, page, responses
from chatferry.api.endpoint import Endpoint
from chatferry.api.imports import by_url, operations, pending_files, users
from chatferry.api.services import Call, Services
from chatferry.api.uploads import resumable, single, tus, tus_headers
from chatferry.documents import Document

RUN, VIEW, TOKENS = "run-import", "view-import-operations", "create-personal-access-tokens"


def _get(name: str, answer: Callable[[Call], Any], **more: Any) -> Endpoint:
    more = {"permission": RUN, "query": schemas.NO_QUERY, **more}
    return Endpoint(method="GET", path=f"/api/v1/{name}", answer=answer, **more)


def _post(name: str, answer: Callable[[Call], Any] | None, **more: Any) -> Endpoint:
    return Endpoint(method="POST", path=f"/api/v1/{name}", answer=answer, **{"permission": RUN, **more})


def _open(path: str, answer: Callable[[Call], Any] | None, **more: Any) -> Endpoint:
    """Declare an endpoint without authentication and rate limit."""
    return Endpoint(method="GET", path=path, answer=answer, auth=False, **{"limited": False, **more})


def _tus(
    method: str, name: str, receive: Callable[[Request, Services, Document], Awaitable[Any]], **more: Any
) -> Endpoint:
    more = {"permission": RUN, "answers": None, "headers": tus.HEADERS, **more}
    return Endpoint(method=method, path=f"/api/v1/{name}", receive=receive, **more)


def _piece(
    method: str, receive: Callable[[Request, Services, Document], Awaitable[Any]], **more: Any
) -> Endpoint:
    """Declare an endpoint of an announced upload, without rate limit: a large file takes many calls."""
    return _tus(method, "import.uploads/{upload}", receive, limited=False, **more)


@cache
def _document() -> dict[str, Any]:
    return openapi.document(ENDPOINTS)


@cache
def _openapi() -> bytes:
    return msgspec.json.encode(_document())


@cache
def _page() -> str:
    return page.html(_document())


def openapi_json(call: Call) -> Response:
    """Return this API as an OpenAPI 3.1 document."""
    return Response(_openapi(), media_type="application/json")


def docs(call: Call) -> Response:
    """Return this API as a page to read."""
    return HTMLResponse(_page(), headers=page.HEADERS)


ENDPOINTS = (
    _post(
        "login",
        sessions.login,
        summary="Log in with a username or e-mail and password, or with a valid token",
        auth=False,
        permission="",
        body=schemas.LOGIN,
        takes_any_body=True,
        hashes=True,
        answers=responses.LOGIN,
        example=examples.LOGIN,
    ),
    _post(
        "logout",
        sessions.logout,
        summary="Log out: the token of this session becomes invalid",
        permission="",
        enveloped=False,
        answers=responses.LOGOUT,
        example=examples.LOGOUT,
    ),
    _get(
        "logout",
        sessions.logout,
        summary="Log out, for old clients",
        permission="",
        query=None,
        enveloped=False,
        answers=responses.LOGOUT,
        example=examples.LOGOUT,
    ),
    _get(
        "me",
        sessions.me,
        summary="Return the caller's account",
        permission="",
        query=None,
        answers=responses.ME,
        example=examples.ME,
    ),
    _post(
        "users.generatePersonalAccessToken",
        access_tokens.generate,
        summary="Make a named token for scripts; only this answer shows its text",
        permission=TOKENS,
        body=schemas.GENERATE_TOKEN,
        answers=responses.TOKEN,
        example=examples.GENERATE_TOKEN,
    ),
    _post(
        "users.regeneratePersonalAccessToken",
        access_tokens.regenerate,
        summary="Replace the token with this name by a new one",
        permission=TOKENS,
        body=schemas.NAMED_TOKEN,
        answers=responses.TOKEN,
        example=examples.REGENERATE_TOKEN,
    ),
    _get(
        "users.getPersonalAccessTokens",
        access_tokens.list_all,
        summary="List the caller's tokens, without their text",
        permission=TOKENS,
        answers=responses.TOKENS,
        example=examples.TOKENS,
    ),
    _post(
        "users.removePersonalAccessToken",
        access_tokens.remove,
        summary="Delete the token with this name",
        permission=TOKENS,
        body=schemas.NAMED_TOKEN,
        answers=responses.SUCCESS,
        example=examples.REMOVE_TOKEN,
    ),
    _post(
        "uploadImportFile",
        None,
        summary="Begin an import with a file in the request",
        receive=single.upload_import_file,
        body=schemas.UPLOAD_IMPORT_FILE,
        names_operation=True,
        answers=responses.SUCCESS,
        example=examples.UPLOAD,
    ),
    _post(
        "import.upload",
        None,
        summary="Begin an import with a file in a form",
        receive=single.import_upload,
        body=schemas.IMPORT_UPLOAD,
        takes_form=True,
        names_operation=True,
        answers=responses.SUCCESS,
        example=examples.UPLOAD_FORM,
    ),
    _tus(
        "OPTIONS",
        "import.uploads",
        resumable.describe,
        summary="Return what resumable uploads support",
        exchange=tus_headers.DESCRIBE,
    ),
    _tus(
        "POST",
        "import.uploads",
        resumable.create,
        summary="Announce a resumable upload; the first bytes can be in the same request",
        exchange=tus_headers.CREATE,
    ),
    _piece(
        "HEAD",
        resumable.look,
        summary="Return how many bytes of an upload have arrived",
        exchange=tus_headers.LOOK,
    ),
    _piece(
        "PATCH",
        resumable.resume,
        summary="Send the next bytes of an upload; the last one begins the import",
        exchange=tus_headers.RESUME,
    ),
    _piece("DELETE", resumable.end, summary="Delete an upload", exchange=tus_headers.END),
    _piece(
        "POST",
        resumable.by_header,
        summary="Use HEAD, PATCH or DELETE with a client that can only POST: a header names the method",
        exchange=tus_headers.BY_HEADER,
    ),
    _post(
        "downloadPublicImportFile",
        by_url.download_public_import_file,
        summary="Begin an import from an http(s) URL, or a file or folder on the server",
        body=schemas.DOWNLOAD_PUBLIC_IMPORT_FILE,
        names_operation=True,
        answers=responses.SUCCESS,
        example=examples.DOWNLOAD,
    ),
    _get(
        "getImportFileData",
        operations.get_import_file_data,
        summary="Return the users, channels and contacts to choose from, or that they are still being read",
        answers=responses.FILE_DATA,
        example=examples.FILE_DATA,
    ),
    _post(
        "startImport",
        operations.start_import,
        summary="Import the chosen users, channels and contacts",
        body=schemas.START_IMPORT,
        most_body=bodies.LARGE,
        names_operation=True,
        answers=responses.SUCCESS,
        example=examples.START,
    ),
    _get(
        "getImportProgress",
        operations.get_import_progress,
        summary="Return the progress of the current operation",
        answers=responses.PROGRESS,
        example=examples.PROGRESS,
    ),
    _post(
        "downloadPendingFiles",
        pending_files.download_pending_files,
        summary="Fetch the files of imported messages that are not stored yet",
        body=schemas.DOWNLOAD_PENDING_FILES,
        names_operation=True,
        answers=responses.PENDING,
        example=examples.PENDING_FILES,
    ),
    _post(
        "downloadPendingAvatars",
        pending_files.download_pending_avatars,
        summary="Fetch the avatars of imported users that are not stored yet",
        body=schemas.DOWNLOAD_PENDING_AVATARS,
        names_operation=True,
        answers=responses.PENDING,
        example=examples.PENDING_AVATARS,
    ),
    _get(
        "getCurrentImportOperation",
        operations.get_current_import_operation,
        summary="Return the latest operation, if there is one",
        answers=responses.CURRENT_OPERATION,
        example=examples.CURRENT_OPERATION,
    ),
    _get(
        "getLatestImportOperations",
        operations.get_latest_import_operations,
        summary="List the 20 operations that changed last, newest first",
        permission=VIEW,
        answers=responses.OPERATIONS,
        example=examples.LATEST,
    ),
    _get(
        "importers.list",
        operations.importers_list,
        summary="List the formats that can be imported",
        answers=responses.IMPORTERS,
        example=examples.IMPORTERS,
    ),
    _post(
        "import.new",
        users.import_new,
        summary="Begin an import of users that are sent over the API",
        names_operation=True,
        answers=responses.NEW_OPERATION,
        example=examples.NEW,
    ),
    _post(
        "import.addUsers",
        users.import_add_users,
        summary="Add users to the current operation: all of them, or none if one is invalid",
        body=schemas.IMPORT_ADD_USERS,
        most_body=bodies.LARGE,
        hashes=True,
        answers=responses.SUCCESS,
        example=examples.ADD_USERS,
    ),
    _post(
        "import.run",
        users.import_run,
        summary="Import all users of the current operation; existing accounts do not change",
        names_operation=True,
        answers=responses.SUCCESS,
        example=examples.RUN,
    ),
    _get(
        "import.status",
        operations.import_status,
        summary="Return the current operation, and its state in one word",
        query=None,
        answers=responses.STATUS,
        example=examples.STATUS,
    ),
    _post(
        "import.clear",
        operations.import_clear,
        summary="Cancel every operation, and stop the running one",
        answers=responses.SUCCESS,
        example=examples.CLEAR,
    ),
    _post(
        "import.pause",
        operations.import_pause,
        summary="Pause the running import; calling it twice changes nothing",
        answers=responses.PAUSED,
        example=examples.PAUSE,
    ),
    _post(
        "import.resume",
        operations.import_resume,
        summary="Resume the paused import; calling it twice changes nothing",
        answers=responses.PAUSED,
        example=examples.RESUME,
    ),
    _post(
        "import.retry",
        operations.import_retry,
        summary="Continue the latest failed import where it stopped",
        names_operation=True,
        answers=responses.NEW_OPERATION,
        example=examples.RETRY,
    ),
    _open(
        "/api/info",
        sessions.info,
        summary="Return the versions of this server",
        is_instant=True,
        answers=responses.INFO,
        example=examples.INFO,
    ),
    _open(
        "/api/v1/info",
        sessions.info,
        summary="Return the versions of this server",
        limited=True,
        is_instant=True,
        answers=responses.INFO,
        example=examples.INFO,
    ),
    _open(
        "/api/v1/openapi.json",
        openapi_json,
        summary="Return this API as OpenAPI 3.1",
        answers=responses.OPENAPI,
    ),
    _open("/api/docs", docs, summary="Return this API as a page to read", answers=None),
    _open(
        "/api/health",
        health.health,
        summary="Return that the process answers; this needs no database",
        is_instant=True,
        answers=responses.HEALTH,
        example=examples.HEALTH,
    ),
    _open(
        "/api/ready",
        health.ready,
        summary="Return whether everything works that imports need: store, destination, worker, disk space",
        answers=responses.READY,
        example=examples.READY,
        more_answers={503: ("A check failed; `checks` says which and why.", responses.NOT_READY)},
    ),
    _open(
        "/metrics",
        None,
        summary="Return the server's metrics in Prometheus' text format",
        receive=health.metrics,
        answers=None,
        page_type="text/plain",
        more_answers={
            401: ("The token of the metrics is missing.", responses.ERROR),
            403: ("Only this machine may read the metrics.", responses.ERROR),
        },
    ),
)
