"""JSON Schemas (2020-12) of the endpoints' answers. Pure."""

from collections.abc import Iterable
from typing import Any, get_args

from chatferry.api.schemas import BOOLEAN, CHANNEL_FLAGS, STRING, USER_FLAGS, Schema, array
from chatferry.operations import State, Status
from chatferry.records import Effect

_COUNT = {"type": "integer", "minimum": 0}
_NUMBER = {"type": "number"}
_ID = {"type": "string", "minLength": 1}
_TIME = {"type": "string", "format": "date-time"}
_TRUE, _FALSE = {"const": True}, {"const": False}


def _closed(fields: Schema, optional: Iterable[str] = ()) -> dict[str, Any]:
    """Return the schema of an object with exactly these fields; the optional ones may be missing."""
    required = [name for name in fields if name not in set(optional)]
    return {"type": "object", "required": required, "additionalProperties": False, "properties": fields}


def _success(fields: Schema, optional: Iterable[str] = ()) -> dict[str, Any]:
    return _closed({**fields, "success": _TRUE}, optional)


SUCCESS = _success({})
PENDING = _success({"count": _COUNT})
_WAITING = {
    "waitingFor": {"type": "string", "description": "What the import waits for; it continues by itself."}
}
PAUSED = _success({"paused": BOOLEAN})

_COUNTERS = ("total", "completed", "error", "users", "channels", "messages", "contacts")
OPERATION = _closed(
    {
        "_id": _ID,
        "type": STRING,
        "importerKey": STRING,
        "ts": {"type": "integer", "description": "When it began: milliseconds since the epoch."},
        "status": {"enum": [status.value for status in Status]},
        "valid": BOOLEAN,
        "user": STRING,
        "_updatedAt": _TIME,
        "contentType": STRING,
        "file": STRING,
        "count": _closed(dict.fromkeys(_COUNTERS, _COUNT), _COUNTERS),
    },
    ("contentType", "file", "count"),
)
_RECORDED = {"status": STRING}  # by other servers, in other versions
OPERATIONS = {
    **array({**OPERATION, "properties": {**OPERATION["properties"], **_RECORDED}}),
    "maxItems": 20,
}
CURRENT_OPERATION = _success({"operation": OPERATION}, ["operation"])
NEW_OPERATION = _success({"operation": OPERATION})
STATUS = _success(
    {"state": {"enum": list(get_args(State))}, "operation": OPERATION, "paused": _TRUE, **_WAITING},
    ["operation", "paused", "waitingFor"],
)
_PAGING = {
    "count": {**_COUNT, "description": "Returned entries."},
    "offset": {**_COUNT, "description": "Entries that were left out."},
    "total": {**_COUNT, "description": "Entries in all."},
}
_DESCRIBED = {
    **OPERATION["properties"],
    "state": {"enum": list(get_args(State))},
    "error": {"type": "string", "description": "Why the import failed."},
    "paused": _TRUE,
    **_WAITING,
}
_UNSURE = ("contentType", "file", "count", "error", "paused", "waitingFor")
_DESCRIBED_OPERATION = _closed(_DESCRIBED, _UNSURE)
IMPORT_OPERATION = _success({"operation": _DESCRIBED_OPERATION})
IMPORT_OPERATIONS = _success({"operations": array(_DESCRIBED_OPERATION), **_PAGING})
_TALLY = _closed(dict.fromkeys(("read", "inserted", "updated", "unchanged", "skipped", "failed"), _COUNT))
_PROBLEM = _closed(
    {
        "kind": {"type": "string", "description": "A word of docs/problems.md."},
        "effect": {"enum": [effect.value for effect in Effect]},
        "count": {**_COUNT, "description": "For how many records it stands."},
        **dict.fromkeys(("file", "position", "field", "reason", "remedy"), STRING),
    }
)
REPORT = _success(
    {
        "operation": _closed({**OPERATION["properties"], "error": STRING}, _UNSURE),
        "paused": BOOLEAN,
        "waitingFor": STRING,
        **dict.fromkeys(("users", "contacts", "rooms", "messages", "files"), _TALLY),
        "problems": array(_PROBLEM),
        **dict.fromkeys(("seconds", "messagesPerSecond", "peakMemoryMiB"), _NUMBER),
        **_PAGING,
    }
)
EVENT = _closed(
    {
        "event": {"enum": ["progress", "end"]},
        "data": {"type": "string", "description": "The operation as JSON, as import.operations/{id} has it."},
    }
)
IMPORTERS = array(_closed({"key": STRING, "name": STRING}))
PROGRESS = _success(
    {
        **_WAITING,
        "key": STRING,
        "name": STRING,
        "step": OPERATION["properties"]["status"],
        "count": _closed(dict.fromkeys(("completed", "total", "error"), _COUNT)),
    },
    ["waitingFor"],
)

