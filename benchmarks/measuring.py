"""What an import by the command line costs: time, by phase, processor time and memory."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import ParamSpec, TypeVar

from msgspec import Struct

from chatferry.reports.operation import Tally, tallies
from chatferry.settings import from_environment
from chatferry.store import Store

P = ParamSpec("P")
T = TypeVar("T")

_FINE = (0, 3)  # exit codes: all was imported, or some records could not be


class Phases(Struct, frozen=True):
    """Seconds: until the import begins, the first reading, users and rooms, messages, and all after them."""

    start: float
    prepare: float
    lists: float
    messages: float
    finish: float

    @property
    def run(self) -> float:
        return self.lists + self.messages + self.finish


class Measured(Struct, frozen=True, rename="camel"):
    """One import. `cpu_seconds` and `peak_memory` (MiB) are those of all its processes together."""

    seconds: float
    cpu_seconds: float
    peak_memory: float
    largest_process: float
    phases: Phases
    messages: Tally


_LAUNCHER = """
import os, sys, time
began = time.time()
process = os.spawnv(os.P_NOWAIT, sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(process, 0)
print(began, time.time(), usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""Starts a program and tells, in its last line, what that and all processes that it waited for have used.

It is small: a system counts what a process held that starts another as the other one's memory.
"""


def measured_import(export: Path, data: Path, options: Sequence[str]) -> Measured:
    """Import with the command line, a process of its own."""
    launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER]
    command = [sys.executable, "-m", "chatferry", "import", "slack", str(export), "--data", str(data)]
    # Installed programs have their byte code cached; a setting that forbids it would be measured instead.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with subprocess.Popen(
        [*launcher, *command, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        told = [(line, time.time()) for line in process.stderr]
        printed = process.stdout.read()
    if process.returncode not in _FINE:
        raise SystemExit(f"The import failed:\n{''.join(line for line, _ in told)}")
    began, ended, cpu, largest = map(float, printed.splitlines()[-1].split())
    with Store(from_environment(data=data).store_path) as store:
        operation = store.operations.last()
        assert operation is not None
        messages = tallies(operation, store)["messages"]
    return Measured(
        seconds=ended - began,
        cpu_seconds=cpu,
        peak_memory=operation.peak_memory,
        largest_process=largest / (1024 * 1024 if sys.platform == "darwin" else 1024),
        phases=_phases(told, began, operation.ts / 1000, ended),
        messages=messages,
    )


def _phases(told: Sequence[tuple[str, float]], began: float, prepare: float, end: float) -> Phases:
    """The phases, from the lines that the import writes on its way and when they came."""

    def at(text: str) -> float:
        found = next((when for line, when in told if line.startswith(text)), None)
        if found is None:
            raise SystemExit(f"The import never said: {text}")
        return found

    lists, messages, finish = at("importing users"), at("importing messages"), at("finishing")
    return Phases(prepare - began, lists - prepare, messages - lists, finish - messages, end - finish)


def apart(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What the work gives, in a process of its own, which begins with nothing in its memory."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(work, *args, **kwargs).result()
