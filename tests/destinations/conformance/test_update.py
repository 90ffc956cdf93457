"""How every destination updates a document."""

from typing import Any

from chatferry.destinations import Destination, Rejection
from chatferry.documents import Date, Document, Insert
from tests.support.destinations import change, message, the, user


def updated(destination: Destination, insert: Insert, **how: Any) -> Document:
    """The document after it was inserted and then updated."""
    assert destination.apply([insert, change(insert, **how)]) == []
    return the(destination, insert)


def test_update_sets(destination: Destination) -> None:
    how = {
        "name": "Ada",
        "customFields.team.name": "x",
        "services.resume": {"loginTokens": []},
        "at": Date.at(5),
    }
    now = updated(destination, user("u1", name="A", services={"password": {}}), set=how)
    assert now["name"] == "Ada"
    assert now["customFields"] == {"team": {"name": "x"}}
    assert now["services"] == {"password": {}, "resume": {"loginTokens": []}}
    assert now["at"] == Date.at(5)


def test_update_sets_in_items_of_lists(destination: Destination) -> None:
    insert = message("m1", attachments=[{"title": "a"}, {"title": "b"}])
    now = updated(
        destination, insert, set={"attachments.1.title_link": "/b", "attachments.0": {"title": "c"}}
    )
    assert now["attachments"] == [{"title": "c"}, {"title": "b", "title_link": "/b"}]
    assert destination.apply([change(insert, set={"attachments.2.title": "none"})]) != []


def test_update_unsets(destination: Destination) -> None:
    insert = user("u1", bio="x", settings={"a": 1, "b": 2}, name="Ada")
    gone = ("bio", "settings.a", "missing", "missing.deep", "name.first", "settings.b.c")
    now = updated(destination, insert, unset=gone)
    assert now == user("u1", settings={"b": 2}, name="Ada").document


def test_update_adds(destination: Destination) -> None:
    add = {
        "importIds": ("U1", "U2", "U2"),
        "customFields.tags": ("x",),
        "emails": ({"address": "a", "verified": False},),
    }
    insert = user("u1", importIds=["U1"], emails=[{"address": "a", "verified": False}])
    now = updated(destination, insert, add=add)
    assert now["importIds"] == ["U1", "U2"]
    assert now["customFields"] == {"tags": ["x"]}
    assert now["emails"] == [{"address": "a", "verified": False}]


def test_update_takes_tuples_for_lists(destination: Destination) -> None:
    insert = user("u1", pairs=[])
    how = change(insert, set={"pair": ("a", 1)}, add={"pairs": (("a", 1),)}, pull={"rows": ("row", (1, 2))})
    assert destination.apply([insert, change(insert, set={"rows": [{"row": [1, 2]}]}), how, how]) == []
    assert the(destination, insert) == user("u1", pairs=[["a", 1]], rows=[], pair=["a", 1]).document


def test_update_pulls(destination: Destination) -> None:
    tokens = [{"hashedToken": "a", "when": Date.at(1)}, {"hashedToken": "b"}, "odd", {"hashedToken": "a"}]
    insert = user("u1", services={"resume": {"loginTokens": tokens}})
    pull = {
        "services.resume.loginTokens": ("hashedToken", "a"),
        "missing": ("a", 1),
        "missing.deep": ("a", 1),
    }
    now = updated(destination, insert, pull=pull)
    assert now == user("u1", services={"resume": {"loginTokens": [{"hashedToken": "b"}, "odd"]}}).document


def test_update_pulls_several(destination: Destination) -> None:
    rows = [{"k": value} for value in ("a", 1, "b", None, ["c"], "a")]
    insert = user("u1", d=[*rows, "a", {}])
    now = updated(destination, insert, pull={"d": ("k", "a", 1, ["c"])})
    assert now == user("u1", d=[{"k": "b"}, {"k": None}, "a", {}]).document


def test_update_does_all_at_once(destination: Destination) -> None:
    insert = user("u1", a=1, b=2, c=["x"], d=[{"k": 1}, {"k": 2}])
    now = updated(destination, insert, set={"a": 9}, unset=("b",), add={"c": ("y",)}, pull={"d": ("k", 1)})
    assert now == user("u1", a=9, c=["x", "y"], d=[{"k": 2}]).document


def test_a_rejected_update_changes_nothing(destination: Destination) -> None:
    insert = user("u1", name="Ada")
    destination.apply([insert])
    (rejection,) = destination.apply([change(insert, set={"bio": "x", "name.first": "y"})])
    assert isinstance(rejection, Rejection)
    assert the(destination, insert) == insert.document
