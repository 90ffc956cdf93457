"""Rooms and their members: matched by import id, then by name; what was private never becomes public."""

from collections.abc import Collection, Iterable, Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from chatferry.convert.decision import Decision, changed_documents
from chatferry.convert.id_map import MappedUser
from chatferry.convert.names import RoomNames
from chatferry.convert.subscriptions import direct_subscription_id, subscription_id
from chatferry.documents import ROOMS, SUBSCRIPTIONS, USERS, Change, Date, Document, Insert, Update
from chatferry.origins import Links, Origin
from chatferry.problems import NO_PROBLEMS, about, capped
from chatferry.records import ROCKET_CAT, Channel, Outcome, Problem

NAME_TRIES = 9
GENERAL = "GENERAL"
_NOTHING_UNREAD = {"alert": False, "unread": 0, "userMentions": 0, "groupMentions": 0}


class RoomPolicy(Struct, frozen=True, kw_only=True):
    """What holds for all rooms of an operation.

    origin        the workspace that their import ids are unique in
    starter       the account in whose name it runs; owns rooms whose creator is not known
    may_add       whether the starter may add people to private rooms that exist and that it is not in
    max_direct    how many people fit into a direct room (Rocket.Chat's setting DirectMesssage_maxUsers)
    """

    origin: Origin
    archive_ids: frozenset[str]
    users: Mapping[str, MappedUser]
    starter: MappedUser
    may_add: bool
    names: RoomNames = RoomNames()
    max_direct: int = 8
    lists_users: bool = True


class RoomIndex:
    """The rooms that a batch may meet, who is in them, and the links of its channels."""

    def __init__(self, rooms: Iterable[Document], subscriptions: Iterable[Document], links: Links) -> None:
        self.links = links
        self._by_id: dict[str, Document] = {}
        self._by_name: dict[str, Document] = {}
        self._by_members: dict[str, Document] = {}
        self.members: dict[str, dict[str, Document]] = {}
        for room in rooms:
            self.fold(room)
        for subscription in subscriptions:
            self._enter(subscription)

    def take(self, changes: Iterable[Change]) -> None:
        """Apply changes to the rooms of the index."""
        for room in changed_documents(changes, ROOMS, self._by_id):
            self.fold(room)
        for subscription in changed_documents(changes, SUBSCRIPTIONS, {}):
            self._enter(subscription)

    def _enter(self, subscription: Document) -> None:
        self.members.setdefault(subscription["rid"], {})[subscription["u"]["_id"]] = subscription

    def fold(self, room: Document) -> None:
        """Add a room, or replace it."""
        self._by_id[room["_id"]] = room
        if room["t"] == "d":
            self._by_members[members_key(room.get("uids", ()))] = room
        for key in ("fname", "name"):
            if key in room and room["t"] != "d":
                self._by_name[room[key]] = room

    def match(
        self, record: Channel, type_: str, members: Iterable[str], policy: RoomPolicy
    ) -> Document | None:
        own = self._by_id.get(self.links.get(record.id)) or self._by_id.get(new_id(record, policy))
        if own is not None:
            return own
        if type_ == "d":
            candidate = self._by_members.get(members_key(members))
        elif record.general:
            candidate = self._by_id.get(GENERAL)
        elif type_ == "c":
            candidate = self._by_name.get(room_name(record, policy.names)) or self._by_name.get(
                record.name.strip()
            )
        else:  # the same name is no reason to let one private room's people read the other
            candidate = None
        if candidate is None or (candidate["t"] != type_ and not record.general):
            return None
        if type_ == "d":
            return candidate
        # Two channels of one archive stay two rooms, even with one name, and so do those of two workspaces.
        imported = frozenset(candidate.get("importIds", ()))
        is_another = imported & policy.archive_ids or (imported and policy.origin.is_stranger)
        return None if is_another else candidate

    def is_taken(self, name: str) -> bool:
        return name in self._by_name

    def people(self, room_id: str) -> Collection[str]:
        """Return the member ids of a channel or group; none for other rooms."""
        is_direct = self._by_id.get(room_id, {"t": "d"})["t"] == "d"
        return () if is_direct else self.members.get(room_id, {}).keys()


def list_rooms(user: Document, room_ids: Iterable[str]) -> Update | None:
    """Return the update that lists rooms on a user, as Rocket.Chat does; None if they are listed."""
    listed = frozenset(user.get("__rooms", ()))
    missing = tuple(dict.fromkeys(room_id for room_id in room_ids if room_id not in listed))
    return Update(collection=USERS, id=user["_id"], add={"__rooms": missing}) if missing else None


