"""What became of an operation: counts and every problem."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from chatferry.api import wire
from chatferry.operations import ENDS, Summary, may_pause
from chatferry.records import Effect, Outcome, Problem
from chatferry.store import Store, problems


class Tally(Struct, frozen=True):
    """read = inserted + updated + unchanged + skipped + failed, once the operation is done."""

    read: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    skipped: int = 0
    failed: int = 0


def tallies(operation: Summary, store: Store) -> dict[str, Tally]:
    """The counts per type of record, by the names that reports use."""
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
    """Records that never came to be decided on: skipped or broken in the archive's own lists."""
    ended: defaultdict[str, Counter[Outcome | None]] = defaultdict(Counter)
    for problem in store.problems.all(operation.id, problems.PREPARE):
        if problem.effect != Effect.NOTED:
            ended[problem.record][Outcome(problem.effect.value)] += problem.count
    return ended


def _tally(outcomes: Mapping[Any, int], read: int | None = None) -> Tally:
    counts = {outcome.value: outcomes.get(outcome, 0) for outcome in Outcome}
    return Tally(read=sum(outcomes.values()) if read is None else read, **counts)


def is_paused(operation: Summary, store: Store) -> bool:
    """Whether the work on it waits until somebody resumes it."""
    return may_pause(operation) and store.pauses.has(operation.id)


def waiting_for(operation: Summary) -> str:
    """Return what the work on an operation waits for; "" if it goes on or has ended."""
    return operation.waiting_for if operation.valid and operation.status not in ENDS else ""


def as_json(operation: Summary, store: Store) -> dict[str, Any]:
    """The report as one object."""
    found = counts(operation, store)
    problems = [problem_as_json(problem) for problem in store.problems.all(operation.id)]
    return {**_without(found, _LAST), "problems": problems, **{name: found[name] for name in _LAST}}


def as_text(operation: Summary, store: Store) -> Iterator[str]:
    """The same object as JSON, in pieces: a large import has more problems than memory should hold."""
    found = counts(operation, store)
    yield _dumped(_without(found, _LAST)).removesuffix("\n}") + ',\n  "problems": ['
    end = "]"
    for problem in store.problems.all(operation.id):
        yield "\n    " if end == "]" else ",\n    "
        yield _dumped(problem_as_json(problem)).replace("\n", "\n    ")
        end = "\n  ]"
    yield end + "," + _dumped({name: found[name] for name in _LAST}).removeprefix("{") + "\n"


_LAST = ("seconds", "messagesPerSecond", "peakMemoryMiB")


def _without(found: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name not in names}


def _dumped(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def counts(operation: Summary, store: Store) -> dict[str, Any]:
    """The report without its problems."""
    by_type = tallies(operation, store)
    messages = by_type["messages"]
    ended = messages.read if operation.seconds else 0
    return {
        "operation": wire.operation(operation),
        "paused": is_paused(operation, store),
        "waitingFor": waiting_for(operation),
        **{name: msgspec.to_builtins(tally) for name, tally in by_type.items()},
        "seconds": round(operation.seconds, 3),
        "messagesPerSecond": round(ended / operation.seconds, 1) if operation.seconds else 0.0,
        "peakMemoryMiB": round(operation.peak_memory, 1),
    }


def problem_as_json(problem: Problem) -> dict[str, str]:
    return {
        "kind": problem.kind,
        "file": problem.file,
        "position": problem.position,
        "field": problem.field,
        "reason": counted_reason(problem),
        "remedy": problem.remedy,
    }


def counted_reason(problem: Problem) -> str:
    return problem.reason if problem.count == 1 else f"{problem.reason} ({problem.count:,} records)"
