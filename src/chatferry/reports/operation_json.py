"""Operations as Rocket.Chat's JSON. Pure."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from chatferry.documents import Date, Document
from chatferry.operations import Counts, Summary

JSON = dict[str, Any]


def iso(ms: int) -> str:
    """Return a time as ISO 8601 in UTC with milliseconds, as JavaScript writes it."""
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{ms % 1000:03}Z"


def operation_json(value: Summary) -> JSON:
    """Return an operation as Rocket.Chat's IImport."""
    wire: JSON = {
        "_id": value.id,
        "type": value.type,
        "importerKey": value.importer_key,
        "ts": value.ts,
        "status": value.status.value,
        "valid": value.valid,
        "user": value.user,
        "_updatedAt": iso(value.updated_at),
    }
    if value.content_type is not None:
        wire["contentType"] = value.content_type
    if value.file is not None:
        wire["file"] = value.file
    if count := msgspec.to_builtins(value.count):
        wire["count"] = {key: number for key, number in count.items() if number is not None}
    return wire


_COUNTERS = frozenset(Counts.__struct_fields__)


def recorded_operation_json(document: Document) -> JSON:
    """Return an IImport that a Rocket.Chat of any version recorded, in the shape of ours."""
    key, type_ = (_text(document.get(field)) for field in ("importerKey", "type"))
    changed = _time(document.get("_updatedAt"))
    began = _time(document.get("ts")) or changed
    wire: JSON = {
        "_id": _text(document["_id"]),
        "type": type_ or key,
        "importerKey": key or type_,
        "ts": began,
        "status": _text(document.get("status")),
        "valid": document.get("valid") is True,
        "user": _text(document.get("user")),
        "_updatedAt": iso(changed or began),
    }
    wire |= {field: text for field in ("contentType", "file") if (text := _text(document.get(field)))}
    if counters := _counters(document.get("count")):
        wire["count"] = counters
    return wire


def _text(value: Any) -> str:
    if isinstance(value, dict):  # an ObjectId
        value = value.get("$oid")
    return value if isinstance(value, str) else ""


def _time(value: Any) -> int:
    """Return the milliseconds of a date or (of old servers) a number; 0 for anything else."""
    try:
        ms = value.ms if isinstance(value, Date) else int(value)
        return ms if 0 <= ms <= _LAST_MS else 0
    except (TypeError, ValueError, OverflowError):
        return 0


_LAST_MS = 253_402_300_799_999  # of the year 9999


def _counters(value: Any) -> JSON:
    given = value if isinstance(value, dict) else {}
    counters = {name: int(given[name]) for name in _COUNTERS & given.keys() if _is_count(given[name])}
    return dict(sorted(counters.items()))


def _is_count(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**53
