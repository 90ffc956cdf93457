"""The report as text, made of the same object as the JSON."""

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from chatferry.clock import now
from chatferry.operations import Status, advance
from chatferry.pipeline.operation import run_operation
from chatferry.reports import operation as report
from chatferry.settings import Settings
from chatferry.store import Store
from tests.support.importing import ALL, Imported, import_archive, new_operation, workspace, write_folder

ALICE = {"id": "U0ALICE01", "name": "alice", "profile": {"email": "alice@example.org"}}
PLANS = {"id": "C0PLANS01", "name": "plans", "creator": "U0ALICE01", "members": ["U0ALICE01"]}
HELLO = {"type": "message", "user": "U0ALICE01", "text": "hello", "ts": "1600000200.000100"}


@pytest.mark.parametrize("flaws", [[], [7], [7, "größer", {"ts": '"quoted"\nline'}]])
def test_in_pieces_it_says_the_same(tmp_path: Path, flaws: list[Any]) -> None:
    files = {"users.json": [ALICE], "channels.json": [PLANS], "plans/2020-09-13.json": [HELLO, *flaws]}
    imported = import_archive(write_folder(tmp_path / "export", files))
    text = "".join(report.as_text(imported.operation, imported.store, every=True))
    assert list(json.loads(text).items()) == list(imported.report.items())
    assert len(imported.report["problems"]) == len(flaws)
    assert text == json.dumps(json.loads(text), ensure_ascii=False, indent=2) + "\n"


class Stopped(BaseException):
    """A process that ends in the middle of its work."""


def flawed(tmp_path: Path) -> Path:
    """An export of several parts, with more problems of a kind than are listed one by one in each."""
    subtypes = ("odd_0", "odd_1", "odd_2")
    files: dict[str, Any] = {"users.json": [ALICE], "channels.json": []}
    for room in range(3):
        id, name = f"C{room}", f"room-{room}"
        files["channels.json"].append(PLANS | {"id": id, "name": name, "members": ["U0ALICE01", "U9"]})
        messages: list[Any] = [
            HELLO | {"ts": f"{1_600_000_000 + n}.000100", "subtype": subtypes[n % 3]} for n in range(3900)
        ]
        messages += [{"type": "message", "user": "U0ALICE01", "text": "when?"}] * 1500
        files[f"{name}/2020-09-13.json"] = messages
    return write_folder(tmp_path / "export", files)


def stopped_and_taken_up(export: Path, tmp_path: Path, calls: int) -> Imported:
    """The import of an export that is stopped at a call of `check`, and goes on."""
    store, destination, settings = Store(), workspace(), Settings(data=tmp_path, workers=0)
    operation = new_operation(export, destination)
    store.operations.add(operation)
    operation = run_operation(operation, store, destination, settings)
    operation = advance(replace(operation, selection=ALL), Status.IMPORTING, now())
    left = iter(range(calls))

    def check() -> None:
        if next(left, None) is None:
            raise Stopped

    with pytest.raises(Stopped):
        run_operation(operation, store, destination, settings, check)
    unfinished = store.operations.get(operation.id)
    assert unfinished is not None
    assert list(store.parts.undone(operation.id))
    return Imported(run_operation(unfinished, store, destination, settings), store, destination)


def test_causes_are_the_same_for_any_number_of_processes_and_after_a_stop(tmp_path: Path) -> None:
    export = flawed(tmp_path)
    alone, together = (import_archive(export, settings=Settings(data=tmp_path, workers=n)) for n in (0, 2))
    again = stopped_and_taken_up(export, tmp_path, 5)
    found = [report.as_json(one.operation, one.store)["problems"] for one in (alone, together, again)]
    assert [(one["kind"], one["count"], one["reason"]) for one in found[0]] == [
        ("message-without-time", 4500, "the message has no time"),
        ("unknown-member", 3, "the member U9 is not in the export"),
        *(("message-of-unknown-type", 3900, f"the subtype 'odd_{n}' is not known") for n in range(3)),
    ]
    assert found[0] == found[1] == found[2]
    assert len(json.dumps(found[0])) < 400 * len(found[0])
    assert alone.report["messages"]["failed"] == 4500
