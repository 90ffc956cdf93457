"""Conversion: a record, and what is known, give changes. Pure: no clock, no chance, no database."""

from msgspec import Struct

from chatferry.documents import Change, Document, Update
from chatferry.records import Outcome, Problem


class KnownUser(Struct, frozen=True):
    """The account that stands for a user of the archive.

    `absent` says why there is none: "not selected" or "failed"; then `username` is the archive's.
    """

    id: str
    username: str
    name: str = ""
    active: bool = True
    absent: str = ""


class KnownRoom(Struct, frozen=True):
    """The room that stands for a channel of the archive; `absent` as for users."""

    id: str
    name: str
    absent: str = ""


class Known(Struct, frozen=True):
    """Import ids and what they stand for."""

    users: dict[str, KnownUser]
    rooms: dict[str, KnownRoom]


def updated(document: Document, update: Update) -> Document:
    """The document as an update will leave it, as far as later records of the same batch need to know."""
    changed = {**document, **update.set}
    for key, values in update.add.items():
        before = list(changed.get(key, ()))
        changed[key] = before + [value for value in values if value not in before]
    return changed


class Decision(Struct, frozen=True, kw_only=True):
    """What becomes of a record: its outcome, the changes that bring it about, and what was not taken over.

    `id` and `name` are those of the document that now stands for the record.
    """

    outcome: Outcome
    id: str = ""
    name: str = ""
    changes: tuple[Change, ...] = ()
    problems: tuple[Problem, ...] = ()
