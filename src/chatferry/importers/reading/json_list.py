"""Reading lists of JSON objects, whatever state they are in."""

import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice
from math import isfinite
from typing import Any, TypeVar, get_args, get_origin

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import fields, replace

from chatferry.problems import MOST_OF_RECORD, problem
from chatferry.records import Problem, RecordType

T = TypeVar("T")

NO_JSON = Raw()
"""The value of an undecoded field that is absent."""


class Flaw(Struct, frozen=True):
    """Something wrong in a file. `lost` if the element at `position` could not be read at all."""

    position: str
    field: str
    reason: str
    lost: bool = False
    repaired: bool = False


def flaw_problem(flaw: Flaw, file: str, record: RecordType) -> Problem:
    """Return the problem that a flaw is for a record."""
    kind = "encoding-repaired" if flaw.repaired else "field-dropped"
    kind = f"{record}-not-readable" if flaw.lost else kind
    found = problem(kind, flaw.reason, file=file, position=flaw.position, field=flaw.field)
    return replace(found, record=record)


_UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError)


def decode_list(data: bytes, kind: type[T], numbers: Sequence[int] = ()) -> tuple[list[T | None], list[Flaw]]:
    """Return the elements of a JSON list, each as a `kind`, and their flaws.

    An element that could not be read is None. A broken element costs only itself, a wrong field only the
    field, a broken file only what follows the break. If the elements come from a longer list, `numbers` are
    their places there.
    """
    if not is_dense(data) and (values := strict_list(data, kind)) is not None:
        return list(values), []
    flaws: list[Flaw] = []
    elements: list[T | None] = []
    for index, element in enumerate(raw_elements(data)):
        value, found = lenient(element, kind, f"$[{numbers[index] if numbers else index}]")
        elements.append(value)
        flaws.extend(found)
    return elements, flaws


def strict_list(data: bytes, kind: type[T]) -> list[T] | None:
    """Return the elements of a JSON list without any flaw; None if there is one."""
    if data.rfind(b"\\u0000") >= 0:  # from the end it takes half the time
        return None
    try:
        return _decoder(kind).decode(data)
    except _UNREADABLE:
        return None


_decoders: dict[type, msgspec.json.Decoder[Any]] = {}


def _decoder(kind: type[T]) -> msgspec.json.Decoder[list[T]]:
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(list[kind])  # type: ignore[valid-type]  # a type made at run time
    return decoder


def decode_raw(raw: Raw, kind: Any) -> Any:
    """Return an undecoded field as a `kind`; None if it is absent or does not fit."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except _UNREADABLE:
        return None


NO_LIST = "the file does not hold a JSON list"
NOT_VALID = "it is not valid JSON from character {} on"
BREAKS_OFF = "the list breaks off or is damaged at character {}"
GOES_ON = "more follows the end of the list, from character {} on"


class Broken(Struct, frozen=True):
    """Why an element, or what follows in its list, cannot be read. `is_damage`: the archive is damaged."""

    reason: str
    is_damage: bool = False


def raw_elements(data: bytes) -> Iterator[Any]:
    """Yield the list's elements as plain values, up to the first invalid place."""
    text = data.decode("utf-8", "replace").lstrip("\ufeff")
    # `strict=False` lets control characters in strings pass, NUL among them.
    decoder = json.JSONDecoder(strict=False, parse_int=_integer)
    place = _skip(text, 0)
    if text[place : place + 1] != "[":
        yield Broken(NO_LIST)
        return
    place = _skip(text, place + 1)
    while text[place : place + 1] != "]":
        end = end_of(text, place) if is_large(text, place) else 0
        if end is None:
            yield Broken(NOT_VALID.format(place))
            return
        try:
            if has_too_many(text, place, end):
                value, place = Broken(TOO_MANY), end
            else:
                value, place = decoder.raw_decode(text, place)
        except RecursionError:
            value, place = Broken("it is nested too deeply"), end_of(text, place) or len(text)
        except ValueError:
            yield Broken(NOT_VALID.format(place))
            return
        yield value
        place = _skip(text, place)
        if text[place : place + 1] == ",":
            place = _skip(text, place + 1)
        elif text[place : place + 1] != "]":
            yield Broken(BREAKS_OFF.format(place))
            return
    if _skip(text, place + 1) < len(text):
        yield Broken(GOES_ON.format(place + 1))


