"""Metrics of this process in Prometheus' text format.

Counting is a few additions per call and per operation. The client library is only loaded when somebody reads
the metrics, because loading takes as long as a small import.
"""

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from chatferry import __version__
from chatferry.observing.current import CallRecord
from chatferry.operations import ENDS, Operation, Status, Summary, is_importing
from chatferry.problems import KINDS
from chatferry.reports.operation import tallies
from chatferry.store import Store

if TYPE_CHECKING:
    from prometheus_client.core import Metric

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the buckets of latencies; the last bucket has none."""
_METHODS = {"GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"}
_OUTCOMES = ("inserted", "updated", "unchanged", "skipped", "failed")
OTHER = "other"
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Records = Counter[tuple[str, str]]
"""How many records of a kind have an outcome."""


class _Collector:
    """An adapter: a registry of the client library collects metrics from it."""

    def __init__(self, collect: Callable[[], Iterator["Metric"]]) -> None:
        self.collect = collect


class _Latencies(Struct):
    """A histogram: calls per bucket of latency, and the sum of their seconds."""

    buckets: list[int]
    seconds: float = 0.0


class Metrics:
    """Counters of calls, operations, records and problems. Every label has a bounded number of values."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._calls = Counter[tuple[str, str, int]]()
        self._latencies: dict[str, _Latencies] = {}
        self._ended = Counter[tuple[str, str]]()
        self._records = Records()
        self._problems = Counter[str]()
        self._statuses: dict[int, Status] = {}
        self._seen = 0
        # Records that an earlier process imported are not counted.
        begun = [operation for operation in store.operations.valid() if is_importing(operation.status)]
        self._before = {operation.id: self._tallied(operation) for operation in begun}
        last = store.operations.last_summary()
        self._counted = {last.id} if last and last.status in ENDS else set()

    def call_ended(self, call: CallRecord, status: int, seconds: float) -> None:
        """Count a call."""
        method = call.method if call.method in _METHODS else OTHER
        endpoint = call.endpoint or "unknown"
        with self._lock:
            self._calls[method, endpoint, status] += 1
            latencies = self._latencies.get(endpoint)
            if latencies is None:
                latencies = self._latencies[endpoint] = _Latencies([0] * (len(SECONDS) + 1))
            latencies.buckets[bisect_left(SECONDS, seconds)] += 1
            latencies.seconds += seconds

    def watch(self, operation: Operation) -> None:
        """Count an operation that has ended."""
        if operation.status not in ENDS:
            return
        records = self._brought(operation)
        problems = Counter[str]()
        for problem in self._store.problems.all(operation.id):
            problems[problem.kind if problem.kind in KINDS else OTHER] += problem.count
        with self._lock:
            if operation.id in self._counted:
                return
            self._counted.add(operation.id)
            self._ended[operation.importer_key, operation.status.value] += 1
            self._records.update(records)
            self._problems.update(problems)

    def exposition(self, queue_length: int) -> tuple[bytes, str]:
        """Return the metrics as text, and its media type."""
        from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

        registry = CollectorRegistry()
        registry.register(_Collector(lambda: self._metrics(queue_length)))
        ProcessCollector(registry=registry)
        return generate_latest(registry), MEDIA_TYPE

    def _metrics(self, queue_length: int) -> Iterator["Metric"]:
        from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily

        pending = self._store.pending_files.count()
        yield InfoMetricFamily("chatferry", "This server.", {"version": __version__})
        yield from self._of_calls()
        yield from self._of_operations()
        yield GaugeMetricFamily(
            "chatferry_queue_length", "Operations that wait for the worker.", queue_length
        )
        yield GaugeMetricFamily("chatferry_pending_files", "Files that are still to be fetched.", pending)

    def _of_calls(self) -> Iterator["Metric"]:
        from prometheus_client.core import HistogramMetricFamily

        with self._lock:
            calls = dict(self._calls)
            latencies = {name: (list(of.buckets), of.seconds) for name, of in self._latencies.items()}
        yield _counter("calls", "Calls that were answered.", ["method", "endpoint", "status"], calls)
        histogram = HistogramMetricFamily(
            "chatferry_call_seconds", "Time from a call to the end of its answer.", labels=["endpoint"]
        )
        bounds = [*map(str, SECONDS), "+Inf"]
        for endpoint, (buckets, seconds) in sorted(latencies.items()):
            cumulative = list(zip(bounds, accumulate(buckets), strict=True))
            histogram.add_metric([endpoint], cumulative, sum_value=seconds)
        yield histogram

    def _of_operations(self) -> Iterator["Metric"]:
        from prometheus_client.core import GaugeMetricFamily

        current = self._store.operations.last_summary()
        with self._lock:
            ended, problems, records = Counter(self._ended), Counter(self._problems), Records(self._records)
            is_counted = current is None or current.id in self._counted
        if current is not None and not is_counted:
            records.update(self._brought(current))
        gauge = GaugeMetricFamily(
            "chatferry_operations", "Operations that there are, by status.", labels=["status"]
        )
        for status, count in self._by_status().items():
            gauge.add_metric([status], count)
        yield gauge
        yield _counter("operations_ended", "Operations that ended.", ["importer", "status"], ended)
        yield _counter("records", "Records that were brought, or were not.", ["kind", "outcome"], records)
        kinds = {(kind,): count for kind, count in problems.items()}
        yield _counter("problems", "Problems of operations that ended.", ["kind"], kinds)

    def _by_status(self) -> dict[str, int]:
        """Return how many operations have each status. Only changed operations are read."""
        with self._lock:
            for number, status, updated_at in self._store.operations.statuses(self._seen):
                self._statuses[number] = status
                self._seen = max(self._seen, updated_at)
            counts = Counter(self._statuses.values())
        return {status.value: counts[status] for status in Status}

    def _brought(self, operation: Summary) -> Records:
        """Return the number of records that this process has imported, by outcome."""
        return self._tallied(operation) - self._before.get(operation.id, Records())

    def _tallied(self, operation: Summary) -> Records:
        records = Records()
        for kind, tally in tallies(operation, self._store).items():
            counts = msgspec.to_builtins(tally)
            records.update({(kind, outcome): counts[outcome] for outcome in _OUTCOMES})
        return records


def _counter(name: str, text: str, labels: list[str], counts: Mapping[Any, int]) -> "Metric":
    from prometheus_client.core import CounterMetricFamily

    counter = CounterMetricFamily(f"chatferry_{name}", text, labels=labels)
    for values, count in sorted(counts.items()):
        counter.add_metric([*map(str, values)], count)
    return counter
