"""The states of operations."""

from typing import Protocol

from chatferry.operations import Status

STATES = {
    Status.NEW: "new",
    Status.UPLOADING: "loading",
    Status.DOWNLOADING: "loading",
    Status.FILE_LOADED: "loading",
    Status.PREPARING: "loading",
    Status.PREPARING_USERS: "loading",
    Status.PREPARING_CHANNELS: "loading",
    Status.PREPARING_MESSAGES: "loading",
    Status.PREPARING_CONTACTS: "loading",
    Status.SELECTION: "ready",
    Status.IMPORTING: "importing",
    Status.IMPORTING_USERS: "importing",
    Status.IMPORTING_CHANNELS: "importing",
    Status.IMPORTING_MESSAGES: "importing",
    Status.IMPORTING_CONTACTS: "importing",
    Status.IMPORTING_FILES: "importing",
    Status.FINISHING: "importing",
    Status.DONE: "done",
    Status.FAILED: "error",
    Status.CANCELLED: "canceled",
}


class Stand(Protocol):
    def __call__(self, status: Status, *, valid: bool = True, key: str = "slack") -> None: ...
