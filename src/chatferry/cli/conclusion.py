"""How a command ends: what it prints, and its exit code."""

import json
import sys
from typing import Any

from msgspec import Struct

from chatferry.cli import report_text, terminal
from chatferry.destinations import Destination
from chatferry.errors import ChatferryError, DestinationError, OperationError, OriginError, SettingsError
from chatferry.operations import Operation, Status
from chatferry.records import Channel
from chatferry.reports import operation as report
from chatferry.reports.destination import NO_DESTINATION, destination_of
from chatferry.reports.remaining import remaining
from chatferry.reports.states import Circumstances, state_in_words
from chatferry.reports.verdict import Ending, Remaining
from chatferry.settings import Settings
from chatferry.store import Store

DONE, FAILED, USAGE, PARTLY, AWAY = 0, 1, 2, 3, 4
INTERRUPTED = 130  # by Ctrl-C, as Typer has it

HERE = Circumstances(is_worked_on=True)
"""Of an operation on which this process works."""


class Printing(Struct, frozen=True):
    """How a report is printed: as JSON, with every problem, or only its verdict."""

    as_json: bool = False
    is_long: bool = False
    is_short: bool = False


def conclude(
    operation: Operation,
    store: Store,
    settings: Settings,
    printing: Printing,
    workspace: Destination | None = None,
    around: Circumstances = HERE,
) -> int:
    """Print the report about an operation; return the exit code.

    Without the workspace nobody looks for avatars that are to be fetched. `around` is what the operation does
    not know of itself.
    """
    if operation.error and (printing.as_json or not sys.stdout.isatty()):  # the verdict says it on a terminal
        terminal.complain(operation.error)
    if printing.as_json:
        terminal.print_raw(report.as_text(operation, store, printing.is_long))
        return exit_code(operation, report.counts(operation, store))
    ending = _ending(operation, store, settings, workspace)
    if printing.is_short:
        report_text.print_verdict(ending)
    else:
        again = f"chatferry report {operation.id}" + (f" --data {settings.data}" if ending.is_dry else "")
        report_text.print_report(
            ending,
            store.problems.all(operation.id),
            state_in_words(operation, around),
            "" if printing.is_long else again,
        )
    return exit_code(operation, ending.counts)


def _ending(operation: Operation, store: Store, settings: Settings, workspace: Destination | None) -> Ending:
    rooms, fullest = store.parts.rooms(operation.id)
    binding = store.binding.get()
    is_dry = binding is not None and binding.url == NO_DESTINATION
    is_done = operation.status == Status.DONE
    return Ending(
        operation=operation,
        counts=report.counts(operation, store),
        destination=destination_of(store, settings.data),
        rooms=(rooms, _room_name(fullest, operation, store)),
        remaining=_remaining(operation, store, workspace) if is_done and not is_dry else None,
        is_dry=is_dry,
    )


def _remaining(operation: Operation, store: Store, workspace: Destination | None) -> Remaining:
    try:
        return remaining(operation, store, workspace)
    except DestinationError:  # it went away after the last message; `chatferry files` finds the avatars
        return remaining(operation, store, None)


def _room_name(id: str, operation: Operation, store: Store) -> str:
    """Return the name of a channel; "" for a direct conversation, or once nobody knows it any more."""
    for staged in store.staging.records(operation.id, "channel") if id else ():
        if isinstance(staged.record, Channel) and staged.record.id == id:
            return "" if staged.record.type == "d" else staged.record.name
    return ""


def exit_code(operation: Operation, found: dict[str, Any]) -> int:
    """Return how a command about an operation ends, which has the counts of `found`."""
    if operation.status != Status.DONE:
        return AWAY if operation.waiting_for else FAILED
    kinds = ("users", "contacts", "rooms", "messages", "files")
    return PARTLY if any(found[kind]["failed"] for kind in kinds) else DONE


def worst(*codes: int) -> int:
    """Return the exit code of a command that does several things, given the code of each."""
    return max(codes, key=(DONE, PARTLY, FAILED, AWAY).index)


def print_json(value: object) -> None:
    """Print a value as JSON for people and programs."""
    terminal.print_raw([json.dumps(value, ensure_ascii=False, indent=2) + "\n"])


def exit_code_of(error: ChatferryError) -> int:
    """Return how a command ends that raised an error."""
    if isinstance(error, DestinationError):
        return AWAY
    return USAGE if isinstance(error, SettingsError | OriginError | OperationError) else FAILED
