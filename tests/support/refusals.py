"""Calls of endpoints, and the form of refusals."""

import re
from typing import Any

import httpx

from chatferry.api.routes import ENDPOINTS
from chatferry.api.uploads.tus_headers import HEADERS
from tests.support.serving import NOT_ALLOWED, UNAUTHORIZED, upload_body

MIB = 2**20
TABLE = {f"{endpoint.method} {endpoint.name}": endpoint for endpoint in ENDPOINTS}
GUARDED = [key for key, endpoint in TABLE.items() if endpoint.auth]
PERMITTED = [key for key, endpoint in TABLE.items() if endpoint.permission]
BEGINNING = (
    "POST uploadImportFile",
    "POST import.upload",
    "POST import.uploads",
    "POST import.new",
    "POST downloadPendingFiles",
    "POST downloadPendingAvatars",
)
"""Those that leave an operation or an upload."""
UPLOAD = upload_body(b"This is no archive.")
BODIES: dict[str, Any] = {
    "uploadImportFile": UPLOAD,
    "downloadPublicImportFile": {"fileUrl": "/srv/export.zip", "importerKey": "slack"},
    "startImport": {"input": {}},
    "import.addUsers": {"users": [{"emails": ["ada@example.org"], "importIds": ["u1"]}]},
}
"""Of the endpoints that say what their body must hold."""
FIRST_REQUIRED = {
    "uploadImportFile": "must have required property 'binaryContent'",
    "downloadPublicImportFile": "must have required property 'fileUrl'",
    "startImport": "must have required property 'input'",
    "import.addUsers": "must have required property 'users'",
}
NO_OPERATION = {"state": "none", "success": True}
NO_LOGIN = {"success": False, "error": "Unauthorized", "status": "error", "message": "Unauthorized"}
JSON_TYPE = {"Content-Type": "application/json"}
Refusal = tuple[int, dict[str, Any]]


def call(http: httpx.Client, key: str, query: str = "", **more: Any) -> httpx.Response:
    """An endpoint of the table as its example calls it."""
    endpoint = TABLE[key]
    url = str(http.base_url.copy_with(path=re.sub(r"{\w+}", "none", endpoint.path))) + query
    body = endpoint.example.body if endpoint.example else None
    if endpoint.takes_form and body is not None:
        fields = {name: (None, str(value)) for name, value in body.items() if name != "file"}
        return http.request(endpoint.method, url, files={**fields, "file": ("x.zip", b"no archive")}, **more)
    if endpoint.exchange is not None:
        needed = {name: HEADERS[name].example for name in endpoint.exchange.needs}
        more["headers"] = {**needed, **more.get("headers", {})}
    return http.request(endpoint.method, url, json=body, **more)


def refusal(answer: httpx.Response) -> Refusal:
    """Status and body without the hint, which Rocket.Chat has not; the headers are those of every answer.

    A HEAD has no body: the status says it.
    """
    assert answer.headers["content-type"] == "application/json"
    assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
    if answer.request.method == "HEAD":
        assert answer.content == b""
        return answer.status_code, {401: UNAUTHORIZED, 403: NOT_ALLOWED}.get(answer.status_code, {})
    body: dict[str, Any] = answer.json()
    body.pop("hint", None)
    return answer.status_code, body


def invalid(reason: str, type: str = "invalid-params") -> Refusal:
    return 400, {"success": False, "errorType": type, "error": reason}


def failure(reason: str) -> Refusal:
    """Return the body of a refusal without a code."""
    return 400, {"success": False, "error": reason}


def action_error(reason: str, code: str, details: object) -> Refusal:
    error = f"{reason} [{code}]".strip()
    return 400, {"success": False, "error": error, "errorType": code, "details": details}


def missing(url: str) -> Refusal:
    return action_error(url, "error-import-file-missing", "downloadPublicImportFile")


def download(http: httpx.Client, url: object) -> httpx.Response:
    return http.post("downloadPublicImportFile", json={"fileUrl": str(url), "importerKey": "slack"})
