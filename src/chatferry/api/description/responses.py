"""JSON Schemas (2020-12) of the endpoints' answers. Pure."""

from collections.abc import Iterable
from typing import Any, get_args

from chatferry.api.schemas import Schema
from chatferry.operations import State, Status

_STRING, _BOOLEAN, _COUNT = {"type": "string"}, {"type": "boolean"}, {"type": "integer", "minimum": 0}
_ID = {"type": "string", "minLength": 1}
_TIME = {"type": "string", "format": "date-time"}
_TRUE, _FALSE = {"const": True}, {"const": False}


def _closed(fields: Schema, optional: Iterable[str] = ()) -> dict[str, Any]:
    """Return the schema of an object with exactly these fields; the optional ones may be missing."""
    required = [name for name in fields if name not in set(optional)]
    return {"type": "object", "required": required, "additionalProperties": False, "properties": fields}


def _list(items: Schema) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _success(fields: Schema, optional: Iterable[str] = ()) -> dict[str, Any]:
    return _closed({**fields, "success": _TRUE}, optional)


SUCCESS = _success({})
PENDING = _success({"count": _COUNT})
_WAITING = {
    "waitingFor": {"type": "string", "description": "What the import waits for; it continues by itself."}
}
PAUSED = _success({"paused": _BOOLEAN})

_COUNTERS = ("total", "completed", "error", "users", "channels", "messages", "contacts")
OPERATION = _closed(
    {
        "_id": _ID,
        "type": _STRING,
        "importerKey": _STRING,
        "ts": {"type": "integer", "description": "When it began: milliseconds since the epoch."},
        "status": {"enum": [status.value for status in Status]},
        "valid": _BOOLEAN,
        "user": _STRING,
        "_updatedAt": _TIME,
        "contentType": _STRING,
        "file": _STRING,
        "count": _closed(dict.fromkeys(_COUNTERS, _COUNT), _COUNTERS),
    },
    ("contentType", "file", "count"),
)
_RECORDED = {"status": _STRING}  # by other servers, in other versions
OPERATIONS = {
    **_list({**OPERATION, "properties": {**OPERATION["properties"], **_RECORDED}}),
    "maxItems": 20,
}
CURRENT_OPERATION = _success({"operation": OPERATION}, ["operation"])
NEW_OPERATION = _success({"operation": OPERATION})
STATUS = _success(
    {"state": {"enum": list(get_args(State))}, "operation": OPERATION, "paused": _TRUE, **_WAITING},
    ["operation", "paused", "waitingFor"],
)
IMPORTERS = _list(_closed({"key": _STRING, "name": _STRING}))
PROGRESS = _success(
    {
        **_WAITING,
        "key": _STRING,
        "name": _STRING,
        "step": OPERATION["properties"]["status"],
        "count": _closed(dict.fromkeys(("completed", "total", "error"), _COUNT)),
    },
    ["waitingFor"],
)

_USER = _closed(
    {
        "user_id": _STRING,
        "username": _STRING,
        "email": _STRING,
        **dict.fromkeys(("is_deleted", "is_bot", "do_import", "is_email_taken"), _BOOLEAN),
    },
    ("username", "email"),
)
_CHANNEL = _closed(
    {
        "channel_id": _STRING,
        "name": _STRING,
        **dict.fromkeys(("is_archived", "do_import", "is_private", "is_direct"), _BOOLEAN),
    },
    ["name"],
)
_CONTACT = _closed(
    {
        "id": _STRING,
        "name": _STRING,
        "emails": _list(_STRING),
        "phones": _list(_STRING),
        "do_import": _BOOLEAN,
    }
)
SELECTION = _success(
    {
        "name": _STRING,
        "users": _list(_USER),
        "channels": _list(_CHANNEL),
        "contacts": _list(_CONTACT),
        "message_count": _COUNT,
    }
)
WAITING = _success({"waiting": _TRUE})
FILE_DATA = {"oneOf": [WAITING, SELECTION]}

_ACCOUNT = {
    "_id": _ID,
    "name": _STRING,
    "username": _STRING,
    "emails": _list({"type": "object"}),
    "status": _STRING,
    "statusConnection": _STRING,
    "utcOffset": {"type": "number"},
    "active": _BOOLEAN,
    "roles": _list(_STRING),
    "email": _STRING,
    "settings": {"type": "object"},
    "avatarUrl": _STRING,
    "isOAuthUser": _BOOLEAN,
    "services": _closed({"password": _closed({"exists": _BOOLEAN})}),
}
_ALWAYS = ("_id", "settings", "isOAuthUser", "services")
_SOMETIMES = [name for name in _ACCOUNT if name not in _ALWAYS]
ME = _success(_ACCOUNT, _SOMETIMES)
LOGIN = _closed(
    {
        "status": {"const": "success"},
        "data": _closed({"userId": _ID, "authToken": _ID, "me": _closed(_ACCOUNT, _SOMETIMES)}),
        "success": _TRUE,
    }
)
LOGOUT = _closed({"status": {"const": "success"}, "data": _closed({"message": _STRING})})
INFO = _success(
    {
        "version": _STRING,
        "minimumClientVersions": _closed({"desktop": _STRING, "mobile": _STRING}),
        "chatferry": _closed({"version": _STRING}),
    }
)
HEALTH = _success({"status": {"const": "alive"}})
_WELL = _closed({"ok": {"const": True}})
_UNWELL = _closed({"ok": {"const": False}, "why": _STRING})
_PROBED = ("store", "destination", "worker", "disk")
READY = _success({"ready": {"const": True}, "checks": _closed(dict.fromkeys(_PROBED, _WELL))})
NOT_READY = _closed(
    {
        "ready": {"const": False},
        "checks": _closed({name: {"anyOf": [_WELL, _UNWELL]} for name in _PROBED}),
        "success": {"const": False},
    }
)

TOKEN = _success({"token": {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"}})
TOKENS = _success(
    {
        "tokens": _list(
            _closed(
                {
                    "name": _STRING,
                    "createdAt": _TIME,
                    "lastTokenPart": _STRING,
                    "bypassTwoFactor": _BOOLEAN,
                }
            )
        )
    }
)

ERROR = _closed(
    {
        "success": _FALSE,
        "error": _STRING,
        "errorType": _STRING,
        "details": {"type": ["string", "object"]},
    },
    ("errorType", "details"),
)
UNAUTHORIZED = _closed({"success": _FALSE, "error": {"const": "unauthorized"}})
LOGIN_FAILED = _closed(
    {"success": _FALSE, "status": {"const": "error"}, "error": _STRING, "message": _STRING}
)
OPENAPI = {"type": "object", "required": ["openapi", "info", "paths"]}
