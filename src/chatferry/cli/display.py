"""The progress of an operation: live on a terminal, as plain lines elsewhere.

Only a live display needs Rich, which takes longer to load than a small import takes.
"""

import sys
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from chatferry.cli import terminal
from chatferry.operations import AT_REST, ENDS, Operation, ended_records, has_begun
from chatferry.reports.states import STEPS

if TYPE_CHECKING:
    from rich.progress import Progress

_LOOK = 0.5  # seconds between two looks whether it is paused
_WINDOW = 5.0  # seconds that a rate is taken from
_LINE = 5.0  # seconds between two plain lines about the same step


class Display:
    """Shows how an operation goes on."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._live = _live() if sys.stderr.isatty() and not quiet else None
        self._step = ""
        self._printed = ""
        self._last_line = 0.0
        # Moments of the last seconds, and how many records had ended then.
        self._recent: deque[tuple[float, int]] = deque()
        self._is_paused = False
        self._next_look = 0.0

    def __enter__(self) -> "Display":
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def show(self, operation: Operation) -> None:
        """Take note of a step."""
        if self._quiet:
            return
        step = "" if operation.status in ENDS | AT_REST else STEPS[operation.status]
        if operation.waiting_for and operation.status not in ENDS:
            step = f"waiting: {operation.waiting_for}"
        self._step = step or self._step
        ended = ended_records(operation) if has_begun(operation.status) else 0
        rate = self._rate(ended)
        if self._live:
            self._live.update(
                self._live.task_ids[0],
                description=self._step,
                total=operation.count.total if ended else None,
                completed=ended,
                rate=f"{rate:,.0f}/s" if rate else "",
            )
        else:
            self._show_line(operation, step, rate)

    def look(self, is_paused: Callable[[], bool]) -> None:
        """Say that an operation waits because somebody paused it, and that it goes on again.

        Any thread may call this, however often.
        """
        moment = time.monotonic()
        if moment < self._next_look or self._quiet:
            return
        self._next_look = moment + _LOOK
        self._show_pause(is_paused())

    def _show_pause(self, is_paused: bool) -> None:
        if is_paused == self._is_paused:
            return
        self._is_paused = is_paused
        self._recent.clear()
        text = "paused; it goes on with `chatferry resume`" if is_paused else self._step
        if self._live:
            self._live.update(self._live.task_ids[0], description="paused" if is_paused else text, rate="")
        terminal.remark(text if is_paused else "going on")

    def _rate(self, ended: int) -> float:
        """Return how many records ended in a second, over the last seconds; 0 if that is not known."""
        moment = time.monotonic()
        self._recent.append((moment, ended))
        while len(self._recent) > 2 and self._recent[1][0] < moment - _WINDOW:
            self._recent.popleft()
        began, before = self._recent[0]
        return (ended - before) / (moment - began) if ended > before and moment > began else 0.0

    def _show_line(self, operation: Operation, step: str, rate: float) -> None:
        moment = time.monotonic()
        is_new = step and step != self._printed
        if is_new or moment - self._last_line > _LINE:
            self._printed, self._last_line = step, moment
            terminal.remark(f"{self._step or 'starting'}{_progress(operation, rate)}")


def _progress(operation: Operation, rate: float) -> str:
    ended, total = ended_records(operation), operation.count.total
    if not (ended and total):
        return ""
    return f", {ended:,} of {total:,} records" + (f", {rate:,.0f}/s" if rate else "")


def _live() -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    live = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    live.add_task("starting", total=None, rate="")
    return live
