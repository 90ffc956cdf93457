"""The call that is being answered. Commands load this too, so it needs no server."""

from contextvars import ContextVar

from msgspec import Struct


class CallRecord(Struct):
    """One call. `endpoint` is its path in the table of endpoints, "" if there is none; `user` an id."""

    id: str
    address: str
    method: str
    endpoint: str = ""
    user: str = ""


CURRENT: ContextVar[CallRecord | None] = ContextVar("call", default=None)
"""The call that this code answers, in threads too; None outside of calls."""


def note_endpoint(path: str) -> None:
    """Note the endpoint that answers the current call."""
    if call := CURRENT.get():
        call.endpoint = path


def note_user(user_id: str) -> None:
    """Note who makes the current call."""
    if call := CURRENT.get():
        call.user = user_id