def members_key(user_ids: Iterable[str]) -> str:
    return ",".join(sorted(user_ids))


def new_id(record: Channel, policy: RoomPolicy) -> str:
    """Return the `_id` of the room that is made of a channel."""
    return policy.origin.document_hex("room", record.id)


def room_name(record: Channel, names: RoomNames) -> str:
    """Return the name in characters that the destination allows in one."""
    return names.fitted(record.name.strip()) or record.id


def name_wishes(record: Channel, names: RoomNames) -> list[str]:
    """Return the names that `decide_room` may give to a new room, best first, and the one shown."""
    base = room_name(record, names)
    return [base, *(f"{base}-{number}" for number in range(1, NAME_TRIES + 1)), record.name.strip()]


def decide_room(record: Channel, known: RoomIndex, policy: RoomPolicy, now: Date) -> Decision:
    """Insert a room with its members, or complete the one that matches."""
    members, problems = _members(record, policy)
    if record.type == "d":
        refused = _refused_direct(record, members, policy)
        if refused is not None:
            return refused
    type_ = "p" if record.type == "d" and len(members) > policy.max_direct else record.type
    if type_ != record.type:
        reason = f"{len(members)} people are more than the {policy.max_direct} that a direct room holds"
        problems += (about(record, "channel-too-large", reason, "members"),)
    match = known.match(record, type_, (member.id for member in members), policy)
    case = _Case(record, members, known, policy, now)
    if match is not None:
        decision = _complete(case, match)
    else:
        decision = _new_direct(case) if type_ == "d" else _new_room(case, type_)
    return replace(decision, problems=problems + decision.problems)


class _Case(Struct, frozen=True):
    """A channel to decide about, with the accounts of its members."""

    record: Channel
    members: list[MappedUser]
    known: RoomIndex
    policy: RoomPolicy
    moment: Date


# ---------------------------------------------------------------- members


def _members(record: Channel, policy: RoomPolicy) -> tuple[list[MappedUser], tuple[Problem, ...]]:
    """Return the accounts of the members, each once, without people who were not selected."""
    members: dict[str, MappedUser] = {}
    unknown: list[str] = []
    for import_id in record.members:
        user = policy.users.get(import_id)
        if user is None:
            unknown.append(import_id)
        elif not user.absent and (import_id != ROCKET_CAT or record.type == "d"):
            members[user.id] = user
    return list(members.values()), capped(list(_unknown_members(unknown, record, policy)))


def _unknown_members(import_ids: list[str], record: Channel, policy: RoomPolicy) -> Iterator[Problem]:
    """Yield a problem per unknown member; a single one if the export lists no users."""
    if import_ids and not policy.lists_users:
        reason = "the export lists no users, so members who wrote nothing are not known"
        yield about(record, "unknown-member", reason, "members", count=len(import_ids))
        return
    for import_id in import_ids:
        reason = f"the member {import_id} is not in the export"
        yield about(record, "unknown-member", reason, "members")


def _refused_direct(record: Channel, members: list[MappedUser], policy: RoomPolicy) -> Decision | None:
    """Refuse a direct conversation if a person is missing: it would become a conversation of other people."""
    absent = [user for user in map(policy.users.get, record.members) if user is not None and user.absent]
    outcome, kind = Outcome.FAILED, "direct-without-members"
    if not record.members:
        reason = "the export does not say who takes part in this conversation"
    elif any(user.absent == "failed" for user in absent):
        reason = f"the user {absent[0].username} could not be imported"
    elif absent:
        outcome, kind = Outcome.SKIPPED, "direct-member-not-selected"
        reason = f"the user {absent[0].username} was not selected"
    elif not members:
        reason = "none of its people is in the export"
    else:
        return None
    return Decision(outcome=outcome, problems=(about(record, kind, reason, "members"),))


def _owner(record: Channel, policy: RoomPolicy) -> tuple[MappedUser, tuple[Problem, ...]]:
    creator = policy.users.get(record.creator)
    if creator is not None and not creator.absent:
        return creator, NO_PROBLEMS
    if not record.listed:
        return policy.starter, NO_PROBLEMS
    who = f"the creator {record.creator}" if record.creator else "a creator"
    what = "was not imported" if creator is not None else "is not in the export"
    if record.creator and creator is None and not policy.lists_users:
        who, what = "the export", "lists no users"
    reason = f"{who} {what}; {policy.starter.username}, who started the import, owns the room"
    return policy.starter, (about(record, "unknown-creator", reason, "creator"),)


# ---------------------------------------------------------------- new rooms


