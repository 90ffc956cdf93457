"""What the import endpoints accept: JSON Schemas (2020-12), and the check that words errors as ajv does.

Rocket.Chat checks with ajv, which stops at the first error and coerces scalars that have the wrong type.
The order of the keys in a schema is the order of its checks.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any, NotRequired, TypedDict

import msgspec
from msgspec import Raw

from chatferry.errors import RequestError

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


def check_body(schema: Schema, body: object) -> dict[str, Any]:
    """Return the body with its scalars coerced as the schema asks, or raise the first error of ajv.

    The body is a Raw of valid JSON, or what JSON gives. Fields that the schema does not name are left out.
    """
    opened = _opened(body)
    try:
        checked = _checked(_form(schema, opened), opened)
    except _MisfitError as error:
        reason = str(error)
    else:
        assert isinstance(checked, dict)
        return checked
    del body, opened  # what an error has in its frames, and in its cause's, may stay in memory for long
    raise RequestError(reason, type_="invalid-params")


def check_query(schema: Schema, query: Mapping[str, str]) -> None:
    """Refuse a query string that the schema does not allow."""
    try:
        _checked(schema, dict(query))
    except _MisfitError as error:
        raise RequestError(str(error), type_="error-invalid-params") from None


def _form(schema: Schema, body: object) -> Schema:
    """Return the schema to hold a body against: startImport's older form has arrays in `input`."""
    if "oneOf" not in schema:
        return schema
    chosen = _opened(body.get("input")) if isinstance(body, dict) else None
    kinds = [_opened(chosen.get(name)) for name in ("users", "channels")] if isinstance(chosen, dict) else []
    older = any(isinstance(kind, list) for kind in kinds)
    return START_IMPORT_OLDER if older else START_IMPORT_NEWER


# ---------------------------------------------------------------- validation, in ajv's words


class _MisfitError(Exception):
    """A value that does not fit. The text is what ajv says."""


# A body may be large, and hostile. So JSON stays text (Raw) until the schema asks for it, and only one level
# of it becomes objects at a time. What plainly fits is decoded in one go, which takes a tenth of the time.

_open = msgspec.json.Decoder(dict[str, Raw] | list[Raw] | str | int | float | bool | None).decode


def _opened(value: object) -> Any:
    """Return a value of JSON whose items, or the values of its fields, are still text."""
    return _open(value) if isinstance(value, Raw) else value


def _checked(schema: Schema, value: object) -> Any:
    """Return the value with its scalars coerced, or raise what ajv says first."""
    if isinstance(value, Raw):
        if decode := _DECODERS.of(schema):
            with suppress(msgspec.ValidationError):  # what ajv would coerce or refuse
                return decode(value)
        value = _open(value)
    value = coerced(schema, value)
    if _TYPE_NAMES.get(type(value)) not in _types(schema):
        raise _MisfitError(f"must be {_types(schema)[0]}")
    if isinstance(value, dict):
        return _checked_fields(schema, value)
    if isinstance(value, list):
        return [_checked(schema["items"], item) for item in value]
    return value


def _checked_fields(schema: Schema, value: dict[str, Any]) -> dict[str, Any]:
    fields = schema["properties"]
    for name in schema["required"]:
        if name not in value:
            raise _MisfitError(f"must have required property '{name}'")
    if _is_closed(schema) and not value.keys() <= fields.keys():
        raise _MisfitError("must NOT have additional properties")
    return {name: _checked(inner, value[name]) for name, inner in fields.items() if name in value}


def _is_closed(schema: Schema) -> bool:
    return schema.get("additionalProperties") is False


