"""Conversion: a record, and what is known, give changes. Pure: no clock, no chance, no database."""

from collections.abc import Mapping
from functools import lru_cache
from typing import TypeVar

from msgspec import Struct

from chatferry.documents import Change, Document, Update
from chatferry.ids import derived_hex, derived_id
from chatferry.records import Outcome, Problem

T = TypeVar("T")


class KnownUser(Struct, frozen=True, gc=False):
    """The account that stands for a user of the archive.

    `absent` says why there is none: "not selected" or "failed"; then `username` is the archive's.
    """

    id: str
    username: str
    name: str = ""
    active: bool = True
    absent: str = ""


class KnownRoom(Struct, frozen=True, gc=False):
    """The room that stands for a channel of the archive; `absent` as for users."""

    id: str
    name: str
    absent: str = ""


class Known(Struct, frozen=True):
    """Import ids and what they stand for. `scope` is that of their origin.

    `rewrite`: messages that people have edited are overwritten too.
    """

    users: dict[str, KnownUser]
    rooms: dict[str, KnownRoom]
    scope: str = ""
    rewrite: bool = False

    def noting(self) -> "Noted":
        """The same, noting what is looked up from now on."""
        return Noted(Noting(self.users), Noting(self.rooms), self.scope)


class Noting(dict[str, T | None]):
    """What import ids stand for, None for ids that nobody has. Holds those that were looked up with `[]`."""

    def __init__(self, known: Mapping[str, T]) -> None:
        self._find = known.get

    def __missing__(self, id: str) -> T | None:
        found = self[id] = self._find(id)
        return found


class Noted(Struct, frozen=True):
    """`Known`, of which it is noted what is looked up."""

    users: Noting[KnownUser]
    rooms: Noting[KnownRoom]
    scope: str = ""


def updated(document: Document, update: Update) -> Document:
    """The document as an update will leave it, as far as later records of the same batch need to know."""
    changed = {**document, **update.set}
    for key, values in update.add.items():
        before = list(changed.get(key, ()))
        changed[key] = list(dict.fromkeys((*before, *values)))
    return changed


def subscription_id(room_id: str, user_id: str) -> str:
    """Those of one room begin alike, so that databases keep what comes together side by side."""
    return _begin_hex(room_id) + derived_hex("subscription", room_id, user_id)[8:]


def direct_subscription_id(room_id: str, user_id: str) -> str:
    """The same in the form that subscriptions of direct rooms have."""
    return _begin(room_id) + derived_id("subscription", room_id, user_id)[5:]


@lru_cache(maxsize=1000)
def _begin_hex(room_id: str) -> str:
    return derived_hex("subscriptions", room_id)[:8]


@lru_cache(maxsize=1000)
def _begin(room_id: str) -> str:
    return derived_id("subscriptions", room_id)[:5]


class Decision(Struct, frozen=True, kw_only=True):
    """What becomes of a record: its outcome, the changes that bring it about, and what was not taken over.

    `id` and `name` are those of the document that now stands for the record.
    """

    outcome: Outcome
    id: str = ""
    name: str = ""
    changes: tuple[Change, ...] = ()
    problems: tuple[Problem, ...] = ()
