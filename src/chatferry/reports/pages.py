"""Pages of a report that may have very many problems: no page costs more for the pages before it."""

import csv
import io
import threading
import time
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from msgspec import Struct

from chatferry.operations import ENDS, Status, Summary
from chatferry.problems import causes
from chatferry.records import Problem
from chatferry.reports.operation import MOST_CAUSES, counts, problem_as_json
from chatferry.reports.shown import no_formula
from chatferry.store import Store
from chatferry.store.problems import FIRST_PLACE, Place

STRIDE = 100  # problems of a kind from one noted place to the next
FRESH = 10  # seconds for which the report of a running operation may be shown again
_KEPT = 4  # reports
_ROWS = 500  # of a table, in one piece
EVERY_KIND = ""


class ReportPages(Struct, frozen=True):
    """The report of an operation as it was when its problems were last counted.

    counts  the report without its problems
    causes  one problem per cause
    totals  how many problems of each kind there are, and of EVERY_KIND
    places  for each kind, the places before its first problem and before each STRIDE-th further one
    """

    operation: Summary
    counts: dict[str, Any]
    causes: list[Problem]
    totals: Counter[str]
    places: dict[str, list[Place]]

    def listed(self, store: Store, kind: str = EVERY_KIND, offset: int = 0) -> Iterator[Problem]:
        """Yield the problems of a kind, from `offset` on."""
        if offset >= self.totals[kind]:
            return
        before = self.places[kind][offset // STRIDE]
        of_kind = (
            problem
            for _, problem in store.problems.placed(self.operation.id, before)
            if kind in (EVERY_KIND, problem.kind)
        )
        yield from islice(of_kind, offset % STRIDE, None)

    def causes_of(self, kind: str = EVERY_KIND) -> list[Problem]:
        """Return the causes of a kind."""
        return [cause for cause in self.causes if kind in (EVERY_KIND, cause.kind)]


def read_pages(operation: Summary, store: Store) -> ReportPages:
    """Look at all problems of an operation once, and return what its pages need."""
    totals: Counter[str] = Counter()
    places: defaultdict[str, list[Place]] = defaultdict(list)

    def noted() -> Iterator[Problem]:
        before = FIRST_PLACE
        for place, problem in store.problems.placed(operation.id):
            for kind in (EVERY_KIND, problem.kind):
                if totals[kind] % STRIDE == 0:
                    places[kind].append(before)
                totals[kind] += 1
            before = place
            yield problem

    found = causes(noted(), MOST_CAUSES)
    return ReportPages(operation, counts(operation, store), found, totals, dict(places))


class RecentReports:
    """The pages of the reports that were asked for last. Threads may ask at once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[ReportPages, float]] = OrderedDict()

    def of(self, operation: Summary) -> ReportPages:
        """Return the pages of an operation's report; one that is running is looked at every FRESH seconds."""
        with self._lock:
            known, since = self._kept.pop(operation.id, (None, 0.0))
            if known is None or not _is_fresh(known, operation.updated_at, operation.status, since):
                known, since = read_pages(operation, self._store), time.monotonic()
            self._kept[operation.id] = known, since
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return known


def _is_fresh(known: ReportPages, updated_at: int, status: Status, since: float) -> bool:
    if known.operation.updated_at == updated_at and status in ENDS:
        return True
    is_running = status == known.operation.status and status not in ENDS
    return is_running and time.monotonic() - since < FRESH


def csv_pieces(problems: Iterable[Problem]) -> Iterator[str]:
    """Yield problems as a CSV table in pieces, with the names of the JSON as its first row."""
    columns = ("kind", "effect", "count", "file", "position", "field", "reason", "remedy")
    rows = iter(problems)
    yield _table([columns])
    while piece := list(islice(rows, _ROWS)):
        yield _table([[no_formula(problem_as_json(one)[name]) for name in columns] for one in piece])


def _table(rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()
