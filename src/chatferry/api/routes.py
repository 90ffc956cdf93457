"""The table of endpoints."""

import re
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from chatferry.api import bodies, health, schemas
from chatferry.api.auth import access_tokens, sessions
from chatferry.api.description import examples, openapi, page, responses
from chatferry.api.description.examples import Example
from chatferry.api.endpoint import Endpoint
from chatferry.api.imports import by_url, events, listing, operations, pending_files, report, users
from chatferry.api.schemas import Schema
from chatferry.api.services import Call, Services
from chatferry.api.uploads import resumable, single, tus, tus_headers
from chatferry.documents import Document

RUN, VIEW, TOKENS = "run-import", "view-import-operations", "create-personal-access-tokens"

_Answer = Callable[[Call], Any]
_Receive = Callable[[Request, Services, Document], Awaitable[Any]]
_NO_OPERATION = {404: ("There is no such operation.", responses.ERROR)}


def _endpoint(method: str, path: str, function: Callable[..., Any], **more: Any) -> Endpoint:
    """Declare an endpoint. The first sentence of its function's docstring is its summary."""
    summary = re.split(r"\.(?:\s|$)", function.__doc__ or "")[0]
    return Endpoint(method=method, path=path, **{"summary": summary, **more})


def _get(name: str, answer: _Answer, answers: Schema, example: Example, **more: Any) -> Endpoint:
    more = {"answer": answer, "permission": RUN, "query": schemas.NO_QUERY, **more}
    return _endpoint("GET", f"/api/v1/{name}", answer, answers=answers, example=example, **more)


def _look(name: str, receive: _Receive, answers: Schema | None, example: Example, **more: Any) -> Endpoint:
    """Declare an endpoint that shows an operation, with a function that may send its answer in pieces."""
    more = {"receive": receive, "permission": VIEW, **more}
    return _endpoint("GET", f"/api/v1/{name}", receive, answers=answers, example=example, **more)


def _post(name: str, answer: _Answer, answers: Schema, example: Example, **more: Any) -> Endpoint:
    more = {"answer": answer, "permission": RUN, **more}
    return _endpoint("POST", f"/api/v1/{name}", answer, answers=answers, example=example, **more)


def _upload(name: str, receive: _Receive, body: Schema, example: Example, **more: Any) -> Endpoint:
    more = {"receive": receive, "permission": RUN, "answers": responses.SUCCESS, **more}
    return _endpoint(
        "POST", f"/api/v1/{name}", receive, body=body, example=example, names_operation=True, **more
    )


def _tus(method: str, name: str, receive: _Receive, exchange: tus_headers.Exchange, **more: Any) -> Endpoint:
    return _endpoint(
        method,
        f"/api/v1/{name}",
        receive,
        receive=receive,
        permission=RUN,
        answers=None,
        exchange=exchange,
        headers=tus.HEADERS,
        limited=name != _PIECES,
        **more,
    )


def _open(path: str, answer: _Answer, answers: Schema | None, **more: Any) -> Endpoint:
    """Declare an endpoint without authentication and rate limit."""
    more = {"auth": False, "limited": False, **more}
    return _endpoint("GET", path, answer, answer=answer, answers=answers, **more)


@cache
def _openapi() -> bytes:
    return msgspec.json.encode(openapi.document(ENDPOINTS))


@cache
def _page() -> str:
    return page.html(openapi.document(ENDPOINTS))


def openapi_json(call: Call) -> Response:
    """Return this API as OpenAPI 3.1."""
    return Response(_openapi(), media_type="application/json")


def docs(call: Call) -> Response:
    """Return this API as a page to read."""
    return HTMLResponse(_page(), headers=page.HEADERS)


_PIECES = "import.uploads/{upload}"  # without rate limit: a large file takes many calls