def _new_room(case: _Case, type_: str) -> Decision:
    record, members, policy, now = case.record, case.members, case.policy, case.moment
    owner, problems = _owner(record, policy)
    name, found = _free_name(record, case.known, policy)
    if owner.id not in {member.id for member in members}:
        members = [owner, *members]
    room: Document = {
        "_id": new_id(record, policy),
        "t": type_,
        "name": name,
        "fname": record.name.strip() or record.id,
        "msgs": 0,
        "usersCount": len(members),
        "u": {"_id": owner.id, "username": owner.username, "name": owner.name},
        "ts": Date.at(record.created) if record.created is not None else now,
        "ro": False,
        "customFields": {},
        "importIds": [record.id],
        **_about(record),
    }
    if record.archived:
        room["archived"] = True
    joins = _subscriptions(room, members, now)
    for join in joins:
        if join["u"]["_id"] == owner.id:
            join |= {"ls": now, "roles": ["owner"]}
    return _inserted(case, room, joins, problems + found)


def _inserted(
    case: _Case, room: Document, joins: list[Document], problems: tuple[Problem, ...] = NO_PROBLEMS
) -> Decision:
    changes: list[Change] = [Insert(ROOMS, room)]
    changes += [Insert(SUBSCRIPTIONS, subscription) for subscription in joins]
    changes += case.known.links.changes((case.record.id,), room["_id"], case.record.id)
    return Decision(
        outcome=Outcome.INSERTED,
        id=room["_id"],
        name=room.get("name", ""),
        changes=tuple(changes),
        problems=problems,
    )


def _about(record: Channel) -> Document:
    about = {"topic": record.topic, "description": record.description}
    return {key: value for key, value in about.items() if value}


def _free_name(record: Channel, known: RoomIndex, policy: RoomPolicy) -> tuple[str, tuple[Problem, ...]]:
    problems = NO_PROBLEMS
    if not record.name.strip():
        reason = f"the channel has no name in the export; it is called {record.id}"
        problems = (about(record, "channel-without-name", reason, "name"),)
    wishes = name_wishes(record, policy.names)[: NAME_TRIES + 1]
    name = next((wish for wish in wishes if not known.is_taken(wish)), "")
    name = name or f"{wishes[0]}-{new_id(record, policy)[:6]}"
    problems += _changed_name(record, wishes[0], policy)
    if record.name and name != wishes[0]:
        reason = f"another room is called {wishes[0]}: this one is {name}"
        problems += (about(record, "channel-name-taken", reason, "name"),)
    return name, problems


def _changed_name(record: Channel, name: str, policy: RoomPolicy) -> tuple[Problem, ...]:
    wish = record.name.strip()
    if not wish or name == wish or policy.names.shows_any:
        return NO_PROBLEMS
    reason = f"the channel {wish} is called {name}: not all its characters are allowed in a room's name"
    return (about(record, "room-name-changed", reason, "name"),)


def _subscriptions(room: Document, users: Iterable[MappedUser], now: Date) -> list[Document]:
    shared: Document = {
        "rid": room["_id"],
        "t": room["t"],
        "name": room["name"],
        "fname": room.get("fname", room["name"]),
        "ts": now,
        "open": not room.get("archived", False),
        **_NOTHING_UNREAD,
    }
    if room.get("archived"):
        shared["archived"] = True
    room_id = room["_id"]
    return [
        {
            "_id": subscription_id(room_id, user.id),
            **shared,
            "u": {"_id": user.id, "username": user.username},
            "customFields": {},
        }
        for user in users
    ]


def _new_direct(case: _Case) -> Decision:
    record, members, now = case.record, case.members, case.moment
    by_name = sorted(members, key=lambda user: user.name or user.username)
    room: Document = {
        "_id": new_id(record, case.policy),
        "t": "d",
        "usernames": [user.username for user in by_name],
        "uids": sorted(user.id for user in members),
        "usersCount": len(members),
        "msgs": 0,
        "ts": Date.at(record.created) if record.created is not None else now,
        "importIds": [record.id],
    }
    if len(members) == 2 and not all(user.active for user in members):
        room |= {"ro": True, "reactWhenReadOnly": False}
    joins = [_direct_subscription(room, user, by_name, now) for user in by_name]
    return _inserted(case, room, joins)


def _direct_subscription(room: Document, user: MappedUser, members: list[MappedUser], now: Date) -> Document:
    others = [member for member in members if member.id != user.id] or [user]
    return {
        "_id": direct_subscription_id(room["_id"], user.id),
        "rid": room["_id"],
        "t": "d",
        "name": ", ".join(other.username for other in others),
        "fname": ", ".join(other.name or other.username for other in others),
        "ts": now,
        "u": {"_id": user.id, "username": user.username},
        "open": len(members) > 2,
        **_NOTHING_UNREAD,
    }


