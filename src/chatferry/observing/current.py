"""The call that is being answered. Commands load this module too, so it imports no server."""

from contextvars import ContextVar

from msgspec import Struct


class CallRecord(Struct):
    """A call. `endpoint`: its path in the table of endpoints, "" if it has none; `user`: an id."""

    id: str
    address: str
    method: str
    endpoint: str = ""
    user: str = ""


CURRENT: ContextVar[CallRecord | None] = ContextVar("call", default=None)
"""The call that this code answers, in threads too; None outside of calls."""


def note_endpoint(path: str) -> None:
    """Record the endpoint of the current call."""
    if call := CURRENT.get():
        call.endpoint = path


def note_user(user_id: str) -> None:
    """Record the user of the current call."""
    if call := CURRENT.get():
        call.user = user_id
