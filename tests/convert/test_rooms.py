"""`decide_room`, rule by rule: which room a channel becomes, who is in it, and what stays private."""

from typing import Any

import pytest
from msgspec.structs import replace

from chatferry.convert import MappedUser
from chatferry.convert.decision import Decision
from chatferry.convert.rooms import GENERAL, RoomIndex, RoomPolicy, decide_room
from chatferry.documents import ROOMS, SUBSCRIPTIONS, Date, Document, Insert, Update
from chatferry.origins import Links, Origin
from chatferry.records import Channel, Outcome

NOW = Date.at(1_600_000_000_000)
SLACK = Origin("slack", "T1")
ADA, BEN, EVE = (MappedUser(id=name, username=name, name=name.title()) for name in ("ada", "ben", "eve"))
NOT_SELECTED = MappedUser(id="", username="not.selected", absent="not selected")
FAILED = MappedUser(id="", username="has.failed", absent="failed")
USERS = {"U1": ADA, "U2": BEN, "U8": NOT_SELECTED, "U9": FAILED}
ADMIN = RoomPolicy(origin=SLACK, archive_ids=frozenset(("C1", "C2")), users=USERS, starter=EVE, may_add=True)
STARTER = replace(ADMIN, may_add=False)  # eve is no administrator
TOWN = Channel(id="C1", type="c", name="town", creator="U1", members=("U1", "U2"))
VAULT = replace(TOWN, type="p", name="vault")
DIRECT = Channel(id="D1", type="d", members=("U1", "U2"))


def decide(
    record: Channel,
    *rooms: Document,
    inside: tuple[MappedUser, ...] = (),
    policy: RoomPolicy = ADMIN,
    **linked: str,
) -> Decision:
    """Decide about a channel beside these rooms, in each of which are `inside`; `linked` as for users."""
    links = Links(SLACK, "channel", [{"importId": id, "document": room} for id, room in linked.items()])
    subscriptions = [
        {
            "_id": f"{room['_id']}-{user.id}",
            "rid": room["_id"],
            "u": {"_id": user.id, "username": user.username},
        }
        for room in rooms
        for user in inside
    ]
    return decide_room(record, RoomIndex(rooms, subscriptions, links), policy, NOW)


def room(id: str, type: str, name: str, **fields: Any) -> Document:
    return {"_id": id, "t": type, "name": name, "fname": name, "u": {"_id": "x"}, **fields}


def made_of(record: Channel) -> Document:
    """The room that an earlier import made of a channel."""
    return inserted(decide(record))


def inserted(decision: Decision) -> Document:
    assert decision.outcome == Outcome.INSERTED
    (document,) = [
        one.document for one in decision.changes if isinstance(one, Insert) and one.collection == ROOMS
    ]
    return dict(document)


def joining(decision: Decision) -> list[str]:
    """Who enters the room."""
    joins = [one for one in decision.changes if isinstance(one, Insert) and one.collection == SUBSCRIPTIONS]
    return sorted(join.document["u"]["username"] for join in joins)


def set_by(decision: Decision) -> Document:
    (update,) = [one for one in decision.changes if isinstance(one, Update) and one.collection == ROOMS]
    assert update.id == decision.id
    return dict(update.set)


def kinds(decision: Decision) -> list[str]:
    return [problem.kind for problem in decision.problems]


# ---------------------------------------------------------------- new rooms


@pytest.mark.parametrize("record", [TOWN, VAULT], ids=["public", "private"])
def test_a_new_room_belongs_to_its_creator_and_holds_its_members(record: Channel) -> None:
    decision = decide(record)
    document = inserted(decision)
    assert (document["t"], document["name"], document["u"]["_id"]) == (record.type, record.name, "ada")
    assert joining(decision) == ["ada", "ben"]
    assert (document["usersCount"], kinds(decision)) == (2, [])


@pytest.mark.parametrize("creator", ["", "U7", "U8"], ids=["not named", "unknown", "not selected"])
def test_a_room_without_its_creator_belongs_to_the_starter_of_the_import(creator: str) -> None:
    decision = decide(replace(TOWN, creator=creator))
    assert inserted(decision)["u"]["_id"] == "eve"
    assert joining(decision) == ["ada", "ben", "eve"]
    assert kinds(decision) == ["unknown-creator"]


def test_members_who_are_unknown_are_noted_and_those_not_selected_left_out() -> None:
    decision = decide(replace(TOWN, members=("U1", "U7", "U8")))
    assert joining(decision) == ["ada"]
    (problem,) = decision.problems
    assert (problem.kind, "U7" in problem.reason) == ("unknown-member", True)


def test_a_room_whose_name_is_taken_gets_a_number() -> None:
    decision = decide(VAULT, room("x", "p", "vault"))
    assert (inserted(decision)["name"], inserted(decision)["fname"]) == ("vault-1", "vault")
    assert kinds(decision) == ["channel-name-taken"]


def test_characters_that_a_name_may_not_hold_are_replaced_and_noted() -> None:
    decision = decide(replace(TOWN, name="town & hall!"))
    assert (inserted(decision)["name"], inserted(decision)["fname"]) == ("town-hall", "town & hall!")
    assert kinds(decision) == ["room-name-changed"]


# ---------------------------------------------------------------- which room


