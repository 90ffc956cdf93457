"""The channels of an archive and who is in them. Done a second time it goes on where it stopped."""

from collections.abc import Iterable, Iterator

from chatferry.clock import now
from chatferry.convert import MappedRoom, MappedUser
from chatferry.convert import rooms as convert_rooms
from chatferry.convert.names import SETTINGS as NAME_SETTINGS
from chatferry.convert.names import room_names
from chatferry.destinations import Destination, Lookup
from chatferry.documents import Date, Document
from chatferry.errors import CancelledError
from chatferry.operations import DIRECT_MESSAGES
from chatferry.origins import Links
from chatferry.pipeline.apply import RecordContext, absence_of, carry_out, mapped_user, not_selected
from chatferry.pipeline.linking import is_administrator
from chatferry.pipeline.users import USER_BATCH
from chatferry.records import ROCKET_CAT, Channel, User
from chatferry.store.staging import Staged, batches

Entered = dict[str, list[str]]
"""The ids of users, and of the channels and groups that they are in."""

ROOM_BATCH, MEMBER_BATCH = 500, 10_000
"""Rooms that are imported at once, and their members: some rooms may have everybody."""


def import_channels(context: RecordContext, users: dict[str, MappedUser]) -> None:
    starter = context.destination.find(Lookup.USER_ID, [context.starter])
    policy = convert_rooms.RoomPolicy(
        origin=context.origins.own,
        archive_ids=context.store.staging.import_ids(context.operation.id, "channel"),
        users=users,
        lists_users=_lists_users(context),
        starter=mapped_user(starter[0]) if starter else users[ROCKET_CAT],
        may_add=is_administrator(context.destination, context.starter),
        names=room_names(context.destination.settings(NAME_SETTINGS)),
    )
    entered = _entered_before(context)
    try:
        for batch in _room_batches(
            context.store.staging.records(context.operation.id, "channel", undecided=True)
        ):
            context.check()
            _import_rooms(context, policy, batch, entered)
    except CancelledError:  # what was imported is to be whole
        _list_rooms(context, entered)
        raise
    _list_rooms(context, entered)


def _lists_users(context: RecordContext) -> bool:
    """Return whether the archive names any user beyond those whom placeholders stand for."""
    staged = context.store.staging.records(context.operation.id, "user")
    return any(isinstance(one.record, User) and not one.record.placeholder for one in staged)


def _room_batches(channels: Iterable[Staged]) -> Iterator[list[Staged]]:
    batch: list[Staged] = []
    members = 0
    for staged in channels:
        batch.append(staged)
        members += len(staged.record.members) if isinstance(staged.record, Channel) else 0
        if len(batch) >= ROOM_BATCH or members >= MEMBER_BATCH:
            yield batch
            batch, members = [], 0
    if batch:
        yield batch


def _import_rooms(
    context: RecordContext, policy: convert_rooms.RoomPolicy, batch: list[Staged], entered: Entered
) -> None:
    records = [staged.record for staged in batch if isinstance(staged.record, Channel)]
    links = context.links("channel", [record.id for record in records])
    rooms = list(_room_documents(records, policy, links, context.destination))
    inside = context.destination.find(Lookup.SUBSCRIPTION_ROOM, {room["_id"] for room in rooms})
    known = convert_rooms.RoomIndex(rooms, inside, links)
    moment = Date.at(now())
    decisions = []
    for record in records:
        if record.id in context.operation.selection.channels or (
            record.type == "d" and DIRECT_MESSAGES in context.operation.selection.channels
        ):
            decision = convert_rooms.decide_room(record, known, policy, moment)
        else:
            decision = not_selected("channel", record, record.name, None)
        known.take(decision.changes)
        decisions.append(decision)
    for result in carry_out(context, "channel", batch, decisions):
        for user_id in known.people(result.document_id):
            entered.setdefault(user_id, []).append(result.document_id)


def _entered_before(context: RecordContext) -> Entered:
    """Return who is in the channels and groups that this operation brought before it was interrupted."""
    entered: Entered = {}
    decided = (one for one in context.store.staging.records(context.operation.id, "channel") if one.outcome)
    for batch in batches(decided, ROOM_BATCH):
        ids = {one.document_id: one.number for one in batch if one.document_id}
        found = context.destination.find(Lookup.SUBSCRIPTION_ROOM, ids)
        for subscription in sorted(found, key=lambda one: ids[one["rid"]]):
            if subscription["t"] != "d":
                entered.setdefault(subscription["u"]["_id"], []).append(subscription["rid"])
    return entered


def _list_rooms(context: RecordContext, entered: Entered) -> None:
    """List on each user the rooms that the user is in: all rooms at once, as people are in many."""
    for ids in batches(entered, USER_BATCH):
        users = context.destination.find(Lookup.USER_ID, ids)
        updates = [convert_rooms.list_rooms(user, entered[user["_id"]]) for user in users]
        if changes := [update for update in updates if update is not None]:
            context.destination.apply(changes)


def _room_documents(
    records: list[Channel], policy: convert_rooms.RoomPolicy, links: Links, destination: Destination
) -> Iterator[Document]:
    ids = [convert_rooms.new_id(record, policy) for record in records]
    ids += [id for id in (links.get(record.id) for record in records) if id]
    # Everybody is in the general room: it is looked up, and with it its people, where it is asked for.
    general = [convert_rooms.GENERAL] if any(record.general for record in records) else []
    yield from destination.find(Lookup.ROOM_ID, [*ids, *general])
    named = [record for record in records if record.type != "d" or record.name]
    wishes = [name for record in named for name in convert_rooms.name_wishes(record, policy.names)]
    yield from destination.find(Lookup.ROOM_NAME, wishes)
    keys = [
        convert_rooms.members_key(
            user.id for user in map(policy.users.get, record.members) if user is not None and not user.absent
        )
        for record in records
        if record.type == "d"
    ]
    yield from destination.find(Lookup.ROOM_MEMBERS, keys)


def mapped_rooms(context: RecordContext) -> dict[str, MappedRoom]:
    rooms: dict[str, MappedRoom] = {}
    for staged in context.store.staging.records(context.operation.id, "channel"):
        if staged.document_id:
            rooms[staged.record.id] = MappedRoom(staged.document_id, staged.name)
        else:
            rooms[staged.record.id] = MappedRoom("", staged.record.name, absent=absence_of(staged))
    return rooms
