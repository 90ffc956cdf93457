"""Where an operation stands, in words for people."""

from msgspec import Struct

from chatferry.operations import (
    AT_REST,
    ENDS,
    Status,
    Summary,
    ended_records,
    has_begun,
    is_importing,
)

STEPS = {
    Status.NEW: "waiting for users",
    Status.UPLOADING: "waiting for the rest of its file",
    Status.DOWNLOADING: "downloading the export",
    Status.FILE_LOADED: "about to read the export",
    Status.PREPARING: "opening the export",
    Status.PREPARING_USERS: "reading users",
    Status.PREPARING_CONTACTS: "reading contacts",
    Status.PREPARING_CHANNELS: "reading rooms",
    Status.PREPARING_MESSAGES: "reading messages",
    Status.SELECTION: "waiting for a choice of users and rooms",
    Status.IMPORTING: "about to import",
    Status.IMPORTING_USERS: "importing users",
    Status.IMPORTING_CONTACTS: "importing contacts",
    Status.IMPORTING_CHANNELS: "importing rooms",
    Status.IMPORTING_MESSAGES: "importing messages",
    Status.IMPORTING_FILES: "fetching files",
    Status.FINISHING: "finishing",
    Status.DONE: "done",
    Status.FAILED: "failed",
    Status.CANCELLED: "cancelled",
}
"""What is being done at each status."""


class Circumstances(Struct, frozen=True, kw_only=True):
    """What an operation does not know of itself.

    is_paused     whether somebody paused it
    is_worked_on  whether a process works in its data directory
    successor     the id of the operation that took its place; "" for none
    """

    is_paused: bool = False
    is_worked_on: bool = False
    successor: str = ""


def state_in_words(operation: Summary, around: Circumstances) -> str:
    """Return where an operation stands: `running here: importing messages`, `stopped`, `done, 5 failed`."""
    if operation.status == Status.DONE:
        failed = operation.count.error
        return f"done, {failed:,} failed" if failed else "done"
    if operation.status in ENDS:
        return STEPS[operation.status]
    if not operation.valid:
        return f"replaced by {around.successor}" if around.successor else "cancelled"
    if operation.status in AT_REST or operation.status == Status.UPLOADING:
        return STEPS[operation.status]
    if not around.is_worked_on:
        return f"stopped while {STEPS[operation.status]}{_progress(operation)}"
    if around.is_paused:
        return f"paused while {STEPS[operation.status]}{_progress(operation)}"
    if operation.waiting_for:
        return f"waiting: {operation.waiting_for}"
    return f"running here: {STEPS[operation.status]}{_progress(operation)}"


def _progress(operation: Summary) -> str:
    if not (has_begun(operation.status) and is_importing(operation.status) and operation.count.total):
        return ""
    return f", {ended_records(operation):,} of {operation.count.total:,}"