def _integer(digits: str) -> int | float:
    """Return an integer. Python refuses thousands of digits, which would cost the rest of the list."""
    return int(digits) if len(digits) < 400 else float(digits)


_SPACE = re.compile(r"[ \t\r\n]*")
_BRACKET = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)


def _skip(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    return match.end() if match else place


def end_of(text: str, place: int) -> int | None:
    """Return where the object or list at `place` ends, however deep; None if it does not end."""
    depth = 0
    for match in _BRACKET.finditer(text, place):
        sign = match[0]
        depth += (sign in "[{") - (sign in "]}")
        if depth == 0:
            return match.end()
    return None


MOST_VALUES = 1_000_000
"""Values that one element may hold: Python takes up to 72 bytes for each."""
TOO_MANY = f"it holds more than {MOST_VALUES:,} values"
_FEW = 1 << 20  # characters that cannot hold too many


def is_dense(data: bytes) -> bool:
    """Return whether data may hold an element with too many values."""
    return len(data) > _FEW and sum(map(data.count, (b",", b"[", b"{"))) > MOST_VALUES


def is_large(text: str, place: int) -> bool:
    """Return whether the value at a place may hold too many values."""
    return len(text) - place > _FEW and text[place] in "[{"


def has_too_many(text: str, place: int, end: int) -> bool:
    return end - place > _FEW and sum(text.count(sign, place, end) for sign in ",[{") > MOST_VALUES


def lenient(element: Any, kind: type[T], position: str) -> tuple[T | None, list[Flaw]]:
    """Return an element as a `kind`, without fields that do not fit, and its flaws."""
    if isinstance(element, Broken):
        return None, [Flaw(position, "", element.reason, lost=True)]
    if not isinstance(element, dict):
        return None, [Flaw(position, "", f"an object was expected, not {_json_type(element)}", lost=True)]
    try:
        element, flaws = _clean(element, position)
        fit = _Fit(position, flaws)
        fitting = fit.value(element, kind, "")
        if fit.more:
            flaws.append(Flaw(position, "", f"{fit.more:,} more values are of a wrong type"))
        if fitting is _UNFIT:
            return None, [*flaws, Flaw(position, "", fit.reason, lost=True)]
        return msgspec.json.decode(json.dumps(fitting), type=kind), flaws
    except _UNREADABLE as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else "it cannot be read"
        return None, [Flaw(position, "", reason, lost=True)]


_UNFIT: Any = object()


class _Fit:
    """A remover of values that do not fit a type; it notes them in `flaws`, in the order of the JSON."""

    def __init__(self, position: str, flaws: list[Flaw]) -> None:
        self.more = 0  # that are not among the flaws
        self.reason = ""  # why nothing fits
        self._position = position
        self._flaws = flaws

    def value(self, value: Any, kind: Any, field: str) -> Any:
        """Return what fits a `kind`, looking at each value once; _UNFIT for nothing."""
        if isinstance(value, float) and not isfinite(value):
            raise ValueError("JSON has no such number")
        if isinstance(value, dict) and (struct := _struct_in(kind)):
            return self._object(value, struct, field)
        if isinstance(value, list) and (inner := _element_of(kind)):
            return self._list(value, inner, field)
        try:
            if kind is not Raw:
                msgspec.convert(value, kind)
            return value
        except msgspec.ValidationError as error:
            return self._unfit(field, str(error))

    def _object(self, value: dict[str, Any], struct: type[Struct], field: str) -> Any:
        kinds = _kinds(struct)
        fitting = {}
        for key, item in value.items():
            if key in kinds:
                item = self.value(item, kinds[key], f"{field}.{key}")
            if item is not _UNFIT:
                fitting[key] = item
        for name in _required(struct):
            if name not in fitting:
                return self._unfit(field, f"Object missing required field `{name}`")
        return fitting

    def _list(self, value: list[Any], inner: Any, field: str) -> list[Any]:
        fitting: list[Any] = []
        for item in value:
            item = self.value(item, inner, f"{field}[{len(fitting)}]")
            if item is not _UNFIT:
                fitting.append(item)
        return fitting

    def _unfit(self, field: str, reason: str) -> Any:
        if not field:
            self.reason = _in_words(reason)
        elif len(self._flaws) < MOST_OF_RECORD:
            self._flaws.append(Flaw(self._position, field.removeprefix("."), _in_words(reason)))
        else:
            self.more += 1
        return _UNFIT


@cache
def _kinds(struct: type[Struct]) -> dict[str, Any]:
    return {field.encode_name: field.type for field in fields(struct)}


@cache
def _required(struct: type[Struct]) -> list[str]:
    return [field.encode_name for field in fields(struct) if field.required]


@cache
def _struct_in(kind: Any) -> type[Struct] | None:
    """Return the struct that a type is, or that is one of its alternatives."""
    return next((one for one in (kind, *get_args(kind)) if _is_struct(one)), None)


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)


