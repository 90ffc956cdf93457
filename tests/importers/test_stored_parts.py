"""Parts that an earlier version stored: the names in their data are not those of the fields."""

from typing import Any

import msgspec
import pytest

from chatferry.importers.csv.first_pass import CsvPartSpec, RowRange
from chatferry.importers.hipchat.messages import HipChatPartSpec
from chatferry.importers.reading.json_stream import ElementRange
from chatferry.importers.slack.large_files import FileSection
from chatferry.importers.slack.parts import SlackPartSpec
from chatferry.problems import Position

SLACK = {
    "room": {
        "channel": "C1",
        "folder": "plans",
        "threads": {"1.0": [["U1", 2, 5]]},
        "pins": {"1.0": [7, "U1"]},
    },
    "files": ["plans/2020-09-13.json"],
    "after": 5,
    "twins": ["1600000200.000100"],
    "missing_roots": {"1.0": ["plans/2020-09-13.json", 3]},
    "run": [1, 90, 0, 2, {1: 8}, {0: None}],
}
HIPCHAT = {
    "folder": {"file": "rooms/1/history.json", "id": "1", "is_room": True},
    "channel": "1",
    "runs": [[1, 90, 0, 2]],
    "twins": [1],
}
CSV = {"channel": "plans", "sheets": [], "runs": [[0, 1, 90, 2, False, True]], "since": 0, "until": 9}


def decoded(data: dict[str, Any], kind: type[Any]) -> Any:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(data), type=kind)


def test_slack() -> None:
    spec = decoded(SLACK, SlackPartSpec)
    assert spec.duplicates == ("1600000200.000100",)
    assert spec.missing_roots == {"1.0": Position("plans/2020-09-13.json", 3)}
    assert spec.section == FileSection(1, 90, 0, 2, {1: 8}, {0: None})


def test_hipchat() -> None:
    spec = decoded(HIPCHAT, HipChatPartSpec)
    assert (spec.history.id, spec.ranges, spec.duplicates) == ("1", [ElementRange(1, 90, 0, 2)], [1])


def test_csv() -> None:
    assert decoded(CSV, CsvPartSpec).ranges == (RowRange(0, 1, 90, 2, False, True),)


@pytest.mark.parametrize(
    ("data", "kind"), [(SLACK, SlackPartSpec), (HIPCHAT, HipChatPartSpec), (CSV, CsvPartSpec)]
)
def test_they_are_stored_under_the_same_names(data: dict[str, Any], kind: type[Any]) -> None:
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(decoded(data, kind)))
    assert data.keys() <= again.keys()
