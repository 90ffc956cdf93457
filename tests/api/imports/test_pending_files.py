"""downloadPendingFiles and downloadPendingAvatars: bodies, and when nothing is pending."""

from collections.abc import Iterator

import httpx
import pytest

from tests.support.refusals import JSON_TYPE, invalid, refusal
from tests.support.serving import Server, add_users, current, latest, login, serving

TYPES = {
    "downloadPendingFiles": ("pending-files", "Pending Files"),
    "downloadPendingAvatars": ("pending-avatars", "Pending Avatars"),
}
TEXT_TYPE = {"Content-Type": "text/plain"}
NOTHING = b'{"count":0,"success":true}'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on which nothing is ever pending."""
    data = tmp_path_factory.mktemp("nothing-pending") / "data"
    add_users(data, {"starter": ["starter"]}, run_import=("starter",))
    with serving(data) as running:
        yield running
        assert not (running.data / "errors.log").exists()


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    with login(server) as admin:
        yield admin


@pytest.mark.parametrize("endpoint", TYPES)
def test_bodies_that_do_not_fit(http: httpx.Client, endpoint: str) -> None:
    before = latest(http)
    too_much = invalid("must NOT have additional properties")
    assert refusal(http.post(endpoint, json={"a": 1})) == too_much
    assert refusal(http.post(endpoint, content=b"hello", headers=TEXT_TYPE)) == too_much
    for content in (b"[]", b"[{}]"):
        answer = http.post(endpoint, content=content, headers=JSON_TYPE)
        assert refusal(answer) == invalid("must be object")
    assert latest(http) == before


@pytest.mark.parametrize("endpoint", TYPES)
@pytest.mark.parametrize("content", [b"{}", b"", b"{", b"\xff"])
def test_nothing_is_pending(http: httpx.Client, endpoint: str, content: bytes) -> None:
    """A body that is no JSON counts as an empty one. The operation is done from the start."""
    assert http.post(endpoint, content=content, headers=JSON_TYPE).content == NOTHING
    operation = current(http)
    assert (operation["importerKey"], operation["type"]) == TYPES[endpoint]
    assert (operation["status"], operation["valid"]) == ("importer_done", True)
    assert not {"count", "file", "contentType"} & operation.keys()
    assert http.get("import.status").json()["state"] == "done"


@pytest.mark.parametrize("endpoint", TYPES)
def test_without_a_body(http: httpx.Client, endpoint: str) -> None:
    assert http.post(endpoint).content == NOTHING


@pytest.mark.parametrize("endpoint", TYPES)
def test_it_takes_the_place_of_anybodys(server: Server, http: httpx.Client, endpoint: str) -> None:
    before = http.post("import.new").json()["operation"]
    with login(server, "starter", "starter") as starter:
        assert starter.post(endpoint).content == NOTHING
    taken_back = next(one for one in latest(http) if one["_id"] == before["_id"])
    assert taken_back == {**before, "valid": False, "_updatedAt": taken_back["_updatedAt"]}
    assert current(http)["user"] != before["user"]
