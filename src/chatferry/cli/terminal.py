"""Text for people at a terminal.

Only a live display needs Rich, which takes longer to load than a small import takes.
"""

import re
import shlex
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import typer

from chatferry import private
from chatferry.operations import ENDS, Operation, Status
from chatferry.problems import UNLISTED, causes
from chatferry.records import Problem
from chatferry.reports.inspection import Inspection
from chatferry.settings import Settings

if TYPE_CHECKING:
    from rich.progress import Progress

SHOWN_PER_KIND = 5
_DIRECTION = "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"  # they show a text in another order than it has
_CONTROL = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{_DIRECTION}]")
FIRST_PASSWORD = "first-password"
"""The file, in the data directory, with the password that was made up where no person could read it."""
_KINDS = ("users", "contacts", "rooms", "messages", "files")
_OUTCOMES = ("read", "inserted", "updated", "unchanged", "skipped", "failed")
_STEPS = {
    Status.DOWNLOADING: "downloading the export",
    Status.PREPARING_USERS: "reading users",
    Status.PREPARING_CHANNELS: "reading channels",
    Status.PREPARING_MESSAGES: "reading messages",
    Status.PREPARING_CONTACTS: "reading contacts",
    Status.IMPORTING_USERS: "importing users",
    Status.IMPORTING_CONTACTS: "importing contacts",
    Status.IMPORTING_CHANNELS: "importing channels",
    Status.IMPORTING_MESSAGES: "importing messages",
    Status.IMPORTING_FILES: "fetching files",
    Status.FINISHING: "finishing",
}


def say(text: str) -> None:
    """Print what a command was asked for."""
    typer.echo(_harmless(text))


def complain(text: str) -> None:
    _remark(f"chatferry: {text}")


def _remark(text: str) -> None:
    """Print to stderr; ignore a closed pipe."""
    with suppress(BrokenPipeError):
        typer.echo(_harmless(text), err=True)


def _harmless(text: str) -> str:
    """Return a text without control characters: it may come from an archive, and a terminal would obey it."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def print_raw(pieces: Iterable[str]) -> None:
    """Print JSON as it is; to a terminal with those characters escaped that could do something to it."""
    escape = partial(_CONTROL.sub, _escaped) if sys.stdout.isatty() else str
    sys.stdout.writelines(map(escape, pieces))


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def welcome(admin: tuple[str, str] | None, data: Path) -> None:
    """Say, once, the password that was made up for the first administrator.

    Where a log keeps what is said, the password goes to a file instead.
    """
    path = data / FIRST_PASSWORD
    if admin is None:
        if path.exists():
            _remark(f"The password of the first administrator still lies in {path}: delete the file.")
        return
    name, password = admin
    if not sys.stderr.isatty() and _is_written(path, password):
        _remark(
            f"A new workspace. Its administrator is {name}, with the password in {path}\n"
            "Only you can read this file. Delete it when you have the password."
        )
        return
    _remark(
        f"A new workspace. Its administrator is {name} with the password {password}\n"
        "This password is not shown again."
    )


def _is_written(path: Path, password: str) -> bool:
    """Return whether the password could be written to a file; if not, saying it is better than losing it."""
    try:
        private.make_folder(path.parent)
        path.unlink(missing_ok=True)
        with open(path, "x", opener=private.opener, encoding="utf-8") as file:
            file.write(password + "\n")
    except OSError:
        return False
    return True


def warn_of_readers(data: Path, is_open: bool, left: list[Path]) -> None:
    """Say who else can read what lies in the data directory."""
    if is_open:
        _remark(f"Warning: others can look into the data directory. Close it: chmod 700 {data.resolve()}")
    if left:
        more = f" and {len(left) - 1:,} more" if left[1:] else ""
        _remark(
            f"Warning: others can read or write {left[0]}{more}, which belongs to another user. "
            f"Give it to the user that runs chatferry, who then closes it at the next start."
        )


def announce(address: str, settings: Settings, admin: str, is_demo: bool) -> None:
    """Say where the server is and how to get a token. `admin` is the username of the first administrator."""
    _remark(f"chatferry serves Rocket.Chat's import API on {address}")
    if settings.is_open:
        _remark(
            "Passwords and tokens can be read on their way: this is no TLS. Give --tls-cert and --tls-key, "
            "or let a proxy speak TLS and name it in CHATFERRY_TRUSTED_PROXIES."
        )
    if is_demo:
        _remark("The workspace is a throw-away one: it is gone when the server stops.")
    else:
        command = [sys.argv[0], "token", "--user", admin or "NAME", "--data", str(settings.data)]
        _remark(f"Get a token: POST /api/v1/login, or: {shlex.join(command)}")


def say_who_works(data: Path) -> None:
    """Say, at the beginning of a command, that a server does its work."""
    _remark(f"The server of {data} does this, with its own settings. Ctrl-C stops it.")


class Display:
    """Shows how an operation goes on: live on a terminal, as plain lines elsewhere."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._live = _live() if sys.stderr.isatty() and not quiet else None
        self._step = ""
        self._printed = ""
        self._last_line = 0.0

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
        step = _STEPS.get(operation.status, "")
        if operation.waiting_for and operation.status not in ENDS:
            step = f"waiting: {operation.waiting_for}"
        if step and step != self._step:
            self._step = step
        if self._live:
            self._show_live(self._live, operation)
        else:
            self._show_line(operation, step)

    def _show_live(self, live: "Progress", operation: Operation) -> None:
        done = (operation.count.completed or 0) + (operation.count.error or 0)
        live.update(
            live.task_ids[0],
            description=self._step,
            total=operation.count.total,
            completed=done,
            rate=f"{_rate(operation)}/s" if done else "",
        )

    def _show_line(self, operation: Operation, step: str) -> None:
        moment = time.monotonic()
        is_new = step and step != self._printed
        if is_new or moment - self._last_line > 5:
            self._printed, self._last_line = step, moment
            done = (operation.count.completed or 0) + (operation.count.error or 0)
            count = (
                f", {done:,} of {operation.count.total:,} records" if done and operation.count.total else ""
            )
            _remark(f"{self._step or 'starting'}{count}")


