"""Operations: one import from upload to done, and which step may follow which. Pure.

Statuses and states are Rocket.Chat's own (`IImport.status`, `import.status`).
"""

from enum import StrEnum
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace


class Status(StrEnum):
    """In the order of the work."""

    NEW = "importer_new"
    UPLOADING = "importer_uploading"
    DOWNLOADING = "importer_downloading_file"
    FILE_LOADED = "importer_file_loaded"
    PREPARING = "importer_preparing_started"
    PREPARING_USERS = "importer_preparing_users"
    PREPARING_CONTACTS = "importer_preparing_contacts"
    PREPARING_CHANNELS = "importer_preparing_channels"
    PREPARING_MESSAGES = "importer_preparing_messages"
    SELECTION = "importer_user_selection"
    IMPORTING = "importer_importing_started"
    IMPORTING_USERS = "importer_importing_users"
    IMPORTING_CONTACTS = "importer_importing_contacts"
    IMPORTING_CHANNELS = "importer_importing_channels"
    IMPORTING_MESSAGES = "importer_importing_messages"
    IMPORTING_FILES = "importer_importing_files"
    FINISHING = "importer_finishing"
    DONE = "importer_done"
    FAILED = "importer_import_failed"
    CANCELLED = "importer_import_cancelled"


State = Literal["none", "new", "loading", "ready", "importing", "done", "error", "canceled"]

_ORDER = list(Status)
_WAITING = frozenset(_ORDER[: _ORDER.index(Status.SELECTION)])
_IMPORTING = frozenset(_ORDER[_ORDER.index(Status.IMPORTING) : _ORDER.index(Status.DONE)])
ENDS = frozenset({Status.DONE, Status.FAILED, Status.CANCELLED})
AT_REST = frozenset({Status.NEW, Status.SELECTION})
"""Where an operation waits for somebody to go on with it."""

FAILED_KEPT = 7 * 24 * 60 * 60 * 1000
"""For how long the archive of an operation that failed is kept, in ms."""


class Guests(StrEnum):
    """What becomes of the source's guests: users, users with Rocket.Chat's role `guest`, or placeholders."""

    USER = "user"
    GUEST = "guest"
    SKIP = "skip"