# ---------------------------------------------------------------- existing rooms


def _complete(case: _Case, room: Document) -> Decision:
    """Add what the archive knows of a room that exists: topic, description, date, members."""
    record, known, policy = case.record, case.known, case.policy
    changes: list[Change] = []
    problems = NO_PROBLEMS
    wanted: Document = dict(_about(record)) if room["t"] != "d" else {}
    derived = record.id if room["_id"] == new_id(record, policy) else ""
    is_linked = bool(derived) or known.links.get(record.id) == room["_id"]
    if record.created is not None and not is_linked:
        wanted["ts"] = Date.at(record.created)
    if record.general and not is_linked and not known.is_taken(room_name(record, policy.names)):
        # Rocket.Chat renames its first room after the export's.
        wanted |= {"name": room_name(record, policy.names), "fname": record.name.strip()}
        problems = _changed_name(record, wanted["name"], policy)
    if record.archived and is_linked:
        wanted["archived"] = True
    set_ = {key: value for key, value in wanted.items() if room.get(key) != value}
    is_listed = record.id in room.get("importIds", ())
    if set_ or not is_listed:
        add = {} if is_listed else {"importIds": (record.id,)}
        changes.append(Update(collection=ROOMS, id=room["_id"], set=set_, add=add))
    inside = known.members.get(room["_id"], {})
    if room["t"] != "d":
        if not is_linked:
            problems += (_merged(record, room, len(case.members), len(inside)),)
        new, found = _entering(case, room, inside)
        problems += found
        joins = _subscriptions({**room, **set_}, new, case.moment)
        changes += [Insert(SUBSCRIPTIONS, subscription) for subscription in joins]
        if derived:
            changes += _owner_later(record, room, [*inside.values(), *joins], policy)
    names = {"name": set_["name"], "fname": record.name.strip()} if "name" in set_ else {}
    closed = {"alert": False, "open": False, "archived": True} if set_.get("archived") else {}
    changes += [
        Update(collection=SUBSCRIPTIONS, id=subscription["_id"], set=fields)
        for fields in (names, closed)
        for subscription in inside.values()
        if fields
    ]
    links = known.links.changes((record.id,), room["_id"], derived)
    return Decision(
        outcome=Outcome.UPDATED if changes else Outcome.UNCHANGED,
        id=room["_id"],
        name=str(set_.get("name", room.get("name", ""))),
        changes=(*changes, *links),
        problems=problems,
    )


def _owner_later(
    record: Channel, room: Document, subscriptions: list[Document], policy: RoomPolicy
) -> list[Change]:
    """Make the creator the owner of a room that was made while the creator was not there."""
    creator = policy.users.get(record.creator)
    owner = room.get("u", {}).get("_id", "")
    may_give = policy.may_add or policy.starter.id == owner
    if creator is None or creator.absent or creator.id == owner or not may_give:
        return []
    own = next((one for one in subscriptions if one["u"]["_id"] == creator.id), None)
    if own is None:
        return []
    whose = {"_id": creator.id, "username": creator.username, "name": creator.name}
    return [
        Update(collection=ROOMS, id=room["_id"], set={"u": whose}),
        Update(collection=SUBSCRIPTIONS, id=own["_id"], add={"roles": ("owner",)}),
    ]


def _merged(record: Channel, room: Document, members: int, inside: int) -> Problem:
    reason = (
        f"the channel {record.name.strip() or record.id} ({_members_of(members)}) goes to the room "
        f"{room.get('name', room['_id'])} ({_members_of(inside)}), which was there already"
    )
    return about(record, "room-merged", reason)


def _members_of(number: int) -> str:
    return "1 member" if number == 1 else f"{number} members"


def _entering(
    case: _Case, room: Document, inside: Mapping[str, Document]
) -> tuple[list[MappedUser], tuple[Problem, ...]]:
    """Return the members to add to a room that exists; none if the starter may not add people."""
    policy = case.policy
    new = [member for member in case.members if member.id not in inside]
    if not new or room["t"] == "c" or policy.may_add or policy.starter.id in inside:
        return new, NO_PROBLEMS
    reason = (
        f"{len(new)} people were not added to the private room {room.get('name', room['_id'])}: "
        f"{policy.starter.username}, who started the import, is neither in it nor an administrator"
    )
    return [], (about(case.record, "member-not-added", reason, "members"),)
