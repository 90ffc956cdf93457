"""`decide_user`, rule by rule: which account a user becomes, and what an import may change of it."""

from typing import Any

import pytest
from msgspec.structs import replace

from chatferry.convert.decision import Decision
from chatferry.convert.users import NAME_TRIES, UserIndex, UserPolicy, decide_user
from chatferry.documents import LINKS, SUBSCRIPTIONS, USERS, Date, Document, Insert, Update
from chatferry.operations import Guests
from chatferry.origins import Links, Origin
from chatferry.records import Outcome, User

NOW = Date.at(1_600_000_000_000)
SLACK = Origin("slack", "T1")
ADA = User(id="U1", username="ada", name="Ada Lovelace", emails=("ada@example.org",))
BEN = User(id="U2", username="ben", name="Ben", emails=("ben@example.org",))
ADMIN = UserPolicy(origin=SLACK, archive_ids=frozenset(("U1", "U2")), starter_roles=frozenset(("admin",)))
STARTER = replace(ADMIN, starter_roles=frozenset(("user", "starter")))  # somebody who is no administrator


def decide(record: User, *accounts: Document, policy: UserPolicy = ADMIN, **linked: str) -> Decision:
    """Decide about a user beside these accounts; `linked` are import ids and the accounts they lead to."""
    links = Links(SLACK, "user", [{"importId": id, "document": account} for id, account in linked.items()])
    return decide_user(record, UserIndex(accounts, links), policy, NOW)


def account(id: str, username: str, *emails: str, **fields: Any) -> Document:
    return {
        "_id": id,
        "username": username,
        "name": username.title(),
        "emails": [{"address": email, "verified": True} for email in emails],
        "roles": ["user"],
        "active": True,
        **fields,
    }


def made_of(record: User, policy: UserPolicy = ADMIN, **fields: Any) -> Document:
    """The account that an earlier import made of a user, and what has changed of it since."""
    return inserted(decide(record, policy=policy)) | fields


def inserted(decision: Decision) -> Document:
    assert decision.outcome == Outcome.INSERTED
    (document,) = [
        one.document for one in decision.changes if isinstance(one, Insert) and one.collection == USERS
    ]
    return dict(document)


def set_by(decision: Decision) -> Document:
    """The fields of the account that a decision sets."""
    (update,) = [one for one in decision.changes if isinstance(one, Update) and one.collection == USERS]
    assert update.id == decision.id
    return dict(update.set)


def kinds(decision: Decision) -> list[str]:
    return [problem.kind for problem in decision.problems]


# ---------------------------------------------------------------- which account


def test_a_user_without_an_account_gets_a_new_one_without_a_password() -> None:
    document = inserted(decide(ADA, account("x", "ben", "ben@example.org")))
    assert (document["username"], document["name"]) == ("ada", "Ada Lovelace")
    assert document["emails"] == [{"address": "ada@example.org", "verified": False}]
    assert (document["roles"], document["active"], document["importIds"]) == (["user"], True, ["U1"])
    assert "password" not in document["services"]


def test_the_linked_account_comes_before_the_same_address_or_username() -> None:
    others = account("x", "somebody", "ada@example.org"), account("y", "ada", "other@example.org")
    decision = decide(ADA, account("z", "countess"), *others, U1="z")
    assert (decision.id, kinds(decision)) == ("z", [])


def test_the_same_email_address_is_the_same_person_whatever_the_username() -> None:
    decision = decide(ADA, account("x", "countess", "Ada@Example.org"), account("y", "ada"))
    assert (decision.outcome, decision.id) == (Outcome.UPDATED, "x")
    assert kinds(decision) == ["user-merged-by-email"]


def test_only_the_first_email_address_finds_an_account() -> None:
    record = replace(ADA, emails=("ada@example.org", "shared@example.org"))
    assert decide(record, account("x", "office", "shared@example.org")).outcome == Outcome.INSERTED


def test_the_same_username_is_the_same_person_if_nothing_speaks_against_it() -> None:
    decision = decide(ADA, account("x", "Ada"))
    assert (decision.outcome, decision.id) == (Outcome.UPDATED, "x")
    assert kinds(decision) == ["user-merged-by-username"]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"roles": ["admin"]}, "is an administrator's"),
        ({"emails": [{"address": "another.ada@example.org"}]}, "has another e-mail address"),
        ({"importIds": ["U2"]}, "has another import id"),
        ({"lastLogin": NOW}, "is in use"),
    ],
)
def test_the_same_username_is_somebody_else_if_the_account(fields: Document, why: str) -> None:
    decision = decide(ADA, account("x", "ada") | fields)
    assert inserted(decision)["username"] == "ada-1"
    (problem,) = decision.problems
    assert problem.kind == "username-changed"
    assert why in problem.reason


def test_the_same_username_in_another_workspace_is_somebody_else() -> None:
    theirs = account("x", "ada", importIds=["U7"])
    assert decide(ADA, theirs).id == "x"
    stranger = replace(ADMIN, origin=Origin("slack", "T2", scope="12345678"))
    assert decide(ADA, theirs, policy=stranger).outcome == Outcome.INSERTED


def test_a_placeholder_never_takes_an_account() -> None:
    author = User(id="U1", username="ada", name="Ada", placeholder=True)
    assert inserted(decide(author, account("x", "ada")))["username"] == "ada-1"


def test_a_placeholder_known_by_username_takes_the_account_of_that_name() -> None:
    author = User(id="ada", username="ada", placeholder=True)
    assert decide(author, account("x", "ada")).id == "x"
    assert decide(author, account("x", "Ada")).outcome == Outcome.INSERTED


# ---------------------------------------------------------------- new accounts


