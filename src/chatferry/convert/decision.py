"""The decision about a record that is not a message."""

from msgspec import Struct

from chatferry.documents import Change, Document, Update
from chatferry.records import Outcome, Problem


class Decision(Struct, frozen=True, kw_only=True):
    """What to do with a record.

    outcome    what becomes of it
    id, name   of its document in the destination
    changes    to documents
    problems   what was not taken over
    """

    outcome: Outcome
    id: str = ""
    name: str = ""
    changes: tuple[Change, ...] = ()
    problems: tuple[Problem, ...] = ()


def updated(document: Document, update: Update) -> Document:
    """Return a document as an update leaves it, as far as later records of the batch need it."""
    changed = {**document, **update.set}
    for key, values in update.add.items():
        before = list(changed.get(key, ()))
        changed[key] = list(dict.fromkeys((*before, *values)))
    return changed
