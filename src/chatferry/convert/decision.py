"""The decision about a record that is not a message."""

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from chatferry.documents import Change, Document, Insert, Update
from chatferry.records import Outcome, Problem


class Decision(Struct, frozen=True, kw_only=True):
    """What to do with a record. `id` and `name` are those of its document in the destination."""

    outcome: Outcome
    id: str = ""
    name: str = ""
    changes: tuple[Change, ...] = ()
    problems: tuple[Problem, ...] = ()


def changed_documents(
    changes: Iterable[Change], collection: str, known: Mapping[str, Document]
) -> Iterator[Document]:
    """Yield the new documents of a collection, and the known ones, by `_id`, as updates leave them."""
    for change in changes:
        if change.collection != collection:
            continue
        if isinstance(change, Insert):
            yield change.document
        elif change.id in known:
            yield updated(known[change.id], change)


def updated(document: Document, update: Update) -> Document:
    """Return a document as an update leaves it, as far as later records of the batch need it."""
    changed = {**document, **update.set}
    for key, values in update.add.items():
        before = list(changed.get(key, ()))
        changed[key] = list(dict.fromkeys((*before, *values)))
    return changed