def test_a_username_that_is_taken_gets_a_number_and_at_last_part_of_the_id() -> None:
    ben = replace(BEN, emails=())
    taken = [account("b0", "ben", roles=["admin"])]
    for number in range(1, NAME_TRIES + 1):
        assert inserted(decide(ben, *taken))["username"] == f"ben-{number}"
        taken.append(account(f"b{number}", f"ben-{number}"))
    document = inserted(decide(ben, *taken))
    assert document["username"] == f"ben-{document['_id'][:6]}"


@pytest.mark.parametrize("name", ["all", "Here"])
def test_a_username_that_calls_everybody_is_not_given(name: str) -> None:
    decision = decide(replace(ADA, username=name))
    assert inserted(decision)["username"] == f"{name}-1"
    assert "that name is reserved" in decision.problems[0].reason


@pytest.mark.parametrize(
    ("record", "username"),
    [
        (User(id="U1", username="ada lovelace"), "ada.lovelace"),
        (User(id="U1", name="Ada Lovelace"), "ada.lovelace"),
        (User(id="U1", emails=("ada.l@example.org",)), "ada.l"),
        (User(id="U1"), "u1"),
    ],
)
def test_a_username_is_made_of_the_name_the_address_or_the_import_id(record: User, username: str) -> None:
    assert inserted(decide(record))["username"] == username


def test_new_accounts_join_the_default_rooms_and_placeholders_join_none() -> None:
    policy = replace(ADMIN, default_rooms=({"_id": "GENERAL", "t": "c", "name": "general"},))

    def joined(record: User) -> list[str]:
        changes = decide(record, policy=policy).changes
        return [
            one.document["rid"]
            for one in changes
            if isinstance(one, Insert) and one.collection == SUBSCRIPTIONS
        ]

    assert joined(ADA) == ["GENERAL"]
    assert joined(replace(ADA, placeholder=True)) == []


def test_starters_give_only_their_own_roles_and_administrators_any() -> None:
    record = replace(ADA, roles=("starter", "admin"))
    assert inserted(decide(record))["roles"] == ["starter", "admin", "user"]
    decision = decide(record, policy=STARTER)
    assert inserted(decision)["roles"] == ["starter", "user"]
    assert kinds(decision) == ["role-not-granted"]


@pytest.mark.parametrize(
    ("guests", "roles", "active"),
    [(Guests.USER, ["user"], True), (Guests.GUEST, ["guest"], True), (Guests.SKIP, ["user"], False)],
)
def test_a_guest_becomes_a_user_a_guest_or_an_inactive_placeholder(
    guests: Guests, roles: list[str], active: bool
) -> None:
    document = inserted(decide(replace(ADA, guest=True), policy=replace(ADMIN, guests=guests)))
    assert (document["roles"], document["active"]) == (roles, active)
    assert ("emails" in document) == active


# ---------------------------------------------------------------- accounts that exist


def test_an_account_that_was_there_before_is_linked_and_keeps_all_it_has() -> None:
    record = replace(ADA, name="Countess", roles=("admin",), deleted=True, password="hash", bio="Mathematics")
    decision = decide(record, account("x", "ada", "ada@example.org"))
    link, update = sorted(decision.changes, key=lambda change: change.collection != LINKS)
    assert isinstance(link, Insert) and link.document["document"] == "x"
    assert isinstance(update, Update) and (update.set, update.add) == ({}, {"importIds": ("U1",)})


def test_an_account_that_an_import_made_is_brought_up_to_date() -> None:
    assert set_by(decide(replace(ADA, name="Countess", bio="Mathematics"), made_of(ADA))) == {
        "name": "Countess",
        "bio": "Mathematics",
    }


def test_a_user_who_is_as_before_changes_nothing() -> None:
    decision = decide(ADA, made_of(ADA))
    assert (decision.outcome, decision.changes, decision.problems) == (Outcome.UNCHANGED, (), ())


def test_only_administrators_deactivate_accounts_and_give_them_addresses() -> None:
    before = made_of(replace(ADA, emails=()))
    after = replace(ADA, deleted=True)
    assert set_by(decide(after, before)) == {
        "active": False,
        "emails": [{"address": "ada@example.org", "verified": False}],
    }
    decision = decide(after, before, policy=STARTER)
    assert decision.outcome == Outcome.UNCHANGED
    assert kinds(decision) == ["account-not-changed"]
    assert "keeps its e-mail address and activity" in decision.problems[0].reason


def test_no_account_gets_the_address_of_another() -> None:
    decision = decide(ADA, made_of(replace(ADA, emails=())), account("x", "office", "ada@example.org"))
    assert decision.outcome == Outcome.UNCHANGED
    assert "the account office has the one of Ada Lovelace" in decision.problems[0].reason


@pytest.mark.parametrize("since", [{"lastLogin": NOW}, {"roles": ["user", "moderator"]}])
def test_guests_keep_roles_that_somebody_may_have_given_them(since: Document) -> None:
    policy, guest = replace(ADMIN, guests=Guests.GUEST), replace(ADA, guest=True)
    assert set_by(decide(guest, made_of(ADA), policy=policy)) == {"roles": ["guest"]}
    assert decide(guest, made_of(ADA, **since), policy=policy).outcome == Outcome.UNCHANGED


@pytest.mark.parametrize("known_by", ["ada@example.org", "admin@example.org"])
def test_with_skip_existing_accounts_are_not_even_linked(known_by: str) -> None:
    """Also the one that has the username but belongs to somebody else."""
    decision = decide(ADA, account("x", "ada", known_by), policy=replace(ADMIN, skip_existing=True))
    assert (decision.outcome, decision.id, decision.changes) == (Outcome.SKIPPED, "x", ())
    assert kinds(decision) == ["user-exists"]
