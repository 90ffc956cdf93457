"""Examples of calls and answers for each endpoint, from Rocket.Chat's documentation where it has one."""

from datetime import datetime
from typing import Any

from msgspec import Struct

from chatferry.api import wire
from chatferry.operations import Operation, Status
from chatferry.reports.operation_json import operation_json

USER = "d26x6zSkaPSe5gCyy"
TOKEN = "Zu-Z6eKzIIz7MCCRGeHi29bYkXZCJ4SxFC0JAasqm92"
CURRENT = "7PbvsnKJD9ZAqw38C"


class Example(Struct, frozen=True, kw_only=True):
    """An example: the body of a call, its answer without `success`, and its own answers with status 400."""

    answer: Any = {}
    body: Any = None
    refusals: tuple[wire.JSON, ...] = ()


# ---------------------------------------------------------------- the operations of the documentation

_RESTART = "2021-10-27T08:32:42.609Z"
_AVATARS, _FILES, _CSV = (
    ("pending-avatars", "Pending Avatars"),
    ("pending-files", "Pending Files"),
    ("csv", "CSV"),
)
# In order of creation: among operations that changed at the same time the youngest is listed first.
_ROWS = (
    ("9mCbRPTbF9QHQ3RM6", _AVATARS, 1635247489080, Status.DONE, _RESTART),
    ("NRqiLZ4bADfGwMRMz", _CSV, 1635247067385, Status.FILE_LOADED, _RESTART),
    ("XckCNn9ZsdywHso4f", _AVATARS, 1635277452755, Status.DONE, _RESTART),
    ("zYc5kuFRaszfqCegB", _AVATARS, 1635277492185, Status.DONE, _RESTART),
    ("96WJDaxXpwXC3fTD5", _FILES, 1635277590992, Status.SELECTION, _RESTART),
    ("YzSCu9WgqJ3wutF4T", _FILES, 1635280596592, Status.DONE, _RESTART),
    ("MJxTRZsYdho8Ww2qq", _AVATARS, 1635280600083, Status.SELECTION, "2021-10-27T11:26:24.430Z"),
    (CURRENT, _AVATARS, 1635337234169, Status.DONE, "2021-10-27T12:20:34.184Z"),
)


def _documented(id: str, importer: tuple[str, str], ts: int, status: Status, updated: str) -> Operation:
    is_upload = status == Status.FILE_LOADED
    key, name = importer
    return Operation(
        id=id,
        type=name,
        importer_key=key,
        ts=ts,
        status=status,
        valid=id == CURRENT,
        user=USER,
        updated_at=round(datetime.fromisoformat(updated).timestamp() * 1000),
        content_type="image/svg+xml" if is_upload else None,
        file=f"2021926111747_{USER}_pp.svg" if is_upload else None,
    )


OPERATIONS = tuple(_documented(*row) for row in _ROWS)
"""In order of creation."""


# ---------------------------------------------------------------- refusals


def _refusal(reason: str, code: str = "", details: Any = "") -> wire.JSON:
    error: wire.JSON = {"success": False, "error": f"{reason} [{code}]".strip() if code else reason}
    return {**error, "errorType": code, "details": details} if code else error


def _not_found(method: str) -> wire.JSON:
    return _refusal("Import Operation Not Found", "error-operation-not-found", method)


def _no_importer(key: str, method: str) -> wire.JSON:
    reason = f"The importer ({key}) has no import class defined."
    return _refusal(reason, "error-importer-not-defined", method)


def _is_done(why: str, method: str) -> wire.JSON:
    reason = f"The import operation is at importer_done, {why}"
    return _refusal(reason, "error-invalid-operation-status", method)


def _not_importing(method: str) -> tuple[wire.JSON, ...]:
    return _not_found(method), _is_done("it is not importing", method)


def _token_refusal(reason: str, code: str, method: str) -> wire.JSON:
    return _refusal(reason, code, {"method": f"personalAccessTokens:{method}"})


UNAUTHORIZED: wire.JSON = {"success": False, "error": "unauthorized"}
FORBIDDEN = _refusal("User does not have the permissions required for this action [error-unauthorized]")
TOO_MANY = _refusal(
    "Error, too many requests. Please slow down. You must wait 42 seconds before trying this endpoint again. "
    "[error-too-many-requests]"
)
UPLOAD_TOO_LARGE = _refusal(
    "The body is larger than 102400 MiB, the most that is accepted here. Put the archive where the server "
    "can fetch it and use downloadPublicImportFile, or have the administrator raise CHATFERRY_MAX_UPLOAD_MIB."
)
SILENT = _refusal("Nothing came for 60 s, and the body is not complete. Send it again.")
LOGIN_FAILED = {"success": False, "status": "error", "error": "Unauthorized", "message": "Unauthorized"}
BAD_QUERY = {
    "success": False,
    "error": "must NOT have additional properties",
    "errorType": "error-invalid-params",
}


