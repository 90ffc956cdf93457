"""Who may call which endpoint, and in which order requests are checked."""

import httpx
import pytest

from chatferry.ids import new_id, new_token
from tests.support.refusals import BEGINNING, GUARDED, PERMITTED, TABLE, call, refusal
from tests.support.serving import NOT_ALLOWED, UNAUTHORIZED, Server, client, login

pytestmark = pytest.mark.usefixtures("nothing_is_left")


@pytest.mark.parametrize("key", GUARDED)
def test_without_credentials(server: Server, http: httpx.Client, key: str) -> None:
    user, token = http.headers["X-User-Id"], http.headers["X-Auth-Token"]
    with client(server) as nobody:
        for user_id, auth_token in [
            ("", ""),
            (user, ""),
            ("", token),
            (user, new_token()),
            (new_id(), token),
        ]:
            headers = {"X-User-Id": user_id, "X-Auth-Token": auth_token}
            assert refusal(call(nobody, key, headers=headers)) == (401, UNAUTHORIZED)


@pytest.mark.parametrize("key", PERMITTED)
def test_without_permission(powerless: httpx.Client, key: str) -> None:
    assert refusal(call(powerless, key)) == (403, NOT_ALLOWED)


@pytest.mark.parametrize("key", [key for key in PERMITTED if "PersonalAccessToken" not in key])
def test_only_administrators_import_unless_others_are_let(plain: httpx.Client, key: str) -> None:
    assert refusal(call(plain, key)) == (403, NOT_ALLOWED)


def test_the_permissions_are_rocket_chats() -> None:
    asked = {key: endpoint.permission for key, endpoint in TABLE.items() if endpoint.permission}
    own = ("import.operations", "import.operations/{id}", "import.events", "import.report")
    views = ("getLatestImportOperations", *own)
    assert {asked.pop(f"GET {name}") for name in views} == {"view-import-operations"}
    tokens = {key for key in asked if "PersonalAccessToken" in key}
    assert {asked.pop(key) for key in tokens} == {"create-personal-access-tokens"}
    assert set(asked.values()) == {"run-import"}
    assert len(asked) == 24


def test_each_endpoint_asks_for_its_permission(server: Server) -> None:
    with login(server, "starter", "starter") as starter, login(server, "watcher", "watcher") as watcher:
        for key in PERMITTED:
            may = {"run-import": starter, "view-import-operations": watcher}
            for permission, caller in may.items():
                if TABLE[key].permission != permission:
                    assert refusal(call(caller, key)) == (403, NOT_ALLOWED)
                elif key not in BEGINNING:
                    assert call(caller, key).status_code in (200, 204, 400, 404, 415)


@pytest.mark.parametrize("key", PERMITTED)
def test_checks_have_an_order(server: Server, http: httpx.Client, powerless: httpx.Client, key: str) -> None:
    """Login, permission, query or body, and only then the subject of the call."""
    with client(server) as nobody:
        assert refusal(wrong(nobody, key)) == (401, UNAUTHORIZED)
    assert refusal(wrong(powerless, key)) == (403, NOT_ALLOWED)
    if TABLE[key].takes_form:
        assert refusal(wrong(http, key))[0] == 415
    elif TABLE[key].query is not None or TABLE[key].body is not None:
        assert refusal(wrong(http, key))[1]["errorType"] in ("error-invalid-params", "invalid-params")


def wrong(http: httpx.Client, key: str) -> httpx.Response:
    """A call whose query or body does not fit."""
    if TABLE[key].body is None:
        return call(http, key, "?a=1")
    return http.post(TABLE[key].name, json=[])
