"""How a command ends: the report it prints, and its exit code."""

import json
from typing import Any

from chatferry.cli import terminal
from chatferry.errors import ChatferryError, DestinationError, OperationError, OriginError, SettingsError
from chatferry.operations import (
    Operation,
    Status,
)
from chatferry.reports import operation as report
from chatferry.store import Store

DONE, FAILED, USAGE, PARTLY, AWAY = 0, 1, 2, 3, 4
INTERRUPTED = 130  # by Ctrl-C, as Typer has it


def conclude(operation: Operation, store: Store, as_json: bool, every: bool, dry_run: bool) -> int:
    found = report.counts(operation, store)
    if as_json:
        terminal.print_raw(report.as_text(operation, store, every))
        if operation.error:
            terminal.complain(operation.error)
    else:
        print_report(found, operation, store, every, dry_run)
    return exit_code(operation, found)


def print_report(
    found: dict[str, Any], operation: Operation, store: Store, every: bool, dry_run: bool
) -> None:
    listed = store.problems.all(operation.id) if every else None
    terminal.print_report(found, store.problems.all(operation.id), listed, operation, dry_run)


def exit_code(operation: Operation, found: dict[str, Any]) -> int:
    if operation.status != Status.DONE:
        return AWAY if operation.waiting_for else FAILED
    kinds = ("users", "contacts", "rooms", "messages", "files")
    return PARTLY if any(found[kind]["failed"] for kind in kinds) else DONE


def print_json(value: object) -> None:
    terminal.print_raw([json.dumps(value, ensure_ascii=False, indent=2) + "\n"])


def exit_code_of(error: ChatferryError) -> int:
    if isinstance(error, DestinationError):
        return AWAY
    return USAGE if isinstance(error, SettingsError | OriginError | OperationError) else FAILED
