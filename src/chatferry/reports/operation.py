"""The report about an operation: counts and problems."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from chatferry.operations import ENDS, Summary, may_pause
from chatferry.problems import causes
from chatferry.records import Effect, Outcome, Problem
from chatferry.reports.destination import destination_json
from chatferry.reports.operation_json import operation_json
from chatferry.store import Store, problems


class Tally(Struct, frozen=True):
    """Counts of records. Once the operation is done, `read` is the sum of the others."""

    read: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    skipped: int = 0
    failed: int = 0


def tallies(operation: Summary, store: Store) -> dict[str, Tally]:
    """Return the counts per type of record, by the names that reports use."""
    staging, parts = store.staging, store.parts
    unread = _ended_while_reading(operation, store)
    files = Counter(parts.outcomes(operation.id, "file")) + Counter(store.fetches.outcomes(operation.id))
    return {
        "users": _tally(Counter(staging.outcomes(operation.id, "user")) + unread["user"]),
        "contacts": _tally(Counter(staging.outcomes(operation.id, "contact")) + unread["contact"]),
        "rooms": _tally(Counter(staging.outcomes(operation.id, "channel")) + unread["channel"]),
        "messages": _tally(parts.outcomes(operation.id, "message"), parts.messages(operation.id)),
        "files": _tally(files),
    }


def _ended_while_reading(operation: Summary, store: Store) -> defaultdict[str, Counter[Outcome | None]]:
    """Count records that were skipped or failed while the archive was read."""
    ended: defaultdict[str, Counter[Outcome | None]] = defaultdict(Counter)
    for problem in store.problems.all(operation.id, problems.PREPARE):
        if problem.effect != Effect.NOTED:
            ended[problem.record][Outcome(problem.effect.value)] += problem.count
    return ended


def _tally(outcomes: Mapping[Any, int], read: int | None = None) -> Tally:
    counts = {outcome.value: outcomes.get(outcome, 0) for outcome in Outcome}
    return Tally(read=sum(outcomes.values()) if read is None else read, **counts)


def is_paused(operation: Summary, store: Store) -> bool:
    """Return whether the operation is paused."""
    return may_pause(operation) and store.pauses.has(operation.id)


def waiting_for(operation: Summary) -> str:
    """Return what the operation waits for; "" if it works or has ended."""
    return operation.waiting_for if operation.valid and operation.status not in ENDS else ""


def as_json(operation: Summary, store: Store, every: bool = False) -> dict[str, Any]:
    """Return the report as one object, with one problem per cause or with every problem."""
    return with_problems(counts(operation, store), _problems(operation, store, every))


def with_problems(report: dict[str, Any], problems: Iterable[Problem]) -> dict[str, Any]:
    """Return a report as one object: the counts, and these problems."""
    listed = [problem_as_json(problem) for problem in problems]
    return {**_without(report, _LAST), "problems": listed, **{name: report[name] for name in _LAST}}


def as_text(operation: Summary, store: Store, every: bool = False) -> Iterator[str]:
    """Yield the report as JSON text in pieces: a large import may have too many problems for memory."""
    report = counts(operation, store)
    yield _dumped(_without(report, _LAST)).removesuffix("\n}") + ',\n  "problems": ['
    end = "]"
    for problem in _problems(operation, store, every):
        yield "\n    " if end == "]" else ",\n    "
        yield _dumped(problem_as_json(problem)).replace("\n", "\n    ")
        end = "\n  ]"
    yield end + "," + _dumped({name: report[name] for name in _LAST}).removeprefix("{") + "\n"


def _problems(operation: Summary, store: Store, every: bool) -> Iterable[Problem]:
    listed = store.problems.all(operation.id)
    return listed if every else causes(listed, MOST_CAUSES)


MOST_CAUSES = 20  # of a kind
_LAST = ("seconds", "messagesPerSecond", "peakMemoryMiB")


def _without(report: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in report.items() if name not in names}


def _dumped(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def counts(operation: Summary, store: Store) -> dict[str, Any]:
    """Return the report without its problems."""
    by_type = tallies(operation, store)
    messages = by_type["messages"]
    ended = messages.read if operation.seconds else 0
    return {
        "operation": _operation(operation),
        "destination": destination_json(store),
        "paused": is_paused(operation, store),
        "waitingFor": waiting_for(operation),
        **{name: msgspec.to_builtins(tally) for name, tally in by_type.items()},
        "seconds": round(operation.seconds, 3),
        "messagesPerSecond": round(ended / operation.seconds, 1) if operation.seconds else 0.0,
        "peakMemoryMiB": round(operation.peak_memory, 1),
    }


def _operation(operation: Summary) -> dict[str, Any]:
    """Return the operation as the API shows it, with the reason why it failed."""
    shown = operation_json(operation)
    return shown | {"error": operation.error} if operation.error else shown


def problem_as_json(problem: Problem) -> dict[str, str | int]:
    """Return a problem as reports show it. The names are the columns of a table, too."""
    return {
        "kind": problem.kind,
        "effect": problem.effect.value,
        "count": problem.count,
        "file": problem.file,
        "position": problem.position,
        "field": problem.field,
        "reason": problem.reason,
        "remedy": problem.remedy,
    }