def _live() -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    live = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    live.add_task("starting", total=None, rate="")
    return live


def _rate(operation: Operation) -> str:
    done = (operation.count.completed or 0) + (operation.count.error or 0)
    return f"{done / operation.seconds:,.0f}" if operation.seconds else ""


def print_report(
    found: dict[str, Any],
    problems: Iterable[Problem],
    every: Iterable[Problem] | None,
    operation: Operation,
    dry_run: bool,
) -> None:
    """Print the counts as a table, the problems by kind and cause, and where wanted every problem."""
    if operation.status == Status.FAILED:
        complain(operation.error or "The import failed.")
    title = {Status.DONE: "done", Status.FAILED: "failed", Status.CANCELLED: "cancelled"}.get(
        operation.status, operation.status.value
    )
    dry = " (dry run: nothing was written)" if dry_run else ", paused" if found["paused"] else ""
    say(f"Operation {operation.id}: {title}{dry}")
    if found["waitingFor"]:
        say(f"It waits, and goes on by itself: {found['waitingFor']}")
    rows = [["", *_OUTCOMES]]
    rows += [
        [kind, *(f"{found[kind][outcome]:,}" for outcome in _OUTCOMES)]
        for kind in _KINDS
        if found[kind]["read"]
    ]
    first, *widths = (max(map(len, column)) for column in zip(*rows, strict=True))
    for kind, *numbers in rows:
        cells = (number.rjust(width) for number, width in zip(numbers, widths, strict=True))
        say("  ".join((kind.ljust(first), *cells)))
    say(
        f"{found['seconds']:,.1f} seconds, {found['messagesPerSecond']:,.0f} messages per second, "
        f"{found['peakMemoryMiB']:,.0f} MiB of memory at most"
    )
    if print_problems(problems):
        again = "the same command with" if dry_run else f"chatferry report {operation.id}"
        say("Every problem:" if every is not None else f"\nEvery problem: {again} --all")
    for problem in every or ():
        say(f"{problem.kind}{_line(problem)}")


def print_problems(problems: Iterable[Problem]) -> bool:
    """Print the problems by kind, with the largest causes of each; return whether there are any."""
    found = causes(problems, SHOWN_PER_KIND)
    for kind, group in groupby(found, lambda cause: cause.kind):
        of_kind = list(group)
        records = sum(cause.count for cause in of_kind)
        effect, remedy = of_kind[0].effect, of_kind[0].remedy
        typer.echo(f"\n{typer.style(kind, bold=True)}: {records:,} {effect}. {_harmless(remedy)}")
        for cause in of_kind:
            say(_line(cause))
    return bool(found)


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
        f"  {found.messages:,} messages, {found.threads:,} threads, {found.reactions:,} reactions",
        f"  {found.files:,} files of {found.file_bytes / 1_000_000:,.1f} MB",
        f"  {found.left_out:,} messages would be left out",
    )
    for line in lines:
        say(line)
    if found.contacts:
        say(f"  {found.contacts:,} contacts")
    print_problems(found.problems)
