"""What was measured, as tables and as JSON."""

import json
import statistics
import sys
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from benchmarks.floors import Floor, seconds
from benchmarks.measuring import Measured

Kind = Literal["first", "again", "top-up"]
"""An import into an empty destination, the same once more, and one of an export that holds a little more."""


class Floors(Struct):
    connections: int
    runs: list[Floor] = []


class Imports(Struct, rename="camel"):
    """Imports of one kind, with the ratios of each to the floor and to the first import of the same run."""

    kind: Kind
    workers: int
    runs: list[Measured] = []
    floor_ratios: list[float] = []
    first_ratios: list[float] = []


class Report(Struct):
    destination: str
    shape: str
    messages: int
    megabytes: float
    floors: list[Floors]
    imports: list[Imports]


def print_json(reports: list[Report]) -> None:
    print(json.dumps(msgspec.to_builtins(reports), indent=2))


_COSTS = (
    "", "seconds", "messages/s", "CPU s", "memory, MiB", "largest process", "floor/import", "first/import",
)  # fmt: skip
_PHASES = (
    "seconds of", "start", "prepare", "users, rooms", "messages", "finish", "prepare/run", "us/message",
)  # fmt: skip


def print_report(report: Report) -> None:
    runs = len(report.imports[0].runs)
    print(
        f"\n{report.destination}, {report.shape}: {report.messages:,} messages, zip of "
        f"{report.megabytes:,.1f} MB, median (least to most) of {runs} runs"
    )
    rows = [_floor_row(floors, report.messages) for floors in report.floors]
    rows += [row for floors in report.floors for row in _part_rows(floors, report.messages)]
    print_table([_COSTS, *rows, *map(_import_row, report.imports)])
    print_table([_PHASES, *map(_phases_row, report.imports)])
    sys.stdout.flush()


def _floor_row(floors: Floors, messages: int) -> list[str]:
    times = list(map(seconds, floors.runs))
    cpu = [sum(part.cpu_seconds for part in floor.values()) for floor in floors.runs]
    return [f"floor, {floors.connections} at once", *_speed(times, messages, cpu)]


def _part_rows(floors: Floors, messages: int) -> list[list[str]]:
    """Of what the floor consists, if it is more than one."""
    names = list(floors.runs[0])
    return [
        [
            f"  {name}",
            *_speed(
                [floor[name].seconds for floor in floors.runs],
                messages,
                [floor[name].cpu_seconds for floor in floors.runs],
            ),
        ]
        for name in names
        if len(names) > 1
    ]


def _import_row(imports: Imports) -> list[str]:
    runs = imports.runs
    return [
        _label(imports),
        *_speed([run.seconds for run in runs], runs[0].messages.read, [run.cpu_seconds for run in runs]),
        spread((run.peak_memory for run in runs), ".0f"),
        spread((run.largest_process for run in runs), ".0f"),
        spread(imports.floor_ratios, ".2f"),
        spread(imports.first_ratios, ".2f"),
    ]


def _phases_row(imports: Imports) -> list[str]:
    phases = [run.phases for run in imports.runs]
    read = imports.runs[0].messages.read
    return [
        _label(imports),
        *(
            spread((getattr(one, name) for one in phases), ".2f")
            for name in ("start", "prepare", "lists", "messages", "finish")
        ),
        spread((one.prepare / one.run for one in phases), ".2f"),
        spread((one.messages / read * 1e6 for one in phases), ".1f"),
    ]


def _label(imports: Imports) -> str:
    return f"{imports.kind}, {imports.workers} workers"


def _speed(times: list[float], messages: int, cpu: list[float]) -> list[str]:
    return [
        spread(times, ".2f"),
        spread((messages / time for time in times), ",.0f"),
        spread(cpu, ".2f"),
    ]


def spread(values: Iterable[float], form: str) -> str:
    """The median, with the least and the most if they differ."""
    found = sorted(values)
    median, least, most = (format(one, form) for one in (statistics.median(found), found[0], found[-1]))
    return median if least == most else f"{median} ({least} to {most})"


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as they have to be. A short row leaves the last ones empty."""
    widths = [max(len(row[column]) for row in rows if column < len(row)) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip())
    print()
