"""Adding values to lists of documents, without a transaction.

Inside one, each update of an indexed field costs the server (6.0) some 2 ms for an account, as it reads its
catalogue again for each of thirty indexes; outside it costs a tenth of that.
"""

from collections.abc import Iterator, Sequence
from typing import Any, TypeGuard

from bson.datetime_ms import DatetimeMS
from pymongo import UpdateOne
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError

from chatferry.destinations.mongodb.server import Row, refused_documents
from chatferry.destinations.slices import is_possible, slices
from chatferry.documents import MESSAGES, Change, Update


def only_add(changes: Sequence[Change]) -> TypeGuard[Sequence[Update]]:
    """Return whether all changes only add strings to top-level lists of documents of one collection.

    Such changes do no harm if they are made in part, or twice.
    """
    return len({change.collection for change in changes}) == 1 and all(map(_only_adds, changes))


def _only_adds(change: Change) -> bool:
    if not isinstance(change, Update) or change.set or change.unset or change.pull or change.digest:
        return False
    return change.collection != MESSAGES and all(
        "." not in path and all(isinstance(value, str) and is_possible(value) for value in values)
        for path, values in change.add.items()
    )


def add(collection: Collection[Row], updates: Sequence[Update], now: int) -> bool:
    """Make changes that only add. Return False if some cannot be made: a transaction tells which, and why."""
    stored: dict[str, Row] = {}
    fields = dict.fromkeys((path for update in updates for path in update.add), 1)
    for some in slices(update.id for update in updates):
        stored |= {row["_id"]: row for row in collection.find({"_id": {"$in": some}}, fields)}
    for update in updates:
        document = stored.get(update.id)
        if document is None or not all(isinstance(document.get(path, []), list) for path in update.add):
            return False
    requests = list(_requests(stored, updates, now))
    try:
        if requests:
            collection.bulk_write(requests, ordered=False)
    except BulkWriteError as error:
        refused_documents(error)
        return False
    return True


def _requests(stored: dict[str, Row], updates: Sequence[Update], now: int) -> Iterator[UpdateOne]:
    for update in updates:
        lacking = {
            path: _lacking(stored[update.id].get(path, []), values) for path, values in update.add.items()
        }
        added = {path: {"$each": values} for path, values in lacking.items() if values}
        if added:
            written = {"_updatedAt": DatetimeMS(now)}
            yield UpdateOne({"_id": update.id}, {"$addToSet": added, "$set": written})


def _lacking(there: list[Any], values: Sequence[str]) -> list[str]:
    known = {value for value in there if isinstance(value, str)}  # a list may hold what cannot be in a set
    return [value for value in values if value not in known]
