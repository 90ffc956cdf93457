"""JSON Schemas (2020-12) of the queries and bodies that endpoints accept. Pure.

The order of the keys in a schema is the order of the checks in `validation`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

Schema = Mapping[str, Any]


def _object(
    fields: Schema, required: Iterable[str] = (), *, title: str = "", closed: bool = False
) -> dict[str, Any]:
    named = {"title": title} if title else {}
    limits = {"additionalProperties": False} if closed else {}
    return {**named, "type": "object", "required": list(required), **limits, "properties": fields}


def array(items: Schema) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _nullable(schema: Schema) -> dict[str, Any]:
    return {**schema, "type": [schema["type"], "null"]}


STRING = {"type": "string"}
BOOLEAN = {"type": "boolean"}
_NUMBER = {"type": "number"}

_UPLOAD = dict.fromkeys(("binaryContent", "contentType", "fileName", "importerKey"), STRING)
UPLOAD_IMPORT_FILE = _object(_UPLOAD, _UPLOAD, title="UploadImportFile", closed=True)

_FORM = dict.fromkeys(("importerKey", "file", "contentType", "fileName", "origin"), STRING)
IMPORT_UPLOAD = _object(_FORM, ["importerKey", "file"], title="ImportUpload", closed=True)

_DOWNLOAD = dict.fromkeys(("fileUrl", "importerKey"), STRING)
DOWNLOAD_PUBLIC_IMPORT_FILE = _object(_DOWNLOAD, _DOWNLOAD, title="DownloadPublicImportFile", closed=True)

_CHOICE = _object({"all": BOOLEAN, "list": array(STRING)})
_WITH = dict.fromkeys(("origin", "guests"), STRING)
_CHOICES = _object({**dict.fromkeys(("users", "channels", "contacts"), _CHOICE), **_WITH})
START_IMPORT_NEWER = _object({"input": _CHOICES}, ["input"], title="StartImportByIds", closed=True)

USER_FLAGS = dict.fromkeys(("is_deleted", "is_bot", "do_import", "is_email_taken"), BOOLEAN)
_USER = _object(
    {"user_id": STRING, "username": STRING, "email": _nullable(STRING), **USER_FLAGS},
    ["user_id", "username", *USER_FLAGS],
)
CHANNEL_FLAGS = dict.fromkeys(("is_archived", "do_import", "is_private", "is_direct"), BOOLEAN)
_CHANNEL = _object(
    {"channel_id": STRING, "name": STRING, "creator": STRING, **CHANNEL_FLAGS},
    ["channel_id", "name", *CHANNEL_FLAGS],
)
_CONTACT = _object({"id": STRING, "do_import": BOOLEAN}, ["id", "do_import"])
_LISTS = _object(
    {"users": array(_USER), "channels": array(_CHANNEL), "contacts": array(_CONTACT)},
    ["users", "channels"],
)
START_IMPORT_OLDER = _object({"input": _LISTS}, ["input"], title="StartImportByItems", closed=True)

START_IMPORT = {"title": "StartImport", "oneOf": [START_IMPORT_NEWER, START_IMPORT_OLDER]}

_NEW_USER = _object(
    {
        "emails": array(STRING),
        "importIds": array(STRING),
        "username": _nullable(STRING),
        "name": _nullable(STRING),
        "utcOffset": _nullable(_NUMBER),
        "avatarUrl": _nullable(STRING),
        "deleted": _nullable(BOOLEAN),
        "statusText": _nullable(STRING),
        "roles": _nullable(array(STRING)),
        "type": _nullable(STRING),
        "bio": _nullable(STRING),
        "password": _nullable(STRING),
    },
    ["emails", "importIds"],
)
IMPORT_ADD_USERS = _object({"users": array(_NEW_USER)}, ["users"], title="ImportAddUsers", closed=True)

DOWNLOAD_PENDING_FILES = _object({}, title="DownloadPendingFiles", closed=True)
DOWNLOAD_PENDING_AVATARS = _object({}, title="DownloadPendingAvatars", closed=True)

_TEXT_OR_OBJECT = {"type": ["string", "object"]}
LOGIN = _object(
    {
        "user": _TEXT_OR_OBJECT,
        "password": _TEXT_OR_OBJECT,
        **dict.fromkeys(("username", "email", "code", "resume"), STRING),
    },
    title="Login",
)

GENERATE_TOKEN = _object({"tokenName": STRING, "bypassTwoFactor": BOOLEAN}, title="GenerateToken")
NAMED_TOKEN = _object({"tokenName": STRING}, title="NamedToken")

NO_QUERY = _object({}, title="NoQuery", closed=True)

REPLACE_QUERY = _object(
    {
        "replace": {
            **BOOLEAN,
            "description": "Whether to cancel an import that is running and take its place. Default: it is "
            "left alone, and the call is refused.",
        }
    },
    title="ReplaceQuery",
    closed=True,
)

_WHOLE = {"type": "integer", "minimum": 0}


def _page(default: int, most: int) -> dict[str, Any]:
    """Return the parameters of a list that comes in pages, as Rocket.Chat has them."""
    told = f"How many entries to return, {most} at most. Default, and for 0: {default}."
    skipped = "How many entries to leave out. Default: 0."
    return {"offset": {**_WHOLE, "description": skipped}, "count": {**_WHOLE, "description": told}}


DEFAULT_COUNT, MOST_OPERATIONS, MOST_PROBLEMS = 50, 100, 1000
"""Entries of a page: Rocket.Chat's default, and the most operations and problems."""

OPERATIONS_QUERY = _object(_page(DEFAULT_COUNT, MOST_OPERATIONS), title="OperationsQuery", closed=True)

_OPERATION = {"type": "string", "description": "Id of an operation. Default: the one that began last."}
EVENTS_QUERY = _object({"operation": _OPERATION}, title="EventsQuery", closed=True)
REPORT_QUERY = _object(
    {
        "operation": _OPERATION,
        "kind": {"type": "string", "description": "Only problems of this kind. Default: of every kind."},
        "all": {
            "type": "boolean",
            "description": "Whether to list every problem. Default: one per cause, with its count.",
        },
        **_page(DEFAULT_COUNT, MOST_PROBLEMS),
        "format": {
            "type": "string",
            "enum": ["json", "csv"],
            "description": "The form of the answer; csv lists the problems, all of them unless there is a "
            "count. Default: what the header Accept asks for, otherwise json.",
        },
    },
    title="ReportQuery",
    closed=True,
)
