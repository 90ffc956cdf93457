"""Documents as MongoDB has them, in BSON, and as chatferry has them; what an update comes to on the server.

A BSON document is a dict whose dates are `DatetimeMS`. What Rocket.Chat and its apps store besides the types
that imports write (ObjectId, Decimal128, Binary ...) stays what it is in it, to the byte.
"""

import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import msgspec
from bson import json_util
from bson.codec_options import CodecOptions, DatetimeConversion, TypeEncoder, TypeRegistry
from bson.datetime_ms import DatetimeMS
from bson.errors import InvalidDocument
from msgspec.structs import replace

from chatferry.destinations.rules import ChangeError
from chatferry.documents import Date, Update

LARGEST = 16 * 1024 * 1024  # bytes of a document, says MongoDB


_EPOCH, _MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)


class _DateEncoder(TypeEncoder):
    @property
    def python_type(self) -> type[Date]:
        return Date

    def transform_python(self, value: Date) -> DatetimeMS:
        try:
            return DatetimeMS((datetime.fromisoformat(value.iso) - _EPOCH) // _MILLISECOND)
        except (TypeError, ValueError):
            raise ValueError(f"{value.iso!r} is no date with a time zone") from None


OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(
    type_registry=TypeRegistry([_DateEncoder()]),
    datetime_conversion=DatetimeConversion.DATETIME_MS,  # other programs store dates beyond the year 9999
    unicode_decode_error_handler="replace",
)


def encoded(document: Mapping[str, Any]) -> bytes:
    """Return a document of either kind as BSON. Raise ChangeError if BSON cannot hold it."""
    try:
        data = bson.encode(document, codec_options=OPTIONS)
    except (InvalidDocument, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ChangeError(f"it cannot be written as BSON: {_first_line(error)}") from error
    if len(data) > LARGEST:
        raise ChangeError(f"it has {len(data):,} bytes; MongoDB takes {LARGEST:,} at most")
    return data


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def decoded(data: bytes) -> dict[str, Any]:
    return bson.decode(data, codec_options=OPTIONS)


def in_bson(update: Update) -> Update:
    """Return the update with values as BSON documents have them."""
    values = {"set": update.set, "add": update.add, "pull": update.pull}
    return replace(update, **decoded(encoded(values)))


def timestamp_suffix(now: int) -> bytes:
    """Return the bytes that `with_timestamp` adds to documents that are written now."""
    return b"\x09_updatedAt\0" + struct.pack("<q", now) + b"\0"


def with_timestamp(data: bytes, suffix: bytes) -> bytes:
    """Return an encoded document, which has no `_updatedAt`, with one."""
    return b"".join(((len(data) - 1 + len(suffix)).to_bytes(4, "little"), data[4:-1], suffix))


def document_of(value: Any) -> Any:
    """Return a BSON document or value as chatferry has it: foreign types as relaxed Extended JSON."""
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if kind is dict:
        return {key: document_of(item) for key, item in value.items()}
    if kind is list:
        return [document_of(item) for item in value]
    if kind is DatetimeMS and _EARLIEST <= int(value) <= _LATEST:
        return Date.at(int(value))
    return msgspec.json.decode(json_util.dumps(value, json_options=json_util.RELAXED_JSON_OPTIONS))


_EARLIEST, _LATEST = -62_135_596_800_000, 253_402_300_799_999  # years 1 to 9999


# ---------------------------------------------------------------- differences


_MOST_COMPARED = 1000  # items of a list; longer ones are written whole, as each item is compared with all


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the update operators that make `after` of `before`, with paths as deep as possible.

    Changes that Rocket.Chat makes elsewhere in the document at the same time stay.
    """
    found: dict[str, dict[str, Any]] = {"$set": {}, "$unset": {}, "$addToSet": {}, "$pull": {}}
    _compare_fields(before, after, "", found)
    return {operator: paths for operator, paths in found.items() if paths}


def _compare(before: Any, after: Any, path: str, found: dict[str, dict[str, Any]]) -> None:
    if isinstance(before, dict) and isinstance(after, dict) and _are_steps(before, after):
        _compare_fields(before, after, path + ".", found)
    elif isinstance(before, list) and isinstance(after, list):
        _compare_lists(before, after, path, found)
    elif not _same(before, after):
        found["$set"][path] = after


def _compare_fields(
    before: Mapping[str, Any], after: Mapping[str, Any], path: str, found: dict[str, dict[str, Any]]
) -> None:
    for key in before.keys() - after.keys():
        found["$unset"][path + key] = ""
    for key, value in after.items():
        if key in before:
            _compare(before[key], value, path + key, found)
        else:
            found["$set"][path + key] = value


def _compare_lists(before: list[Any], after: list[Any], path: str, found: dict[str, dict[str, Any]]) -> None:
    new = after[len(before) :]
    if len(before) == len(after):
        for place, (old, item) in enumerate(zip(before, after, strict=True)):
            _compare(old, item, f"{path}.{place}", found)
    elif max(len(before), len(after)) > _MOST_COMPARED:
        found["$set"][path] = after
    elif new and _same(before, after[: len(before)]) and _all_differ([*before, *new], len(before)):
        found["$addToSet"][path] = {"$each": new}
    elif not new and (gone := _pulled(before, after)):
        found["$pull"][path] = {"$in": gone}
    else:
        found["$set"][path] = after


def _all_differ(items: Sequence[Any], start: int) -> bool:
    """Return whether no item from `start` on equals an item before it."""
    return all(items[place] not in items[:place] for place in range(start, len(items)))


def _pulled(before: list[Any], after: list[Any]) -> list[Any]:
    """Return the items that `$pull` has to remove from `before` to leave `after`; [] if it cannot."""
    gone = [item for item in before if isinstance(item, dict) and not any(_same(item, it) for it in after)]
    left = [item for item in before if not any(item is it for it in gone)]
    return gone if _same(left, after) and not any(isinstance(item, list) for item in before) else []


def _are_steps(*documents: Mapping[str, Any]) -> bool:
    """Return whether a path can name every field of these documents."""
    return all(key and "." not in key and key[0] != "$" for document in documents for key in document)


def _same(one: Any, other: Any) -> bool:
    """Return whether values are equal: true is not 1, but numbers are equal whatever their type."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
