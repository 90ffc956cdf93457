"""Remembered permissions let a caller pass; a refusal is always looked up again."""

from collections.abc import Sequence

import pytest

from chatferry.api.auth import grants
from chatferry.api.auth.grants import Grants
from chatferry.destinations.memory import MemoryDestination
from chatferry.documents import PERMISSIONS, Insert, Update

RUN, VIEW = "run-import", "view-import-operations"


@pytest.fixture
def workspace() -> MemoryDestination:
    opened = MemoryDestination()
    opened.apply([Insert(PERMISSIONS, {"_id": RUN, "roles": ["mover"]})])
    return opened


def give(workspace: MemoryDestination, permission: str, *roles: str) -> None:
    assert workspace.apply([Update(collection=PERMISSIONS, id=permission, set={"roles": roles})]) == []


def may(known: Grants, workspace: MemoryDestination, roles: Sequence[str]) -> bool:
    return RUN in known.of({"_id": "u1", "roles": list(roles)}, {RUN, VIEW}, workspace)


def test_one_role_with_the_permission_is_enough(workspace: MemoryDestination) -> None:
    known = Grants()
    for _ in range(2):
        assert known.of({"_id": "u1", "roles": ["user", "mover"]}, {RUN, VIEW}, workspace) == {RUN}
        assert known.of({"_id": "u1"}, {RUN, VIEW}, workspace) == frozenset()
        assert known.of({"_id": "u1", "roles": ["mover"]}, set(), workspace) == frozenset()


def test_a_role_that_is_taken_from_somebody_is_gone_at_once(workspace: MemoryDestination) -> None:
    known = Grants()
    assert may(known, workspace, ["mover"])
    assert not may(known, workspace, ["user"])


def test_a_permission_that_is_given_counts_at_once(workspace: MemoryDestination) -> None:
    known = Grants()
    assert not may(known, workspace, ["helper"])
    give(workspace, RUN, "mover", "helper")
    assert may(known, workspace, ["helper"])


@pytest.mark.parametrize(("seconds", "is_remembered"), [(1000.0, True), (0.0, False)])
def test_a_permission_that_is_taken_away_counts_as_long_as_it_is_remembered(
    workspace: MemoryDestination, monkeypatch: pytest.MonkeyPatch, seconds: float, is_remembered: bool
) -> None:
    monkeypatch.setattr(grants, "MEMORY", seconds)
    known = Grants()
    assert may(known, workspace, ["mover"])
    give(workspace, RUN)
    assert may(known, workspace, ["mover"]) is is_remembered
    assert not may(Grants(), workspace, ["mover"])