class _Decoders:
    """Decoders of what needs no coercion: scalars, lists of scalars, and objects of such.

    A list of objects has none: whoever decodes each by itself lets other threads have their turn in between.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[Schema, Callable[[Raw], Any] | None]] = {}  # by the schema's id()

    def of(self, schema: Schema) -> Callable[[Raw], Any] | None:
        """Return the decoder for a schema, if it can have one."""
        if id(schema) not in self._known:
            plain = _plain_type(schema)
            self._known[id(schema)] = (schema, msgspec.json.Decoder(plain).decode if plain else None)
        return self._known[id(schema)][1]


def _plain_type(schema: Schema) -> Any:
    """Return the type of a value that plainly fits the schema, None where each part is to be looked at."""
    name = _types(schema)[0]
    plain = _SCALARS.get(name)
    if name == "array" and schema["items"]["type"] != "object":
        plain = list[_plain_type(schema["items"])]  # type: ignore[misc]  # a type made at run time
    elif name == "object" and "properties" in schema and not _is_closed(schema):
        plain = _plain_object(schema)
    return plain | None if plain is not None and "null" in _types(schema) else plain


def _plain_object(schema: Schema) -> Any:
    types = {name: _plain_type(inner) for name, inner in schema["properties"].items()}
    if None in types.values():
        return None
    fields = {name: t if name in schema["required"] else NotRequired[t] for name, t in types.items()}
    return TypedDict("Fields", fields)  # type: ignore[operator]  # a type made at run time


_SCALARS: dict[str, Any] = {"string": str, "boolean": bool, "number": int | float}
_DECODERS = _Decoders()


# ---------------------------------------------------------------- coercion, as ajv's `coerceTypes: true`


def coerced(schema: Schema, value: Any) -> Any:
    """Return the value, or if it is a scalar of a wrong type what ajv would turn it into."""
    types = _types(schema)
    if _TYPE_NAMES.get(type(value)) in types:
        return value
    changes = (_COERCIONS[name](value) for name in types if name in _COERCIONS)
    return next((change for change in changes if change is not value), value)


def _types(schema: Schema) -> list[str]:
    return [schema["type"]] if isinstance(schema["type"], str) else schema["type"]


def _to_string(value: object) -> object:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)  # JavaScript would lose digits beyond 2**53, and so make two ids one
        case float():
            return _float_text(value)
    return value


def _float_text(value: float) -> str:
    """As JavaScript writes it: 5.0 is "5", 1e16 is "10000000000000000", 1e-7 is "1e-7"."""
    if value == 0 or 1e-6 <= abs(value) < 1e21:
        return format(Decimal(repr(abs(value) if value == 0 else value)).normalize(), "f")
    return repr(value).replace("e-0", "e-")


def _to_boolean(value: object) -> object:
    if value in ("true", 1):
        return True
    return False if value in ("false", 0, None) else value


def _to_number(value: object) -> object:
    match value:
        case None:
            return 0
        case bool():
            return int(value)
        case str():
            return _number(value)
    return value


def _number(text: str) -> object:
    """What JavaScript's Number() makes of it if that is a finite number, else the text."""
    number = _parsed(text.strip(_JS_SPACE)) if text else math.nan
    if not math.isfinite(number):
        return text
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _parsed(digits: str) -> float:
    if _JS_DECIMAL.fullmatch(digits):
        return float(digits)
    if _JS_PREFIXED.fullmatch(digits):
        return float(int(digits, 0))
    return math.nan if digits else 0.0


def _to_null(value: object) -> object:
    return None if value in ("", 0, False) else value


_JS_SPACE = " \t\n\v\f\r\u00a0\u2028\u2029\ufeff"
_JS_DECIMAL = re.compile(r"[+-]?([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_JS_PREFIXED = re.compile(r"0([xX][0-9a-fA-F]{1,13}|[oO][0-7]{1,17}|[bB][01]{1,53})")
_TYPE_NAMES = {
    type(None): "null",
    bool: "boolean",
    int: "number",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}
_COERCIONS: dict[str, Callable[[object], object]] = {
    "string": _to_string,
    "boolean": _to_boolean,
    "number": _to_number,
    "null": _to_null,
}
