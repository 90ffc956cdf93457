"""Values that only one document may hold, whatever keeps the documents."""

from collections.abc import Collection, Iterable

import pytest

from chatferry.destinations.rules import ChangeError
from chatferry.destinations.unique import Key, UniqueKeys

ANNA, BERT, CARL = (("username", name) for name in ("anna", "bert", "carl"))


class Stored:
    """Documents that hold Anna's and Bert's names; `asked` are the keys that were loaded, in their order."""

    def __init__(self) -> None:
        self.asked: list[Key] = []

    def __call__(self, wanted: Collection[Key]) -> Iterable[tuple[Key, str]]:
        self.asked += sorted(wanted)
        return [(key, id_) for key, id_ in ((ANNA, "u1"), (BERT, "u2")) if key in wanted]


def test_a_key_that_another_document_holds_is_refused() -> None:
    unique = UniqueKeys(Stored())
    with pytest.raises(ChangeError, match="another user has the username anna"):
        unique.move("u2", {BERT}, {ANNA})
    unique.move("u1", set(), {ANNA})


def test_a_key_that_was_released_is_free_even_if_it_is_loaded_after_that() -> None:
    unique = UniqueKeys(Stored())
    unique.move("u1", {ANNA}, {CARL})
    unique.move("u2", {BERT}, {ANNA})
    with pytest.raises(ChangeError):
        unique.move("u1", {CARL}, {ANNA})
    unique.move("u2", {ANNA}, {BERT})
    unique.move("u1", {CARL}, {ANNA})


def test_a_refused_document_holds_nothing_new_and_loses_nothing() -> None:
    unique = UniqueKeys(Stored())
    with pytest.raises(ChangeError):
        unique.move("u3", {CARL}, {ANNA, BERT})
    unique.move("u3", set(), {CARL})
    with pytest.raises(ChangeError):
        unique.move("u4", set(), {CARL})


def test_keys_are_loaded_once_and_only_those_of_unique_fields() -> None:
    stored = Stored()
    unique = UniqueKeys(stored)
    unique.expect([ANNA, BERT, ("roles", "admin")])
    unique.expect([ANNA])
    unique.move("u1", {ANNA, ("roles", "admin")}, {ANNA, ("roles", "user")})
    unique.move("u9", set(), {("roles", "admin")})
    assert stored.asked == [ANNA, BERT]
