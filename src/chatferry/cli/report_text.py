"""A report as text: counts as a table, problems by kind and cause, and the verdict."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from chatferry.cli import terminal
from chatferry.operations import ENDS
from chatferry.problems import UNLISTED, causes
from chatferry.records import Effect, Problem
from chatferry.reports.inspection import Inspection, Share, day
from chatferry.reports.shown import no_formula
from chatferry.reports.verdict import Ending, verdict

SHOWN_PER_KIND = 5
_KINDS = ("users", "contacts", "rooms", "messages", "files")
_OUTCOMES = ("read", "inserted", "updated", "unchanged", "skipped", "failed")


def print_report(ending: Ending, problems: Iterable[Problem], state: str, again: str) -> None:
    """Print the counts as a table, the problems, and the verdict last.

    `state` is where the operation stands, `again` the command that shows the report again; "" for every
    problem now.
    """
    found = ending.counts
    terminal.say(f"Operation {ending.operation.id}: {state}")
    _print_counts(found)
    terminal.say(
        f"{found['messagesPerSecond']:,.0f} messages per second, "
        f"{found['peakMemoryMiB']:,.0f} MiB of memory at most"
    )
    if not again:
        _print_every(problems)
    elif print_problems(problems):
        terminal.say(f"\nEvery problem: `{again} --all`")
    if ending.operation.status in ENDS:
        terminal.say("")
        print_verdict(ending)


def print_verdict(ending: Ending) -> None:
    for line in verdict(ending):
        terminal.say(line)


def _print_counts(found: dict[str, Any]) -> None:
    rows = [["", *_OUTCOMES]]
    rows += [
        [kind, *(f"{found[kind][outcome]:,}" for outcome in _OUTCOMES)]
        for kind in _KINDS
        if found[kind]["read"]
    ]
    first, *widths = (max(map(len, column)) for column in zip(*rows, strict=True))
    for kind, *numbers in rows:
        cells = (number.rjust(width) for number, width in zip(numbers, widths, strict=True))
        terminal.say("  ".join((kind.ljust(first), *cells)))


def _print_every(problems: Iterable[Problem]) -> None:
    terminal.say("\nEvery problem:")
    for problem in problems:
        terminal.quote(f"{problem.kind}{_line(problem)}")


def print_problems(problems: Iterable[Problem]) -> bool:
    """Print the problems by kind; return whether there are any.

    Kinds whose records failed or were left out have their largest causes below them; of a kind that is only
    noted there is a line.
    """
    found = causes(problems, SHOWN_PER_KIND)
    for is_noted, kinds in groupby(found, lambda cause: cause.effect == Effect.NOTED):
        if is_noted:
            terminal.say("")
        for kind, group in groupby(kinds, lambda cause: cause.kind):
            _print_kind(kind, list(group), is_noted)
    return bool(found)


def _print_kind(kind: str, group: list[Problem], is_noted: bool) -> None:
    records = sum(cause.count for cause in group)
    effect, remedy = group[0].effect, group[0].remedy
    if not is_noted:
        terminal.say("")
    terminal.say(f"{kind}: {records:,} {effect}. {remedy}", bold=len(kind))
    if not is_noted:
        for cause in group:
            terminal.quote(_line(cause))


def _line(problem: Problem) -> str:
    """Return how many records a problem stands for, where and why."""
    where = " ".join(part for part in (problem.file, problem.position, problem.field) if part)
    what = "more" if problem.reason == UNLISTED else problem.reason
    return f"  {problem.count:,} x {where + ': ' if where else ''}{what}"


def print_inspection(found: Inspection) -> None:
    channels = found.channels
    lines = (
        f"{found.name}: an export of {found.importer}",
        f"  {found.users:,} users, of them {found.bots:,} bots and {found.placeholders:,} placeholders for "
        "people whom the export does not list",
        f"  {channels['c']:,} public channels, {channels['p']:,} private channels, "
        f"{channels['d']:,} direct conversations",
        f"  from {day(found.period[0]) or '-'} to {day(found.period[1]) or '-'}",
        f"  {found.messages:,} messages, {found.threads:,} threads, {found.reactions:,} reactions",
        f"  {found.files:,} files of {found.file_bytes / 1_000_000:,.1f} MB",
        f"  {found.left_out:,} messages would be left out",
    )
    for line in lines:
        terminal.say(line)
    if found.contacts:
        terminal.say(f"  {found.contacts:,} contacts")
    print_problems(found.problems)


_COLUMNS = ("id", "name", "kind", "members", "messages", "first", "last", "files", "fileBytes")
_NUMBERS = frozenset({"members", "messages", "files", "fileBytes"})


def print_shares(shares: Iterable[Share]) -> None:
    """Print rooms or users as a table, with the sizes of files in MB."""
    rows = [[*_COLUMNS[:-1], "MB"]]
    for share in shares:
        found = share.as_json()
        cells = [f"{found[name]:,}" if name in _NUMBERS else found[name] or "-" for name in _COLUMNS[:-1]]
        rows.append([*cells, f"{share.file_bytes / 1_000_000:,.1f}"])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.rjust(width) if name in _NUMBERS else cell.ljust(width)
            for name, cell, width in zip(_COLUMNS, row, widths, strict=True)
        ]
        terminal.quote("  ".join(cells).rstrip())


def share_rows(shares: Iterable[Share]) -> Iterator[list[str]]:
    """Yield rooms or users as rows of a CSV file, the names of the columns first.

    A name that a spreadsheet would take for a formula begins with an apostrophe.
    """
    yield list(_COLUMNS)
    for share in shares:
        found = share.as_json()
        yield ["" if found[name] is None else str(no_formula(found[name])) for name in _COLUMNS]