ENDPOINTS = (
    _post(
        "login",
        sessions.login,
        responses.LOGIN,
        examples.LOGIN,
        auth=False,
        permission="",
        body=schemas.LOGIN,
        takes_any_body=True,
        hashes=True,
    ),
    _post("logout", sessions.logout, responses.LOGOUT, examples.LOGOUT, permission="", enveloped=False),
    _get(
        "logout",
        sessions.logout,
        responses.LOGOUT,
        examples.LOGOUT,
        summary="Log out, for old clients",
        permission="",
        query=None,
        enveloped=False,
    ),
    _get("me", sessions.me, responses.ME, examples.ME, permission="", query=None),
    _post(
        "users.generatePersonalAccessToken",
        access_tokens.generate,
        responses.TOKEN,
        examples.GENERATE_TOKEN,
        permission=TOKENS,
        body=schemas.GENERATE_TOKEN,
    ),
    _post(
        "users.regeneratePersonalAccessToken",
        access_tokens.regenerate,
        responses.TOKEN,
        examples.REGENERATE_TOKEN,
        permission=TOKENS,
        body=schemas.NAMED_TOKEN,
    ),
    _get(
        "users.getPersonalAccessTokens",
        access_tokens.list_all,
        responses.TOKENS,
        examples.TOKENS,
        permission=TOKENS,
    ),
    _post(
        "users.removePersonalAccessToken",
        access_tokens.remove,
        responses.SUCCESS,
        examples.REMOVE_TOKEN,
        permission=TOKENS,
        body=schemas.NAMED_TOKEN,
    ),
    _upload("uploadImportFile", single.upload_import_file, schemas.UPLOAD_IMPORT_FILE, examples.UPLOAD),
    _upload(
        "import.upload",
        single.import_upload,
        schemas.IMPORT_UPLOAD,
        examples.UPLOAD_FORM,
        takes_form=True,
        query=schemas.REPLACE_QUERY,
        more_answers={409: ("Another import is running; `details` says which.", responses.ERROR)},
    ),
    _tus("OPTIONS", "import.uploads", resumable.describe, tus_headers.DESCRIBE),
    _tus("POST", "import.uploads", resumable.create, tus_headers.CREATE, query=schemas.REPLACE_QUERY),
    _tus("HEAD", _PIECES, resumable.look, tus_headers.LOOK),
    _tus("PATCH", _PIECES, resumable.resume, tus_headers.RESUME),
    _tus("DELETE", _PIECES, resumable.end, tus_headers.END),
    _tus("POST", _PIECES, resumable.by_header, tus_headers.BY_HEADER),
    _post(
        "downloadPublicImportFile",
        by_url.download_public_import_file,
        responses.SUCCESS,
        examples.DOWNLOAD,
        body=schemas.DOWNLOAD_PUBLIC_IMPORT_FILE,
        names_operation=True,
    ),
    _get("getImportFileData", operations.get_import_file_data, responses.FILE_DATA, examples.FILE_DATA),
    _post(
        "startImport",
        operations.start_import,
        responses.SUCCESS,
        examples.START,
        body=schemas.START_IMPORT,
        most_body=bodies.LARGE,
        names_operation=True,
    ),
    _get("getImportProgress", operations.get_import_progress, responses.PROGRESS, examples.PROGRESS),
    _post(
        "downloadPendingFiles",
        pending_files.download_pending_files,
        responses.PENDING,
        examples.PENDING_FILES,
        body=schemas.DOWNLOAD_PENDING_FILES,
        names_operation=True,
    ),
    _post(
        "downloadPendingAvatars",
        pending_files.download_pending_avatars,
        responses.PENDING,
        examples.PENDING_AVATARS,
        body=schemas.DOWNLOAD_PENDING_AVATARS,
        names_operation=True,
    ),
    _get(
        "getCurrentImportOperation",
        operations.get_current_import_operation,
        responses.CURRENT_OPERATION,
        examples.CURRENT_OPERATION,
    ),
    _get(
        "getLatestImportOperations",
        operations.get_latest_import_operations,
        responses.OPERATIONS,
        examples.LATEST,
        permission=VIEW,
    ),
    _get(
        "import.operations",
        listing.import_operations,
        responses.IMPORT_OPERATIONS,
        examples.LISTING,
        permission=VIEW,
        query=schemas.OPERATIONS_QUERY,
    ),
    _get(
        "import.operations/{id}",
        listing.import_operation,
        responses.IMPORT_OPERATION,
        examples.ONE_OPERATION,
        permission=VIEW,
        more_answers=_NO_OPERATION,
    ),
    _look(
        "import.events",
        events.import_events,
        None,
        Example(),
        query=schemas.EVENTS_QUERY,
        page_type=events.EVENTS,
        page_schema=responses.EVENT,
        more_answers=_NO_OPERATION,
    ),
    _look(
        "import.report",
        report.import_report,
        responses.REPORT,
        examples.REPORT,
        query=schemas.REPORT_QUERY,
        further_types=(report.CSV,),
        more_answers=_NO_OPERATION,
    ),
    _get("importers.list", operations.importers_list, responses.IMPORTERS, examples.IMPORTERS),
    _post("import.new", users.import_new, responses.NEW_OPERATION, examples.NEW, names_operation=True),
    _post(
        "import.addUsers",
        users.import_add_users,
        responses.SUCCESS,
        examples.ADD_USERS,
        body=schemas.IMPORT_ADD_USERS,
        most_body=bodies.LARGE,
        hashes=True,
    ),
    _post("import.run", users.import_run, responses.SUCCESS, examples.RUN, names_operation=True),
    _get("import.status", operations.import_status, responses.STATUS, examples.STATUS, query=None),
    _post("import.clear", operations.import_clear, responses.SUCCESS, examples.CLEAR),
    _post("import.pause", operations.import_pause, responses.PAUSED, examples.PAUSE),
    _post("import.resume", operations.import_resume, responses.PAUSED, examples.RESUME),
    _post(
        "import.retry", operations.import_retry, responses.NEW_OPERATION, examples.RETRY, names_operation=True
    ),
    _open("/api/info", sessions.info, responses.INFO, example=examples.INFO, is_instant=True),
    _open(
        "/api/v1/info", sessions.info, responses.INFO, example=examples.INFO, is_instant=True, limited=True
    ),
    _open("/api/v1/openapi.json", openapi_json, responses.OPENAPI),
    _open("/api/docs", docs, None),
    _open("/api/health", health.health, responses.HEALTH, example=examples.HEALTH, is_instant=True),
    _open(
        "/api/ready",
        health.ready,
        responses.READY,
        example=examples.READY,
        more_answers={503: ("A check failed; `checks` says which and why.", responses.NOT_READY)},
    ),
    _endpoint(
        "GET",
        "/metrics",
        health.metrics,
        receive=health.metrics,
        auth=False,
        limited=False,
        answers=None,
        page_type="text/plain",
        more_answers={
            401: ("The token of the metrics is missing.", responses.ERROR),
            403: ("Only this machine may read the metrics.", responses.ERROR),
        },
    ),
)