@cache
def _element_of(kind: Any) -> Any:
    """Return the type of a list's elements; None for other types."""
    lists = (one for one in (kind, *get_args(kind)) if get_origin(one) is list)
    return next((get_args(one)[0] for one in lists), None)


_WORDS = {
    "str": "text", "int": "a whole number", "float": "a number", "bool": "true or false", "array": "a list",
    "object": "an object", "null": "nothing",
}  # fmt: skip


def _in_words(reason: str) -> str:
    """Return msgspec's "Expected `str | null`, got `int`" in words for people."""
    found = re.fullmatch(r"Expected `([^`]+)`, got `([^`]+)`", reason)
    if found is None:
        return reason
    wanted, got = (
        " or ".join(
            _WORDS.get(name, name) for name in types.split(" | ") if name != "null" or types == "null"
        )
        for types in found.groups()
    )
    return f"{wanted} was expected, not {got}"


def _clean(element: dict[str, Any], position: str) -> tuple[dict[str, Any], list[Flaw]]:
    """Return an element without NUL characters and lone surrogates, and a flaw per changed field."""
    text = json.dumps(element)
    if not any(sign in text for sign in ("\\u0000", "\\ufffd", "\\ud")):
        return element, []
    cleaned: list[str] = []
    fixed = {}
    for key, value in element.items():
        field = _clean_value(key, "", [])
        if field != key:
            cleaned.append(field)
        fixed[field] = _clean_value(value, field, cleaned)
    return fixed, [
        Flaw(
            position,
            field,
            "characters that are no text (NUL bytes, invalid UTF-8) were replaced",
            repaired=True,
        )
        for field in islice(dict.fromkeys(cleaned), MOST_OF_RECORD)
    ]


def _clean_value(value: Any, field: str, cleaned: list[str]) -> Any:
    if isinstance(value, str):
        good = value.replace("\0", "").encode("utf-8", "replace").decode()
        if good != value or "\ufffd" in value:
            cleaned.append(field)
        return good
    if isinstance(value, list):
        return [_clean_value(item, field, cleaned) for item in value]
    if isinstance(value, dict):
        return {
            _clean_value(key, field, cleaned): _clean_value(item, field, cleaned)
            for key, item in value.items()
        }
    return value


def _json_type(value: Any) -> str:
    names = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list"}
    return names.get(type(value), "nothing")
