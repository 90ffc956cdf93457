"""Queries of MongoDB. Each finds at least the documents of `rules.keys`; its results are filtered by that.

Values are always strings, and always stand where MongoDB takes them literally.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec
from pymongo.collation import Collation

from chatferry.destinations.protocol import Lookup
from chatferry.destinations.rules import fold, keys, looked_up
from chatferry.destinations.slices import slices
from chatferry.documents import ROOMS, SUBSCRIPTIONS, USERS, Document

Query = dict[str, Any]

ANY_CASE = Collation("en", strength=2)
"""What Rocket.Chat's own indexes of usernames and e-mails have."""

COLLATIONS: Mapping[Lookup, Collation] = {Lookup.USERNAME: ANY_CASE, Lookup.USER_EMAIL: ANY_CASE}

_ALTERNATIVES = 200  # alternatives in one query, each of which is looked up by itself


def queries(lookup: Lookup, values: Iterable[str]) -> Iterator[Query]:
    """Yield the queries that together find the documents of a look-up."""
    _, field = lookup.value
    if lookup == Lookup.ROOM_DEFAULT:
        yield {"default": True}
    elif lookup == Lookup.ROOM_NAME:
        for some in slices(values):
            yield {"$or": [{"name": {"$in": some}}, {"fname": {"$in": some}}]}
    elif lookup == Lookup.ROOM_MEMBERS:
        for some in slices(values, _ALTERNATIVES):
            members: list[Query] = [
                {"$all": value.split(",")} if value else {"$in": [None, []]} for value in some
            ]
            yield {"t": "d", "$or": [{"uids": ids} for ids in members]}
    else:
        wanted = chain.from_iterable(map(_spellings, values)) if lookup in COLLATIONS else values
        for some in slices(wanted):
            yield {field: {"$in": some}}


def _spellings(value: str) -> set[str]:
    """Return the value and its spellings that are equal for us but not for MongoDB's collation."""
    folded = fold(value)
    return {value, folded, folded.replace("ss", "ß")}


def is_found(lookup: Lookup, values: Iterable[str]) -> Callable[[Document], bool]:
    """Return a function that tells whether a document belongs to the look-up."""
    collection, field = lookup.value
    wanted = looked_up(lookup, values)
    if field == "_id":
        return lambda document: document.get("_id") in wanted
    found = {(field, value) for value in wanted}
    return lambda document: not found.isdisjoint(keys(collection, document))


# ---------------------------------------------------------------- what only one document may hold


def rivals(field: str, values: Sequence[str]) -> tuple[str, Query, Collation | None]:
    """Return the query for holders of `values` in a unique field (see `rules.UNIQUE`)."""
    if field == "username":
        return USERS, {"username": {"$in": [*chain.from_iterable(map(_spellings, values))]}}, ANY_CASE
    if field == "unique name":
        return ROOMS, {"name": {"$in": list(values)}, "t": {"$in": ["c", "p"]}}, None
    members: dict[str, dict[str, Any]] = {}  # by `rid`, which may be anything
    for rid, user_id in map(msgspec.json.decode, values):
        found = members.setdefault(repr(rid), {"rid": rid, "u._id": {"$in": []}})
        found["u._id"]["$in"].append(user_id)
    return SUBSCRIPTIONS, {"$or": [*members.values()]}, None


RIVAL_FIELDS = {"_id": 1, "username": 1, "name": 1, "t": 1, "rid": 1, "u._id": 1}