def test_a_public_channel_goes_to_the_public_room_of_its_name() -> None:
    decision = decide(TOWN, room("x", "c", "town"), inside=(BEN,))
    assert (decision.outcome, decision.id) == (Outcome.UPDATED, "x")
    assert joining(decision) == ["ada"]
    assert kinds(decision) == ["room-merged"]


@pytest.mark.parametrize(("record", "type"), [(VAULT, "p"), (VAULT, "c"), (replace(TOWN, name="vault"), "p")])
def test_a_private_and_another_room_are_never_merged_by_name(record: Channel, type: str) -> None:
    assert inserted(decide(record, room("x", type, "vault"), inside=(EVE,)))["t"] == record.type


def test_a_private_channel_goes_to_the_room_that_it_is_linked_to() -> None:
    assert decide(VAULT, room("x", "p", "cellar"), C1="x").id == "x"


def test_two_channels_of_one_archive_stay_two_rooms_with_one_name() -> None:
    assert inserted(decide(TOWN, room("x", "c", "town", importIds=["C2"])))["name"] == "town-1"


def test_channels_of_two_workspaces_stay_two_rooms_with_one_name() -> None:
    theirs = room("x", "c", "town", importIds=["C7"])
    assert decide(TOWN, theirs).id == "x"
    stranger = replace(ADMIN, origin=Origin("slack", "T2", scope="12345678"))
    assert inserted(decide(TOWN, theirs, policy=stranger))["name"] == "town-1"


def test_the_general_channel_is_rocketchats_first_room_and_gives_it_its_name() -> None:
    record = replace(TOWN, general=True)
    general = room(GENERAL, "c", "general")
    assert set_by(decide(record, general)) == {"name": "town", "fname": "town"}
    assert "name" not in set_by(decide(record, general, room("x", "c", "town")))


# ---------------------------------------------------------------- direct conversations


def test_a_direct_conversation_goes_to_the_one_of_exactly_the_same_people() -> None:
    both = {"_id": "x", "t": "d", "uids": ["ben", "ada"]}
    assert decide(DIRECT, both).id == "x"
    three = {"_id": "x", "t": "d", "uids": ["ada", "ben", "eve"]}
    assert inserted(decide(DIRECT, three))["uids"] == ["ada", "ben"]


@pytest.mark.parametrize(
    ("members", "outcome", "why"),
    [
        ((), Outcome.FAILED, "does not say who takes part"),
        (("U7",), Outcome.FAILED, "none of its people is in the export"),
        (("U1", "U9"), Outcome.FAILED, "has.failed could not be imported"),
        (("U1", "U8"), Outcome.SKIPPED, "not.selected was not selected"),
    ],
    ids=["nobody", "unknown", "failed", "not selected"],
)
def test_a_direct_conversation_is_not_imported_without_one_of_its_people(
    members: tuple[str, ...], outcome: Outcome, why: str
) -> None:
    decision = decide(replace(DIRECT, members=members))
    assert (decision.outcome, decision.changes) == (outcome, ())
    assert why in decision.problems[-1].reason


def test_a_direct_conversation_of_too_many_people_becomes_a_private_room() -> None:
    decision = decide(replace(DIRECT, name="us", creator="U1"), policy=replace(ADMIN, max_direct=1))
    assert inserted(decision)["t"] == "p"
    assert kinds(decision) == ["channel-too-large"]


# ---------------------------------------------------------------- rooms that exist


@pytest.mark.parametrize(
    ("policy", "inside", "type", "entering"),
    [
        (STARTER, (BEN,), "p", []),
        (STARTER, (BEN, EVE), "p", ["ada"]),
        (ADMIN, (BEN,), "p", ["ada"]),
        (STARTER, (BEN,), "c", ["ada"]),
    ],
    ids=["starter outside", "starter inside", "administrator", "public room"],
)
def test_only_its_members_and_administrators_add_people_to_a_private_room(
    policy: RoomPolicy, inside: tuple[MappedUser, ...], type: str, entering: list[str]
) -> None:
    record = replace(VAULT, type="c") if type == "c" else VAULT
    decision = decide(record, room("x", type, "vault"), inside=inside, policy=policy, C1="x")
    assert joining(decision) == entering
    assert ("member-not-added" in kinds(decision)) == (not entering)


def test_a_channel_that_is_as_before_changes_nothing() -> None:
    record = replace(TOWN, topic="Trains", created=1_500_000_000_000)
    decision = decide(record, made_of(record), inside=(ADA, BEN))
    assert (decision.outcome, decision.changes, decision.problems) == (Outcome.UNCHANGED, (), ())


def test_a_creator_who_comes_later_becomes_the_owner() -> None:
    before = made_of(replace(TOWN, creator="U7"))
    decision = decide(TOWN, before, inside=(ADA, BEN, EVE))
    assert set_by(decision)["u"]["_id"] == "ada"
    refused = decide(TOWN, before | {"u": {"_id": "ben"}}, inside=(ADA, BEN, EVE), policy=STARTER)
    assert refused.outcome == Outcome.UNCHANGED


def test_a_channel_that_was_archived_since_closes_its_room_and_never_another() -> None:
    record = replace(TOWN, archived=True)
    decision = decide(record, made_of(TOWN), inside=(ADA, BEN))
    assert set_by(decision) == {"archived": True}
    closed = [one for one in decision.changes if one.collection == SUBSCRIPTIONS]
    assert [isinstance(one, Update) and one.set["open"] for one in closed] == [False, False]
    assert "archived" not in set_by(decide(record, room("x", "c", "town"), inside=(ADA, BEN)))
