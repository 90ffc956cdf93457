"""Which origin an archive comes from, and whether its records are those of a known one."""

from typing import Any

import pytest

from chatferry.documents import Document, Insert, Update
from chatferry.errors import OriginError
from chatferry.origins import (
    Candidate,
    ChosenOrigin,
    Comparison,
    Links,
    Origin,
    check_name,
    choose_origin,
    compare_contact,
    compare_room,
    compare_user,
    link_id,
    origins_of,
)

SAME, OTHER, NOTHING = Comparison(same=3), Comparison(different=2, examples=["user 1 is x"]), Comparison()
FIRST = Origin("hipchat", "hipchat")
SCOPED = Origin("hipchat", "b", scope="12345678")


def choose(
    given: str = "",
    stated: str = "",
    known: dict[str, Origin] | None = None,
    compared: Comparison = NOTHING,
    earlier: Comparison = NOTHING,
) -> ChosenOrigin:
    known = known or {}
    candidates = [Candidate(origin, compared) for origin in known.values()] + [Candidate(None, earlier)]
    return choose_origin("hipchat", given, stated, known, candidates)


KNOWN = {"hipchat": FIRST}


def test_the_first_archive_of_an_empty_workspace() -> None:
    assert choose() == ChosenOrigin(FIRST, is_new=True)
    assert choose(stated="T1") == ChosenOrigin(Origin("hipchat", "T1"), is_new=True)
    assert choose(given="acme", stated="T1") == ChosenOrigin(Origin("hipchat", "acme"), is_new=True)


def test_a_name_that_is_known() -> None:
    assert choose(given="hipchat", known=KNOWN, compared=OTHER) == ChosenOrigin(FIRST)
    assert choose(stated="b", known={**KNOWN, "b": SCOPED}, compared=OTHER) == ChosenOrigin(SCOPED)


def test_an_archive_that_names_nothing_and_agrees() -> None:
    assert choose(known=KNOWN, compared=SAME) == ChosenOrigin(FIRST)
    assert choose(known=KNOWN) == ChosenOrigin(FIRST)  # nobody meets anybody


def test_an_archive_that_names_nothing_and_contradicts() -> None:
    with pytest.raises(OriginError, match=r"user 1 is x.*give hipchat as its origin.*such as hipchat-2\."):
        choose(known=KNOWN, compared=OTHER)
    with pytest.raises(OriginError, match=r"user 1 is x.*give hipchat as its origin.*such as hipchat-2\."):
        choose(earlier=OTHER)


def test_an_archive_without_a_name_is_refused_if_there_are_several_origins() -> None:
    with pytest.raises(OriginError, match=r"several origins.*give b or hipchat as its origin"):
        choose(known={**KNOWN, "b": SCOPED})


def test_a_new_name_is_kept_apart() -> None:
    for choice in (
        choose(given="b", known=KNOWN, compared=OTHER),
        choose(given="b", known=KNOWN, compared=SAME, earlier=SAME),
        choose(stated="b", known=KNOWN, compared=OTHER),
        choose(stated="b", known=KNOWN),
        choose(stated="b", earlier=OTHER),
    ):
        assert choice.is_new and choice.origin.name == "b"
        assert choice.origin.is_stranger and not choice.origin.adopts


def test_a_new_name_of_the_same_workspace() -> None:
    assert choose(stated="E1", known=KNOWN, compared=SAME) == ChosenOrigin(FIRST, alias="E1")


def test_imports_older_than_origins_are_adopted() -> None:
    assert choose(earlier=SAME) == ChosenOrigin(Origin("hipchat", "hipchat", adopts=True), is_new=True)
    assert choose(stated="T1", earlier=SAME) == ChosenOrigin(
        Origin("hipchat", "T1", adopts=True), is_new=True
    )
    assert choose(given="hipchat", earlier=OTHER).origin == Origin("hipchat", "hipchat", adopts=True)
    assert choose(given="b", earlier=OTHER).origin.is_stranger


@pytest.mark.parametrize("name", ["a b", "é", "x" * 65, "a/b", "../x", "\n"])
def test_names_that_no_origin_has(name: str) -> None:
    with pytest.raises(OriginError, match="cannot be the name of an origin"):
        check_name(name)


def test_aliases_lead_to_their_origin() -> None:
    documents: list[Document] = [
        {"importer": "slack", "name": "T1", "scope": "", "adopts": False},
        {"importer": "slack", "name": "E1", "same": "T1"},
        {"importer": "slack", "name": "E2", "same": "nobody"},
        {"importer": "csv", "name": "csv"},
    ]
    assert origins_of(documents, "slack") == {"T1": Origin("slack", "T1"), "E1": Origin("slack", "T1")}


# ---------------------------------------------------------------- comparing


ALICE = {"username": "alice", "name": "Alice Smith", "emails": [{"address": "Alice@Example.org"}]}


@pytest.mark.parametrize(
    ("import_id", "record", "verdict"),
    [
        ("1", ("x", "y", ["alice@example.org"]), "same"),
        ("1", ("alice", "Alice Jones", ["a@other.org"]), "different"),
        ("1", ("alice", "Alice Smith", ["a@other.org"]), "same"),  # the company has another domain now
        ("1", ("alice", "", []), "same"),
        ("1", ("bob", "Bob", []), "different"),
        ("1", ("", "", []), "unknown"),
        ("alice", ("alice", "", []), "unknown"),  # the import id itself proves nothing
        ("alice", ("alice", "Alice Smith", []), "same"),
        ("alice", ("alice", "Alice Jones", []), "different"),
    ],
)
def test_comparing_users(import_id: str, record: Any, verdict: str) -> None:
    assert compare_user(import_id, record, ALICE) == verdict


@pytest.mark.parametrize(
    ("name", "is_private", "members", "inside", "verdict"),
    [
        ("management", True, {"a"}, {"a", "b"}, "same"),
        ("management", True, {"c"}, {"a", "b"}, "different"),
        ("management", True, set(), {"a"}, "different"),
        ("management", False, set(), set(), "unknown"),
        ("lobby", False, set(), {"a"}, "different"),
        ("7", False, set(), set(), "unknown"),
        ("", True, set(), set(), "unknown"),
    ],
)
def test_comparing_rooms(
    name: str, is_private: bool, members: set[str], inside: set[str], verdict: str
) -> None:
    room = {"name": "management", "fname": "Management"}
    assert compare_room("7", name, is_private, frozenset(members), room, frozenset(inside)) == verdict


def test_comparing_contacts() -> None:
    cleo = {"name": "Cleo", "emails": [{"address": "c@example.org"}], "phones": [{"phoneNumber": "1"}]}
    assert compare_contact("C", ["C@example.org"], [], cleo) == "same"
    assert compare_contact("C", [], ["1"], cleo) == "same"
    assert compare_contact("Dan", [], [], cleo) == "different"
    assert compare_contact("", [], [], cleo) == "unknown"


def test_links_are_made_once() -> None:
    links = Links(FIRST, "user")
    (made,) = links.changes(["1"], "account", "")
    assert isinstance(made, Insert) and made.document["_id"] == link_id(FIRST, "user", "1")
    assert links.get("1") == "account"
    assert links.changes(["1"], "account", "") == ()
    (moved,) = links.changes(["1"], "another", "")
    assert isinstance(moved, Update) and moved.set == {"document": "another"}
    assert links.changes(["2"], "derived", "2") == ()
