"""import.addUsers and import.run with users of any kind: each is counted, a second run changes nothing."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatferry.documents import USERS
from tests.support.serving import Server, documents, login, serving, wait_for

IDS = st.sampled_from(["u1", "u2", "u3", "", "$a", "a.b", "\0", "x" * 300]) | st.text(max_size=4)
EMAILS = st.sampled_from(["a@x.org", "A@X.org", "b@x.org", "", "@", "no address"]) | st.text(max_size=6)
TEXTS = st.none() | st.sampled_from(["ada", "ADA", "admin", "rocket.cat", "all"]) | st.text(max_size=8)
ODD = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3)
)
PEOPLE = st.fixed_dictionaries(
    {"emails": st.lists(EMAILS, max_size=3), "importIds": st.lists(IDS, max_size=3)},
    optional={
        **dict.fromkeys(("username", "name", "avatarUrl", "statusText", "bio", "type"), TEXTS | ODD),
        **dict.fromkeys(("utcOffset", "deleted", "_id", "services"), ODD),
        "roles": st.none() | st.lists(st.sampled_from(["user", "bot", "admin", "none"]), max_size=2),
    },
)
QUIET = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("any-users")) as server:
        yield server
        assert not (server.data / "errors.log").exists()


@pytest.fixture(scope="module")
def http(running: Server) -> Iterator[httpx.Client]:
    with login(running) as admin:
        yield admin


def imported(http: httpx.Client, users: list[dict[str, Any]]) -> bool:
    """Whether these users were taken; they are imported then."""
    http.post("import.new")
    answer = http.post("import.addUsers", json={"users": users})
    if answer.status_code != 200 or not users:
        assert answer.status_code in (200, 400), answer.text
        return False
    assert http.post("import.run").json() == {"success": True}
    operation = wait_for(http, "importer_done")
    count = operation["count"]
    assert count["completed"] + count["error"] == count["total"] == len(users)
    return True


def check(server: Server, http: httpx.Client, users: list[dict[str, Any]]) -> None:
    if imported(http, users):
        before = documents(server.data, USERS)
        assert imported(http, users)
        assert documents(server.data, USERS) == before


@settings(QUIET, max_examples=20)
@given(st.lists(PEOPLE, max_size=4))
def test_any_users(running: Server, http: httpx.Client, users: list[dict[str, Any]]) -> None:
    check(running, http, users)


@pytest.mark.long
@settings(QUIET, max_examples=2_000)
@given(st.lists(PEOPLE, max_size=4))
def test_any_users_at_length(running: Server, http: httpx.Client, users: list[dict[str, Any]]) -> None:
    check(running, http, users)