def too_large(limit: int) -> wire.JSON:
    """Return the refusal of a body beyond `limit` bytes."""
    return _refusal(f"The body is larger than {wire.size(limit)}.")


def _bad_body(reason: str) -> wire.JSON:
    return {"success": False, "error": reason, "errorType": "invalid-params"}


NO_FORM = _bad_body(
    "The body is no form: send multipart/form-data with the field importerKey and the file as the part named"
    " file."
)


# ---------------------------------------------------------------- examples

_ME: wire.JSON = {
    "_id": USER,
    "name": "demo",
    "username": "demo",
    "emails": [{"address": "demo@example.org", "verified": True}],
    "status": "offline",
    "active": True,
    "roles": ["admin"],
    "email": "demo@example.org",
    "settings": {"profile": {}, "preferences": {}, "calendar": {}},
    "avatarUrl": "http://localhost:3000/avatar/demo",
    "isOAuthUser": False,
    "services": {"password": {"exists": True}},
}
_NEW: wire.JSON = {
    "_id": "rbAXPnMktTFbNpwtJ",
    "type": "api",
    "importerKey": "api",
    "ts": 1691784517655,
    "status": "importer_new",
    "valid": True,
    "user": USER,
    "_updatedAt": "2023-08-11T20:08:37.655Z",
}
_READY: wire.JSON = {
    **_NEW,
    "status": "importer_user_selection",
    "_updatedAt": "2023-08-11T20:10:20.052Z",
    "count": {"total": 2, "users": 2},
}

LOGIN = Example(
    body={"user": "demo", "password": "demo"},
    answer={"status": "success", "data": {"userId": USER, "authToken": TOKEN, "me": _ME}},
)
LOGOUT = Example(answer={"status": "success", "data": {"message": "You've been logged out!"}})
ME = Example(answer=_ME)
INFO = Example(
    answer={
        "version": "8.8",
        "minimumClientVersions": {"desktop": "3.9.6", "mobile": "4.39.0"},
        "chatferry": {"version": "0.1.0"},
    }
)
UPLOAD = Example(
    body={
        "binaryContent": "UEsDBBQAAAAIAA==",
        "contentType": "application/zip",
        "fileName": "export.zip",
        "importerKey": "slack",
    },
    refusals=(
        _bad_body("must have required property 'binaryContent'"),
        _no_importer("png", "uploadImportFile"),
    ),
)
UPLOAD_FORM = Example(
    body={"importerKey": "slack", "file": "export.zip"},
    refusals=(
        _bad_body("must have required property 'importerKey'"),
        _no_importer("png", "import.upload"),
    ),
)
DOWNLOAD = Example(
    body={"fileUrl": "/srv/exports/slack.zip", "importerKey": "slack"},
    refusals=(
        _bad_body("must have required property 'fileUrl'"),
        _no_importer("png", "downloadImportFile"),
        {
            **_refusal("/srv/exports/slack.zip", "error-import-file-missing", "downloadPublicImportFile"),
            "hint": "Either there is no such file, or it is not below a directory of CHATFERRY_IMPORT_DIRS. "
            "Check the path, or have the administrator add its directory there.",
        },
    ),
)
START = Example(
    body={
        "input": {
            "users": {"all": True, "list": ["testbh"]},
            "channels": {"all": False, "list": ["WDuJLFkjwk6L7LdFC"]},
        }
    },
    refusals=(
        _bad_body("must have required property 'input'"),
        _not_found("startImport"),
        _is_done("not at importer_user_selection", "startImport"),
    ),
)
FILE_DATA = Example(
    answer={
        "name": "Slack",
        "users": [
            {
                "user_id": "U0A100000",
                "username": "ada",
                "email": "ada@example.org",
                "is_deleted": False,
                "is_bot": False,
                "do_import": True,
                "is_email_taken": False,
            }
        ],
        "channels": [
            {
                "channel_id": "C0B200000",
                "name": "general",
                "is_archived": False,
                "do_import": True,
                "is_private": False,
                "is_direct": False,
            }
        ],
        "contacts": [],
        "message_count": 12,
    },
    refusals=(
        _not_found("getImportFileData"),
        _refusal("Invalid Import Operation", "error-import-operation-invalid", "getImportFileData"),
    ),
)
PROGRESS = Example(
    answer={
        "key": "slack",
        "name": "Slack",
        "step": "importer_importing_users",
        "count": {"completed": 50, "total": 230, "error": 0},
    },
    refusals=(_not_found("getImportProgress"),),
)
LATEST = Example(
    answer=[operation_json(operation) for operation in reversed(OPERATIONS) if operation.id != CURRENT],
)
CURRENT_OPERATION = Example(answer={"success": True, "operation": operation_json(OPERATIONS[-1])})
IMPORTERS = Example(
    answer=[
        {"key": "csv", "name": "CSV"},
        {"key": "slack", "name": "Slack"},
        {"key": "slack-users", "name": "Slack_Users"},
        {"key": "omnichannel_contact", "name": "omnichannel_contacts_importer"},
    ],
)
STATUS = Example(answer={"state": "ready", "operation": _READY})
NEW = Example(answer={"operation": _NEW})
_FAILED_LATELY: wire.JSON = {
    **operation_json(OPERATIONS[1]),
    "status": "importer_import_failed",
    "state": "error",
    "error": "export.zip is damaged: the file ends early. Export again, then import again.",
}
_CURRENT_STATE: wire.JSON = {**operation_json(OPERATIONS[-1]), "state": "done"}
LISTING = Example(
    answer={"operations": [_CURRENT_STATE, _FAILED_LATELY], "count": 2, "offset": 0, "total": 2},
)
ONE_OPERATION = Example(answer={"operation": _CURRENT_STATE})
_NOTHING = dict.fromkeys(("read", "inserted", "updated", "unchanged", "skipped", "failed"), 0)
_PROBLEM: wire.JSON = {
    "kind": "message-not-readable",
    "effect": "failed",
    "count": 3,
    "file": "general/2021-10-27.json",
    "position": "$[7]",
    "field": "",
    "reason": "the message is not an object",
    "remedy": "Correct the message in the file and import again.",
}
REPORT = Example(
    answer={
        "operation": operation_json(OPERATIONS[-1]),
        "paused": False,
        "waitingFor": "",
        "users": {**_NOTHING, "read": 8, "inserted": 8},
        "contacts": _NOTHING,
        "rooms": {**_NOTHING, "read": 5, "inserted": 5},
        "messages": {**_NOTHING, "read": 1203, "inserted": 1200, "failed": 3},
        "files": _NOTHING,
        "problems": [_PROBLEM],
        "seconds": 1.5,
        "messagesPerSecond": 802.0,
        "peakMemoryMiB": 61.5,
        "count": 1,
        "offset": 0,
        "total": 1,
    },
)
ADD_USERS = Example(
    body={
        "users": [
            {
                "emails": ["ada@example.org"],
                "importIds": ["u1"],
                "username": "ada",
                "name": "Ada Lovelace",
                "roles": ["user"],
            }
        ]
    },
    refusals=(
        _bad_body("must have required property 'users'"),
        _refusal("Import operation not initialized."),
        _refusal("The current import operation can not receive new data."),
        _refusal("The current import operation is already finished."),
        _refusal("Users are missing required data."),
        _refusal("One or more of the users have been assigned invalid roles."),
    ),
)
RUN = Example(
    refusals=(
        _refusal("error-operation-not-found"),
        _refusal("error-invalid-operation-status"),
        _refusal("error-importer-not-defined"),
    ),
)
CLEAR = Example()


