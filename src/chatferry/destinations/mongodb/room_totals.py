"""Totals of rooms: how many messages and users each has, and which message is its last.

It is counted ahead, outside of transactions: a transaction that counts long is in everybody's way, and ends
for every message that anybody writes meanwhile. In the transaction only those rooms are counted again that
have changed since.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from pymongo.client_session import ClientSession

from chatferry.destinations.mongodb.bson_documents import encoded
from chatferry.destinations.mongodb.server import Row, Server
from chatferry.destinations.rules import shown, totals
from chatferry.destinations.slices import slices
from chatferry.documents import MESSAGES, ROOMS, SUBSCRIPTIONS, Update

_ROOMS_AT_ONCE = 200  # in one transaction
_SCANNED_AT_ONCE = 50_000  # rooms that are counted in one scan of all messages
_STATE = {"msgs": 1, "usersCount": 1, "lm": 1, "_updatedAt": 1}
"""The fields of a room that change when somebody writes in it, joins it or leaves it."""
_SHOWN: list[Row] = [
    {"$eq": [{"$type": "$ts"}, "date"]},
    {"$ne": ["$_hidden", True]},
    {"$or": [{"$eq": [{"$type": "$tmid"}, "missing"]}, {"$eq": ["$tshow", True]}]},
]
"""The messages that their room itself shows: see `rules.shown`."""
_UNUSABLE = ("partialFilterExpression", "sparse", "collation", "hidden")  # options of an index


class Counted(Struct, frozen=True):
    """The counts of a room.

    state   the room before it was counted
    newest  the `_id` of its last message
    """

    state: bytes
    messages: int
    users: int
    newest: Any = None


class RoomTotals:
    """Counts the messages and users of rooms."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._database = server.database

    def ahead(self, room_ids: Collection[str]) -> Iterator[dict[str, Counted]]:
        """Yield the counts of existing rooms, for as many rooms at a time as one transaction takes."""
        is_indexed = self._server.patiently(self._is_indexed)
        for some in slices(dict.fromkeys(room_ids), _ROOMS_AT_ONCE if is_indexed else _SCANNED_AT_ONCE):
            counted = self._server.patiently(self._by_index if is_indexed else self._by_scan, some)
            for few in slices(counted, _ROOMS_AT_ONCE):
                yield {id_: counted[id_] for id_ in few}

    def updates(self, counted: Mapping[str, Counted], session: ClientSession) -> list[Update]:
        """Return updates of the rooms, from `counted` if that is still true, and counted again if not."""
        states = self._states(counted, session)
        last = self._last(counted, session)
        stale = [
            id_
            for id_, state in states.items()
            if state != counted[id_].state or (counted[id_].newest is not None and id_ not in last)
        ]
        if stale:
            again = self._by_index(stale, session)
            counted = {**counted, **again}
            last = {**last, **dict.fromkeys(stale), **self._last(again, session)}
        return [
            totals(id_, one.messages, one.users, last.get(id_))
            for id_, one in counted.items()
            if id_ in states
        ]

    # ------------------------------------------------------------ counting

    def _by_index(self, room_ids: Sequence[str], session: ClientSession | None = None) -> dict[str, Counted]:
        states = self._states(room_ids, session)
        existing = list(states)
        messages = {row["_id"]: row["count"] for row in self._counts(MESSAGES, existing, {}, session)}
        return self._counted(states, messages, self._newest(existing, session), session)

    def _by_scan(self, room_ids: Sequence[str]) -> dict[str, Counted]:
        """Count by one scan of all messages: without an index each room would take a scan."""
        states = self._states(room_ids)
        place = {"$cond": [{"$and": _SHOWN}, {"ts": "$ts", "_id": "$_id"}, None]}
        messages, newest = {}, {}
        for row in self._counts(MESSAGES, list(states), {"newest": {"$max": place}}):
            messages[row["_id"]] = row["count"]
            if row["newest"]:
                newest[row["_id"]] = row["newest"]["_id"]
        return self._counted(states, messages, newest)

    def _counted(
        self,
        states: Mapping[str, bytes],
        messages: Mapping[str, int],
        newest: Mapping[str, Any],
        session: ClientSession | None = None,
    ) -> dict[str, Counted]:
        rows = self._counts(SUBSCRIPTIONS, list(states), {}, session)
        users = {row["_id"]: row["count"] for row in rows}
        return {
            id_: Counted(state, messages.get(id_, 0), users.get(id_, 0), newest.get(id_))
            for id_, state in states.items()
        }

    def _counts(
        self, collection: str, room_ids: list[str], more: Row, session: ClientSession | None = None
    ) -> Iterator[Row]:
        steps: list[Row] = [
            {"$match": {"rid": {"$in": room_ids}}},
            {"$group": {"_id": "$rid", "count": {"$sum": 1}, **more}},
        ]
        yield from self._database[collection].aggregate(steps, session=session, allowDiskUse=True)

    def _newest(self, room_ids: list[str], session: ClientSession | None) -> dict[str, Any]:
        """Return the `_id` of each room's last message; of messages of one time, the greatest."""
        in_room = {"$expr": {"$and": [{"$eq": ["$rid", "$$room"]}, *_SHOWN]}}
        last = [{"$match": in_room}, {"$sort": {"ts": -1}}, {"$limit": 1}, {"$project": {"ts": 1}}]
        steps: list[Row] = [
            {"$match": {"_id": {"$in": room_ids}}},
            {"$project": {"_id": 1}},
            {"$lookup": {"from": MESSAGES, "let": {"room": "$_id"}, "pipeline": last, "as": "last"}},
        ]
        rooms = self._database[ROOMS].aggregate(steps, session=session)
        moments = [{"rid": room["_id"], "ts": room["last"][0]["ts"]} for room in rooms if room["last"]]
        if not moments:
            return {}
        fields = {"rid": 1, "ts": 1, "tmid": 1, "tshow": 1, "_hidden": 1}
        same_time = self._database[MESSAGES].find({"$or": moments}, fields, session=session)
        ascending = sorted(filter(shown, same_time), key=lambda message: str(message["_id"]))
        return {message["rid"]: message["_id"] for message in ascending}

    # ------------------------------------------------------------ reading

    def _states(self, room_ids: Collection[str], session: ClientSession | None = None) -> dict[str, bytes]:
        rooms = self._database[ROOMS].find({"_id": {"$in": list(room_ids)}}, _STATE, session=session)
        return {room["_id"]: encoded(room) for room in rooms}

    def _last(self, counted: Mapping[str, Counted], session: ClientSession) -> dict[str, Row | None]:
        """Return the last messages, by room, if they still exist and are shown."""
        wanted = {
            (id_, str(one.newest)): one.newest for id_, one in counted.items() if one.newest is not None
        }
        found = self._database[MESSAGES].find({"_id": {"$in": list(wanted.values())}}, session=session)
        return {
            message["rid"]: message
            for message in found
            if shown(message) and (message.get("rid"), str(message["_id"])) in wanted
        }

    def _is_indexed(self) -> bool:
        """Return whether an index leads to the messages of a room."""
        found = self._database[MESSAGES].index_information().values()
        return any(
            index["key"][0][0] == "rid" and not any(option in index for option in _UNUSABLE)
            for index in found
        )
