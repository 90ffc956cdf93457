"""Check values against JSON Schemas with the result, and the words, of ajv. Pure.

Rocket.Chat checks with ajv, which stops at the first error and coerces scalars that have the wrong type.
"""

import math
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any, NotRequired, TypedDict

import msgspec
from msgspec import Raw

from chatferry.api.schemas import START_IMPORT_NEWER, START_IMPORT_OLDER, Schema
from chatferry.errors import RequestError


def check_body(schema: Schema, body: object) -> dict[str, Any]:
    """Return the body with its scalars coerced as the schema asks, or raise ajv's first error.

    The body is a Raw of valid JSON or a decoded value. Fields that the schema does not name are dropped.
    """
    opened = _opened(body)
    try:
        checked = _checked(_alternative(schema, opened), opened)
    except _MisfitError as error:
        reason = str(error)
    else:
        assert isinstance(checked, dict)
        return checked
    del body, opened  # an error keeps its frames in memory, possibly for long
    raise RequestError(reason, type_="invalid-params")


def check_query(schema: Schema, query: Mapping[str, str]) -> dict[str, Any]:
    """Return the parameters of a query string as the schema asks for them, or refuse them."""
    try:
        checked: dict[str, Any] = _checked(schema, dict(query))
        return checked
    except _MisfitError as error:
        raise RequestError(str(error), type_="error-invalid-params") from None


def _alternative(schema: Schema, body: object) -> Schema:
    """Return the schema to check a body against: startImport's older form has arrays in `input`."""
    if "oneOf" not in schema:
        return schema
    chosen = _opened(body.get("input")) if isinstance(body, dict) else None
    kinds = [_opened(chosen.get(name)) for name in ("users", "channels")] if isinstance(chosen, dict) else []
    older = any(isinstance(kind, list) for kind in kinds)
    return START_IMPORT_OLDER if older else START_IMPORT_NEWER


class _MisfitError(Exception):
    """A value does not fit its schema. The text is ajv's."""


# A body may be large and hostile. So JSON stays text (Raw) until the schema asks for it, and only one level
# becomes objects at a time. A value that needs no coercion is decoded in one go, in a tenth of the time.

_open = msgspec.json.Decoder(dict[str, Raw] | list[Raw] | str | int | float | bool | None).decode


def _opened(value: object) -> Any:
    """Return a JSON value whose items or fields are still text."""
    return _open(value) if isinstance(value, Raw) else value


def _checked(schema: Schema, value: object) -> Any:
    """Return the value with its scalars coerced, or raise ajv's first error."""
    if isinstance(value, Raw):
        if decode := _DECODERS.of(schema):
            with suppress(msgspec.ValidationError):  # a value that ajv coerces or refuses
                return decode(value)
        value = _open(value)
    value = coerced(schema, value)
    if not _has_type(value, _types(schema)):
        raise _MisfitError(f"must be {_types(schema)[0]}")
    if "minimum" in schema and value < schema["minimum"]:
        raise _MisfitError(f"must be >= {schema['minimum']}")
    if "enum" in schema and value not in schema["enum"]:
        raise _MisfitError("must be equal to one of the allowed values")
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
    """A cache of decoders for values that need no coercion: scalars, lists of scalars, and objects of these.

    A list of objects has no decoder: decoding its items one by one lets other threads run in between.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[Schema, Callable[[Raw], Any] | None]] = {}  # by the schema's id()

    def of(self, schema: Schema) -> Callable[[Raw], Any] | None:
        """Return the decoder of a schema, or None if it has no plain type."""
        if id(schema) not in self._known:
            plain = _plain_type(schema)
            self._known[id(schema)] = (schema, msgspec.json.Decoder(plain).decode if plain else None)
        return self._known[id(schema)][1]


def _plain_type(schema: Schema) -> Any:
    """Return the type of values that fit without coercion; None if each part has to be checked."""
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
    """Return the value, coerced as ajv does if it is a scalar of another type than the schema's."""
    types = _types(schema)
    if _has_type(value, types):
        return value
    changes = (_COERCIONS[name](value) for name in types if name in _COERCIONS)
    return next((change for change in changes if change is not value), value)


def _has_type(value: object, types: list[str]) -> bool:
    return _TYPE_NAMES.get(type(value)) in types or ("integer" in types and type(value) is int)


def _types(schema: Schema) -> list[str]:
    return [schema["type"]] if isinstance(schema["type"], str) else schema["type"]


def _to_string(value: object) -> object:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)  # JavaScript loses digits beyond 2**53, so that two ids become one
        case float():
            return _float_text(value)
    return value


def _float_text(value: float) -> str:
    """Return a float as JavaScript writes it: 5.0 is "5", 1e16 "10000000000000000", 1e-7 "1e-7"."""
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
    """Return what JavaScript's Number() makes of a text, or the text if that is no finite number."""
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
    "integer": _to_number,
    "null": lambda value: None if value in ("", 0, False) else value,
}
