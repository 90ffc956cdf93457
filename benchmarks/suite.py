"""What the benchmarks of imports share: their options, and what is measured in which order."""

import argparse
import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from benchmarks.exports import SHAPES, TOP_UP, export
from benchmarks.floors import Floor, seconds
from benchmarks.measuring import Measured, measured_import
from benchmarks.reports import Floors, Imports, Kind, Report, print_report

CACHE = Path("build/bench")
HUGE = 10_000_000
_ONCE = 1_000_000  # floors of more messages are measured in the first run only


class Target(Protocol):
    """Where a benchmark imports to."""

    title: str

    def connections(self, workers: int) -> int:
        """How many write at once in an import with so many workers."""

    def empty(self, data: Path) -> list[str]:
        """Make it empty; the options with which an import writes there."""

    def keep(self, data: Path, messages: int) -> None:
        """Keep the first so many messages of those that were imported, for the floor."""

    def floor(self, export: Path, connections: int) -> Floor:
        """Settle, and measure the floor."""

    def settle(self) -> None:
        """End what was written before: nothing of it is left to be done while the next is measured."""


# ---------------------------------------------------------------- options


def parser(description: str, workers: Sequence[int]) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    add = made.add_argument
    add("--messages", type=_count, nargs="+", default=[10_000, 100_000], help="sizes of exports: %(default)s")
    add("--huge", action="store_true", help=f"an export of {HUGE:,} messages too")
    add(
        "--shape",
        choices=SHAPES,
        nargs="+",
        default=["usual"],
        help="usual: 200 users, 40 channels; narrow: 50 users, 8 channels;\n"
        "wide: 33,000 users, 45,000 rooms; one-file: one channel in one day file",
    )
    add(
        "--workers",
        type=int,
        nargs="+",
        default=workers,
        help="numbers of processes that convert: %(default)s",
    )
    add("--runs", type=_count, default=5, help="how often each is measured; the median is shown: %(default)s")
    add("--first-only", action="store_true", help="neither the same import again nor the top-up")
    add("--cache", type=Path, default=CACHE, help="where exports are kept, and imports work: %(default)s")
    add("--json", action="store_true", help="print every run as JSON in place of the tables")
    return made


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError("it has to be 1 at least")
    return count


def measure_all(options: argparse.Namespace, target_in: Callable[[Path], Target]) -> list[Report]:
    """Measure every shape in every size. `target_in` makes a target that works in a folder."""
    options.cache.mkdir(parents=True, exist_ok=True)
    reports = []
    for messages in [*options.messages, *([HUGE] if options.huge else [])]:
        for shape in options.shape:
            with tempfile.TemporaryDirectory(prefix="work-", dir=options.cache.resolve()) as folder:
                report = _measured(options, shape, messages, target_in(Path(folder)), Path(folder))
            if not options.json:
                print_report(report)
            reports.append(report)
    return reports


# ---------------------------------------------------------------- measuring


def _measured(options: argparse.Namespace, shape: str, messages: int, target: Target, folder: Path) -> Report:
    """Measure imports and floors in turns: a machine whose speed changes changes all of them.

    Every other run goes backwards.
    """
    whole = export(options.cache.resolve(), shape, messages)
    exports: dict[Kind, Path] = {"first": whole}
    if not options.first_only:
        exports |= {"again": whole, "top-up": export(options.cache.resolve(), shape, messages, TOP_UP)}
    workers = list(dict.fromkeys(options.workers))
    floors = {n: Floors(n) for n in dict.fromkeys(map(target.connections, workers))}
    imports = {count: {kind: Imports(kind, count) for kind in exports} for count in workers}
    for run in range(options.runs):
        work: list[Callable[[], None]] = []
        for count in workers:
            is_kept = run == 0 and count == workers[0]
            work.append(partial(_import, target, exports, folder / "data", imports[count], is_kept))
        if run == 0 or messages <= _ONCE:
            work += [partial(_floor, target, whole, one) for one in floors.values()]
        for step in work if run % 2 == 0 else reversed(work):
            step()
        for count in workers:
            _compare(imports[count], floors[target.connections(count)])
    return Report(
        destination=target.title,
        shape=shape,
        messages=messages,
        megabytes=whole.stat().st_size / 1e6,
        floors=list(floors.values()),
        imports=[one for kinds in imports.values() for one in kinds.values()],
    )


def _import(
    target: Target,
    exports: dict[Kind, Path],
    data: Path,
    imports: dict[Kind, Imports],
    is_kept: bool,
) -> None:
    """Import all, one after the other, into the same destination."""
    where = [*target.empty(data), "--workers", str(imports["first"].workers)]
    for kind, path in exports.items():
        _warm(path)
        target.settle()
        measured = measured_import(path, data, where)
        _require(kind, measured)
        imports[kind].runs.append(measured)
    if is_kept:
        target.keep(data, imports["first"].runs[0].messages.inserted)
    shutil.rmtree(data)


def _floor(target: Target, export: Path, floors: Floors) -> None:
    _warm(export)
    floors.runs.append(target.floor(export, floors.connections))


def _compare(imports: dict[Kind, Imports], floors: Floors) -> None:
    """Add the ratios of the run that has just ended."""
    for one in imports.values():
        last = one.runs[-1].seconds
        one.floor_ratios.append(seconds(floors.runs[-1]) / last)
        one.first_ratios.append(imports["first"].runs[-1].seconds / last)


def _warm(path: Path) -> None:
    """Read a file once: whoever reads it next finds it in memory."""
    with path.open("rb") as file:
        while file.read(1 << 20):
            pass


def _require(kind: Kind, measured: Measured) -> None:
    """The import has done what its kind says; else its time would mean nothing."""
    found = measured.messages
    is_right = {
        "first": found.inserted > 0 and not found.unchanged,
        "again": found.unchanged > 0 and not found.inserted,
        "top-up": 0 < found.inserted < found.unchanged,
    }[kind]
    if not is_right or found.updated or found.failed:
        raise SystemExit(f"This was no import of the kind {kind}: {found}")
