"""The store: what is read of operations, how, and while others write."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from chatferry.operations import Choice, Operation, Selection, Status, Summary
from chatferry.problems import problem
from chatferry.records import Problem
from chatferry.store import Store, operations, pending_files
from chatferry.store.problems import PARTS
from tests.support.serving import PATIENCE

CHOSEN = Selection(users=Choice(list=frozenset({"U1", "U2"})))
OPERATION = Operation(
    id="x",
    type="Slack",
    importer_key="slack",
    ts=1,
    status=Status.DONE,
    valid=True,
    user="u",
    updated_at=1,
    selection=CHOSEN,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store.sqlite3") as store:
        yield store


def elsewhere(work: Callable[[], Any]) -> Any:
    """Return the result of some work in another thread; fail if it has to wait."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(work).result(PATIENCE)


@pytest.mark.parametrize(
    ("sql", "values"),
    [
        (operations._LAST, ()),
        (operations._LATEST, (20,)),
        (operations._VALID, ()),
        (operations._INVALIDATE, (1,)),
    ],
)
def test_no_query_of_the_api_reads_the_whole_history(
    store: Store, tmp_path: Path, sql: str, values: tuple[int, ...]
) -> None:
    database = sqlite3.connect(tmp_path / "store.sqlite3")
    plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
    database.close()
    assert len(plan) == 1, "something is sorted"
    assert "USING INDEX operations_" in plan[0] or "USING COVERING INDEX operations_" in plan[0]


def test_reading_does_not_wait_for_a_transaction(store: Store) -> None:
    store.operations.add(OPERATION)
    with store.transaction():
        store.operations.save(replace(OPERATION, status=Status.FAILED))
        mine, theirs = store.operations.last(), elsewhere(store.operations.last)
    assert mine is not None and theirs is not None
    assert (mine.status, theirs.status) == (Status.FAILED, Status.DONE)
    assert elsewhere(store.operations.last).status == Status.FAILED


def test_changes_that_were_rolled_back_are_never_read(store: Store) -> None:
    with pytest.raises(RuntimeError), store.transaction():
        store.operations.add(OPERATION)
        raise RuntimeError
    assert store.operations.last() is None
    assert elsewhere(store.operations.last) is None


def test_one_transaction_waits_for_the_other(store: Store) -> None:
    began = threading.Event()

    def add() -> None:
        began.set()
        store.operations.add(replace(OPERATION, id="y"))

    with store.transaction():
        thread = threading.Thread(target=add)
        thread.start()
        began.wait(PATIENCE)
        store.operations.add(OPERATION)
    thread.join(PATIENCE)
    assert [one.id for one in store.operations.valid()] == ["x", "y"]


def test_a_summary_is_an_operation_without_its_selection(store: Store) -> None:
    store.operations.add(OPERATION)
    assert store.operations.last() == store.operations.get("x") == OPERATION
    whole = msgspec.structs.asdict(OPERATION)
    del whole["selection"]
    assert store.operations.last_summary() == Summary(**whole)
    assert store.operations.latest(1) == [Summary(**whole)]


def test_valid_and_unfinished_operations_are_found_among_many(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "_PAGE", 2)
    statuses = [Status.DONE, Status.SELECTION, Status.FAILED, Status.CANCELLED, Status.IMPORTING, Status.DONE]
    for number, status in enumerate(statuses):
        store.operations.add(replace(OPERATION, id=str(number), status=status, valid=number == 4))
    assert [one.id for one in store.operations.unfinished()] == ["1", "4"]
    assert [one.id for one in store.operations.valid()] == ["4"]
    store.operations.invalidate_all(5)
    assert store.operations.valid() == []
    assert [one.updated_at for one in store.operations.latest(2)] == [5, 1]


@pytest.mark.parametrize("query", [pending_files.known_files, pending_files.stored_files])
def test_files_are_looked_up_one_by_one(store: Store, tmp_path: Path, query: Callable[[int], str]) -> None:
    database = sqlite3.connect(tmp_path / "store.sqlite3")
    plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {query(2)}", ["x"] * 4)]
    database.close()
    assert [step for step in plan if step.startswith("SCAN")] == ["SCAN 2 CONSTANT ROWS", "SCAN wanted"]
    assert "USING PRIMARY KEY" in plan[-1]


def test_problems_of_a_part_replace_those_that_it_had(store: Store) -> None:
    def told(*reasons: str) -> list[Problem]:
        return [problem("message-twice", reason, file="general/2023-01-02.json") for reason in reasons]

    store.problems.replace("x", {PARTS: told("one", "two"), PARTS + 1: told("three")})
    store.problems.replace("y", {PARTS: told("of another operation")})
    store.problems.replace("x", {PARTS: told("four"), PARTS + 2: []})
    assert [one.reason for one in store.problems.all("x")] == ["four", "three"]
    assert [one.reason for one in store.problems.all("y")] == ["of another operation"]