_USER = _closed({"user_id": STRING, "username": STRING, "email": STRING, **USER_FLAGS}, ("username", "email"))
_CHANNEL = _closed({"channel_id": STRING, "name": STRING, **CHANNEL_FLAGS}, ["name"])
_CONTACT = _closed(
    {
        "id": STRING,
        "name": STRING,
        "emails": array(STRING),
        "phones": array(STRING),
        "do_import": BOOLEAN,
    }
)
SELECTION = _success(
    {
        "name": STRING,
        "users": array(_USER),
        "channels": array(_CHANNEL),
        "contacts": array(_CONTACT),
        "message_count": _COUNT,
    }
)
WAITING = _success({"waiting": _TRUE})
FILE_DATA = {"oneOf": [WAITING, SELECTION]}

_ACCOUNT = {
    "_id": _ID,
    "name": STRING,
    "username": STRING,
    "emails": array({"type": "object"}),
    "status": STRING,
    "statusConnection": STRING,
    "utcOffset": {"type": "number"},
    "active": BOOLEAN,
    "roles": array(STRING),
    "email": STRING,
    "settings": {"type": "object"},
    "avatarUrl": STRING,
    "isOAuthUser": BOOLEAN,
    "services": _closed({"password": _closed({"exists": BOOLEAN})}),
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
LOGOUT = _closed({"status": {"const": "success"}, "data": _closed({"message": STRING})})
INFO = _success(
    {
        "version": STRING,
        "minimumClientVersions": _closed({"desktop": STRING, "mobile": STRING}),
        "chatferry": _closed({"version": STRING}),
    }
)
HEALTH = _success({"status": {"const": "alive"}})
_WELL = _closed({"ok": _TRUE})
_UNWELL = _closed({"ok": _FALSE, "why": STRING})
_PROBED = ("store", "destination", "worker", "disk")
READY = _success({"ready": _TRUE, "checks": _closed(dict.fromkeys(_PROBED, _WELL))})
NOT_READY = _closed(
    {
        "ready": _FALSE,
        "checks": _closed({name: {"anyOf": [_WELL, _UNWELL]} for name in _PROBED}),
        "success": _FALSE,
    }
)

TOKEN = _success({"token": {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"}})
TOKENS = _success(
    {
        "tokens": array(
            _closed(
                {
                    "name": STRING,
                    "createdAt": _TIME,
                    "lastTokenPart": STRING,
                    "bypassTwoFactor": BOOLEAN,
                }
            )
        )
    }
)

ERROR = _closed(
    {
        "success": _FALSE,
        "error": STRING,
        "errorType": STRING,
        "details": {"type": ["string", "object"]},
        "hint": {
            "type": "string",
            "description": "What to do, if the error, as Rocket.Chat has it, does not say so.",
        },
    },
    ("errorType", "details", "hint"),
)
UNAUTHORIZED = _closed({"success": _FALSE, "error": {"const": "unauthorized"}})
LOGIN_FAILED = _closed({"success": _FALSE, "status": {"const": "error"}, "error": STRING, "message": STRING})
OPENAPI = {"type": "object", "required": ["openapi", "info", "paths"]}