PAUSE = Example(answer={"paused": True}, refusals=_not_importing("import.pause"))
RESUME = Example(answer={"paused": False}, refusals=_not_importing("import.resume"))
RETRY = Example(
    answer={"operation": {**_READY, "status": "importer_importing_started"}},
    refusals=(
        _not_found("import.retry"),
        _is_done("it has not failed", "import.retry"),
    ),
)
PENDING_FILES = Example(body={}, answer={"count": 12})
PENDING_AVATARS = Example(body={}, answer={"count": 0})
HEALTH = Example(answer={"status": "alive"})
READY = Example(
    answer={
        "ready": True,
        "checks": {name: {"ok": True} for name in ("store", "destination", "worker", "disk")},
    }
)

_NO_NAME = _refusal("The 'tokenName' param is required")
_NO_TOKEN = ("Token does not exist", "error-token-does-not-exists")
GENERATE_TOKEN = Example(
    body={"tokenName": "nightly-import", "bypassTwoFactor": False},
    answer={"token": "2jdk99wuSjXPO201XlAks9sjDjAhSJmskAKW301mSuj"},
    refusals=(
        _NO_NAME,
        _token_refusal(
            "A token with this name already exists", "error-token-already-exists", "generateToken"
        ),
    ),
)
REGENERATE_TOKEN = Example(
    body={"tokenName": "nightly-import"},
    answer={"token": "sSfSoNW8Pb7S8BHEz3uJXYRM3__ML9GxPY1PxGzqAcn"},
    refusals=(_NO_NAME, _token_refusal(*_NO_TOKEN, "regenerateToken")),
)
REMOVE_TOKEN = Example(
    body={"tokenName": "nightly-import"},
    refusals=(_NO_NAME, _token_refusal(*_NO_TOKEN, "removeToken")),
)
TOKENS = Example(
    answer={
        "tokens": [
            {
                "name": "nightly-import",
                "createdAt": "2023-08-11T20:08:37.655Z",
                "lastTokenPart": "1mSuj2",
                "bypassTwoFactor": False,
            }
        ],
    },
)
