"""Pages of a report with very many problems."""

import csv
import io
import itertools
import time
import tracemalloc
from collections.abc import Iterator

import pytest

from chatferry.importers import IMPORTERS
from chatferry.operations import Operation, Status, advance
from chatferry.pipeline.commands import new_operation
from chatferry.problems import problem
from chatferry.records import Problem
from chatferry.reports import pages
from chatferry.reports.pages import STRIDE, RecentReports, csv_pieces, read_pages
from chatferry.store import Store
from chatferry.store.problems import PARTS, PREPARE

KINDS = ("message-not-readable", "message-cut", "unknown-mention")
RARE = "user-not-readable"


@pytest.fixture
def store() -> Iterator[Store]:
    with Store() as opened:
        yield opened


def filled(store: Store, parts: int, of_part: int) -> Operation:
    """Store an operation with so many problems of KINDS in turn, and one of RARE in each tenth part."""
    operation = new_operation(next(iter(IMPORTERS)), "u")
    store.operations.add(operation)
    store.problems.add(operation.id, PREPARE, [problem("user-without-email", "first", file="users.json")])
    for part in range(parts):
        some = [
            problem(KINDS[number % 3], f"reason {number % 7}", file=f"room/{part}.json", position=number)
            for number in range(of_part)
        ]
        some += [problem(RARE, "rare", file=f"room/{part}.json")] * (part % 10 == 0)
        store.problems.replace(operation.id, {PARTS + part: some})
    return operation


@pytest.mark.parametrize("kind", ["", *KINDS, RARE, "user-without-email", "no-such-kind"])
def test_pages_together_are_the_whole_list(store: Store, kind: str) -> None:
    operation = filled(store, parts=30, of_part=47)
    whole = [one for one in store.problems.all(operation.id) if kind in ("", one.kind)]
    read = read_pages(operation, store)
    assert read.totals[kind] == len(whole)
    for size in (1000, STRIDE, 33):
        begins = range(0, len(whole) + size, size)
        found = [list(itertools.islice(read.listed(store, kind, begin), size)) for begin in begins]
        assert [one for page in found for one in page] == whole
        assert found[-1] == [] or len(whole) % size


def test_a_page_costs_nothing_for_the_pages_before_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    operation = filled(store, parts=100, of_part=100)
    read = read_pages(operation, store)
    looked: list[int] = []
    placed = store.problems.placed

    def counted(*arguments: object, **more: object) -> Iterator[tuple[tuple[int, int], Problem]]:
        for found in placed(*arguments, **more):  # type: ignore[arg-type]  # passed through
            looked.append(1)
            yield found

    monkeypatch.setattr(store.problems, "placed", counted)
    costs = []
    for kind in ("", KINDS[0], RARE):
        looked.clear()
        total = read.totals[kind]
        for begin in range(0, total, 50):
            list(itertools.islice(read.listed(store, kind, begin), 50))
        costs.append(len(looked) / read.totals[""])
    assert max(costs) <= 2.1, costs  # each problem is looked at about twice, however many pages there are


def test_memory_stays_flat(store: Store) -> None:
    def most(parts: int) -> int:
        operation = filled(store, parts, of_part=200)
        tracemalloc.start()
        try:
            read = read_pages(operation, store)
            list(itertools.islice(read.listed(store, "", read.totals[""] - 10), 10))
            for _ in csv_pieces(read.listed(store)):
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    small, large = most(20), most(200)
    assert large < small + 100_000, (small, large)


def test_recent_reports_notice_changes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    operation = filled(store, parts=1, of_part=10)
    recent, moment = RecentReports(store), [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: moment[0])
    first = recent.of(operation)
    store.problems.replace(operation.id, {PARTS + 1: [problem(RARE, "later")]})
    assert recent.of(operation) is first
    moment[0] += pages.FRESH
    second = recent.of(operation)
    assert second.totals[""] == first.totals[""] + 1
    failed = advance(operation, Status.FAILED, operation.updated_at + 1)
    third = recent.of(failed)
    moment[0] += 1000
    assert third is not second
    assert recent.of(failed) is third


def test_few_reports_are_kept(store: Store) -> None:
    operations = [filled(store, parts=1, of_part=1) for _ in range(6)]
    recent = RecentReports(store)
    seen = [recent.of(operation) for operation in operations]
    assert recent.of(operations[-1]) is seen[-1]
    assert recent.of(operations[0]) is not seen[0]


def rows(*problems: Problem) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(csv_pieces(problems)))))


def test_a_table_has_the_columns_of_the_json() -> None:
    (row,) = rows(problem("message-cut", 'a "reason",\nof two lines', file="ü.json", position=7, count=3))
    assert row == {
        "kind": "message-cut",
        "effect": "noted",
        "count": "3",
        "file": "ü.json",
        "position": "$[7]",
        "field": "",
        "reason": 'a "reason",\nof two lines',
        "remedy": "Find the whole text in the export.",
    }


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_is_a_formula(sign: str) -> None:
    (row,) = rows(problem("message-cut", f"{sign}HYPERLINK(1)", file=f"{sign}x.json"))
    assert (row["reason"], row["file"]) == (f"'{sign}HYPERLINK(1)", f"'{sign}x.json")
