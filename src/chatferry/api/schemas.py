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


def _array(items: Schema) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _nullable(schema: Schema) -> dict[str, Any]:
    return {**schema, "type": [schema["type"], "null"]}


_STRING = {"type": "string"}
_BOOLEAN = {"type": "boolean"}
_NUMBER = {"type": "number"}

_UPLOAD = dict.fromkeys(("binaryContent", "contentType", "fileName", "importerKey"), _STRING)
UPLOAD_IMPORT_FILE = _object(_UPLOAD, _UPLOAD, title="UploadImportFile", closed=True)

_FORM = dict.fromkeys(("importerKey", "file", "contentType", "fileName", "origin"), _STRING)
IMPORT_UPLOAD = _object(_FORM, ["importerKey", "file"], title="ImportUpload", closed=True)

_DOWNLOAD = dict.fromkeys(("fileUrl", "importerKey"), _STRING)
DOWNLOAD_PUBLIC_IMPORT_FILE = _object(_DOWNLOAD, _DOWNLOAD, title="DownloadPublicImportFile", closed=True)

_CHOICE = _object({"all": _BOOLEAN, "list": _array(_STRING)})
_WITH = dict.fromkeys(("origin", "guests"), _STRING)
_CHOICES = _object({**dict.fromkeys(("users", "channels", "contacts"), _CHOICE), **_WITH})
START_IMPORT_NEWER = _object({"input": _CHOICES}, ["input"], title="StartImportByIds", closed=True)

_USER_FLAGS = dict.fromkeys(("is_deleted", "is_bot", "do_import", "is_email_taken"), _BOOLEAN)
_USER = _object(
    {"user_id": _STRING, "username": _STRING, "email": _nullable(_STRING), **_USER_FLAGS},
    ["user_id", "username", *_USER_FLAGS],
)
_CHANNEL_FLAGS = dict.fromkeys(("is_archived", "do_import", "is_private", "is_direct"), _BOOLEAN)
_CHANNEL = _object(
    {"channel_id": _STRING, "name": _STRING, "creator": _STRING, **_CHANNEL_FLAGS},
    ["channel_id", "name", *_CHANNEL_FLAGS],
)
_CONTACT = _object({"id": _STRING, "do_import": _BOOLEAN}, ["id", "do_import"])
_LISTS = _object(
    {"users": _array(_USER), "channels": _array(_CHANNEL), "contacts": _array(_CONTACT)},
    ["users", "channels"],
)
START_IMPORT_OLDER = _object({"input": _LISTS}, ["input"], title="StartImportByItems", closed=True)

START_IMPORT = {"title": "StartImport", "oneOf": [START_IMPORT_NEWER, START_IMPORT_OLDER]}

_NEW_USER = _object(
    {
        "emails": _array(_STRING),
        "importIds": _array(_STRING),
        "username": _nullable(_STRING),
        "name": _nullable(_STRING),
        "utcOffset": _nullable(_NUMBER),
        "avatarUrl": _nullable(_STRING),
        "deleted": _nullable(_BOOLEAN),
        "statusText": _nullable(_STRING),
        "roles": _nullable(_array(_STRING)),
        "type": _nullable(_STRING),
        "bio": _nullable(_STRING),
        "password": _nullable(_STRING),
    },
    ["emails", "importIds"],
)
IMPORT_ADD_USERS = _object({"users": _array(_NEW_USER)}, ["users"], title="ImportAddUsers", closed=True)

DOWNLOAD_PENDING_FILES = _object({}, title="DownloadPendingFiles", closed=True)
DOWNLOAD_PENDING_AVATARS = _object({}, title="DownloadPendingAvatars", closed=True)

_TEXT_OR_OBJECT = {"type": ["string", "object"]}
LOGIN = _object(
    {
        "user": _TEXT_OR_OBJECT,
        "password": _TEXT_OR_OBJECT,
        **dict.fromkeys(("username", "email", "code", "resume"), _STRING),
    },
    title="Login",
)

GENERATE_TOKEN = _object({"tokenName": _STRING, "bypassTwoFactor": _BOOLEAN}, title="GenerateToken")
NAMED_TOKEN = _object({"tokenName": _STRING}, title="NamedToken")

NO_QUERY = _object({}, title="NoQuery", closed=True)
