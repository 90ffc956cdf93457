"""What the import endpoints accept: JSON Schemas (2020-12), and the check that words errors as ajv does.

Rocket.Chat checks with ajv, which stops at the first error and coerces scalars that have the wrong type.
The order of the keys in a schema is the order of its checks.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

from chatferry.errors import RequestError

Schema = Mapping[str, Any]
Errors = Iterator[ValidationError]


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

_FORM = dict.fromkeys(("importerKey", "file", "contentType", "fileName"), _STRING)
IMPORT_UPLOAD = _object(_FORM, ["importerKey", "file"], title="ImportUpload", closed=True)

_DOWNLOAD = dict.fromkeys(("fileUrl", "importerKey"), _STRING)
DOWNLOAD_PUBLIC_IMPORT_FILE = _object(_DOWNLOAD, _DOWNLOAD, title="DownloadPublicImportFile", closed=True)

_CHOICE = _object({"all": _BOOLEAN, "list": _array(_STRING)})
_CHOICES = _object(dict.fromkeys(("users", "channels", "contacts"), _CHOICE))
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
    """The body with its scalars coerced as the schema asks, or the first error that ajv would report."""
    form = _form(schema, body)
    body = coerced(form, body)
    if error := _first_error(form, body):
        raise RequestError(error, type_="invalid-params")
    assert isinstance(body, dict)
    return body


def check_query(schema: Schema, query: Mapping[str, str]) -> None:
    """Refuse a query string that the schema does not allow."""
    if error := _first_error(schema, dict(query)):
        raise RequestError(error, type_="error-invalid-params")


def _form(schema: Schema, body: object) -> Schema:
    """The schema to hold a body against: startImport's older form is the one with arrays in `input`."""
    if "oneOf" not in schema:
        return schema
    chosen = body.get("input") if isinstance(body, dict) else None
    kinds = [chosen.get("users"), chosen.get("channels")] if isinstance(chosen, dict) else []
    older = any(isinstance(kind, list) for kind in kinds)
    return START_IMPORT_OLDER if older else START_IMPORT_NEWER


# ---------------------------------------------------------------- validation, in ajv's words


def _first_error(schema: Schema, value: object) -> str:
    error = next(_AjvValidator(schema).iter_errors(value), None)
    return error.message if error else ""


# Instead of the library's own keyword functions: those put the whole value into the message, however large or
# deep it is, and build a validator for every single scalar, which takes many times as long.


def _type(validator: Any, types: str | list[str], value: Any, schema: Schema) -> Errors:
    if not any(validator.is_type(value, name) for name in _types(schema)):
        yield ValidationError(f"must be {_types(schema)[0]}")


def _required(validator: Any, names: list[str], value: Any, schema: Schema) -> Errors:
    if isinstance(value, dict):
        for name in names:
            if name not in value:
                yield ValidationError(f"must have required property '{name}'")


def _additional(validator: Any, allowed: bool, value: Any, schema: Schema) -> Errors:
    if isinstance(value, dict) and not allowed and not value.keys() <= schema["properties"].keys():
        yield ValidationError("must NOT have additional properties")


def _properties(validator: Any, fields: Schema, value: Any, schema: Schema) -> Errors:
    if isinstance(value, dict):
        for name, inner in fields.items():
            if name in value and not _plainly_fits(inner, value[name]):
                yield from validator.descend(value[name], inner)


def _items(validator: Any, inner: Schema, value: Any, schema: Schema) -> Errors:
    if isinstance(value, list):
        for item in value:
            if not _plainly_fits(inner, item):
                yield from validator.descend(item, inner)


def _plainly_fits(schema: Schema, value: object) -> bool:
    """Whether a scalar or a list of scalars is right. Where this says False the validator has to look."""
    if isinstance(value, list) and "array" in _types(schema):
        return all(_plainly_fits(schema["items"], item) for item in value)
    return not isinstance(value, dict) and _TYPE_NAMES.get(type(value)) in _types(schema)


_AjvValidator: Any = extend(  # type: ignore[no-untyped-call]  # its stub has no types
    Draft202012Validator,
    {
        "type": _type,
        "required": _required,
        "additionalProperties": _additional,
        "properties": _properties,
        "items": _items,
    },
)


# ---------------------------------------------------------------- coercion, as ajv's `coerceTypes: true`


def coerced(schema: Schema, value: Any) -> Any:
    """The value with every scalar of a wrong type turned into the schema's type, where ajv would do it."""
    types = _types(schema)
    actual = _TYPE_NAMES.get(type(value))
    if actual in types and actual == "object":
        fields = schema["properties"]
        return {key: coerced(fields[key], item) if key in fields else item for key, item in value.items()}
    if actual in types and actual == "array":
        return [coerced(schema["items"], item) for item in value]
    if actual in types:
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
_JS_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
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