class Counts(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Rocket.Chat's counters; None until they are known."""

    total: int | None = None
    completed: int | None = None
    error: int | None = None
    users: int | None = None
    channels: int | None = None
    messages: int | None = None
    contacts: int | None = None


class Choice(Struct, frozen=True):
    """Which records of a type to import: all, or those whose import id is listed."""

    all: bool = False
    list: frozenset[str] = frozenset()

    def __contains__(self, import_id: str) -> bool:
        return self.all or import_id in self.list


DIRECT_MESSAGES = "__directMessages__"
"""What stands for all direct conversations where channels are chosen."""

NONE, EVERYTHING = Choice(), Choice(all=True)


class Selection(Struct, frozen=True):
    users: Choice = NONE
    channels: Choice = NONE
    contacts: Choice = NONE


class Summary(Struct, frozen=True, kw_only=True):
    """An operation without its selection, which may name very many records.

    `ts` and `updated_at` in milliseconds; `archive` is where the archive lies: a path on this machine, or
    a URL that the operator gave. `fingerprint` is what it had when it was prepared.

    `url` is where the archive is fetched from; it may hold a secret and is never shown.
    `error` says, for people, why an operation failed, `failed_at` where it stood then; `waiting_for` says
    what the work on it waits for: something that is away, or room on a disk. `file`, `content_type` are the
    upload's.
    `origin` is the name of the workspace that the archive comes from: as a person gave it or, once the import
    has begun, as it was settled; `stated_origin` is what the archive says of it.
    `only_new`: accounts that exist are left alone, and new ones join no default room (`import.run`).
    `rewrite`: messages that people have edited are overwritten too. `guests`: what becomes of guests.
    `user` began it; `starter` (once it is set) then started the import, in which no role is given that this
    user may not grant.
    `seconds` is the time worked on it so far, `peak_memory` the most memory the process held meanwhile (MiB).
    """

    id: str
    type: str
    importer_key: str
    ts: int
    status: Status
    valid: bool
    user: str
    updated_at: int
    file: str | None = None
    content_type: str | None = None
    count: Counts = Counts()
    archive: str = ""
    fingerprint: str = ""
    url: str = ""
    origin: str = ""
    stated_origin: str = ""
    only_new: bool = False
    rewrite: bool = False
    guests: Guests = Guests.USER
    starter: str = ""
    error: str = ""
    failed_at: Status | None = None
    waiting_for: str = ""
    seconds: float = 0.0
    peak_memory: float = 0.0


class Operation(Summary, frozen=True, kw_only=True):
    """One import from upload to done."""

    selection: Selection = Selection()


def state(operation: Summary | None) -> State:
    """The coarse state that `import.status` reports."""
    if operation is None:
        return "none"
    status = operation.status
    if status == Status.DONE:
        return "done"
    if not operation.valid or status == Status.FAILED:
        return "error"
    if status == Status.CANCELLED:
        return "canceled"
    if status == Status.NEW:
        return "new"
    if status in _WAITING:
        return "loading"
    return "importing" if status in _IMPORTING else "ready"


def is_preparing(status: Status) -> bool:
    """Whether the selection is still to come."""
    return status in _WAITING


def is_over(operation: Summary, now: int, is_idle: bool = False, at_once: bool = False) -> bool:
    """Return whether nobody can go on with an operation, so that what was kept for it can go.

    One that failed can be taken up again for a week, unless another took its place or it is to end `at_once`.
    `is_idle`: no operation is being worked on, so that one which is not valid will never be.
    """
    if operation.status == Status.FAILED:
        return at_once or not operation.valid or operation.updated_at + FAILED_KEPT <= now
    if operation.status in ENDS:
        return True
    return not operation.valid and (is_idle or operation.status in AT_REST)


def needs_work(operation: Summary) -> bool:
    """Return whether there is work on it that a crash or a stop may have interrupted.

    There is none while it waits for a person, or for its archive to be uploaded.
    """
    can_be_read = bool(operation.archive) and is_preparing(operation.status)
    return can_be_read or is_importing(operation.status)


def has_begun(status: Status) -> bool:
    """Return whether anything may have been imported or fetched."""
    return not is_preparing(status) and status != Status.SELECTION


def is_importing(status: Status) -> bool:
    return status in _IMPORTING


def may_cancel(operation: Summary) -> bool:
    """Return whether there is anything to take back: it has not ended."""
    return operation.valid and operation.status not in ENDS


def may_pause(operation: Summary) -> bool:
    """Whether there is work on it that can wait: documents or files that are being brought."""
    return operation.valid and is_importing(operation.status)


def ended_records(operation: Summary) -> int:
    """Return how many records have ended: they are imported, left out or failed."""
    return (operation.count.completed or 0) + (operation.count.error or 0)


def place(operation: Summary) -> str:
    """Return how far the work on an operation has come: it is another place once a record more has ended."""
    phase = operation.status.value
    if is_importing(operation.status) and operation.status != Status.IMPORTING_FILES:
        phase = Status.IMPORTING.value  # work that is taken up again begins there
    return f"{phase} {ended_records(operation)}"


def failed(operation: Operation, error: str, now: int) -> Operation:
    """Return the operation as it ends in failure."""
    return replace(advance(operation, Status.FAILED, now), error=error, failed_at=operation.status)


def may_retry(operation: Summary) -> bool:
    """Return whether it failed and can be taken up again where it stood."""
    return operation.valid and operation.status == Status.FAILED


def retried(operation: Operation, now: int) -> Operation:
    """Return a failed operation as it is taken up again."""
    if not may_retry(operation):
        raise ValueError(f"an operation cannot be taken up again from {operation.status}")
    return replace(
        operation,
        status=_retried_at(operation),
        error="",
        failed_at=None,
        waiting_for="",
        updated_at=now,
    )


def _retried_at(operation: Operation) -> Status:
    at = operation.failed_at
    if at is None:  # it failed before that was noted
        at = Status.FILE_LOADED if operation.selection == Selection() else Status.IMPORTING
    if at in (Status.DOWNLOADING, Status.IMPORTING_FILES):
        return at
    return Status.IMPORTING if is_importing(at) else Status.FILE_LOADED


def may_follow(before: Status, after: Status) -> bool:
    """Whether an operation may go from one status to another.

    Steps go forward; any that is no end may fail or be cancelled; a repeated preparation starts over.
    """
    if before in ENDS:
        return False
    if after in (Status.FAILED, Status.CANCELLED):
        return True
    if after == Status.PREPARING:
        return before in _WAITING
    if after == Status.IMPORTING:
        return before == Status.SELECTION or before in _IMPORTING
    if after == Status.DONE:
        return before in (Status.FINISHING, Status.IMPORTING_FILES)
    return _ORDER.index(before) <= _ORDER.index(after)


def advance(operation: Operation, status: Status, now: int) -> Operation:
    """The operation at its next status."""
    if not may_follow(operation.status, status):
        raise ValueError(f"an operation cannot go from {operation.status} to {status}")
    return replace(operation, status=status, updated_at=now)
