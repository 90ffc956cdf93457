"""users.generatePersonalAccessToken, .regenerate..., .get...s and .remove...: tokens with a name."""

import re
from datetime import datetime
from typing import Any

import httpx
import pytest

from chatferry.clock import now
from chatferry.documents import USERS
from chatferry.ids import hash_token
from tests.support.refusals import NO_LOGIN, Refusal, action_error, failure, invalid, refusal
from tests.support.serving import UNAUTHORIZED, Server, client, documents, login

pytestmark = pytest.mark.usefixtures("nothing_is_left")

GENERATE, REGENERATE, REMOVE = (
    f"users.{verb}PersonalAccessToken" for verb in ("generate", "regenerate", "remove")
)
SUCCESS = {"success": True}


def token_error(reason: str, code: str, method: str) -> Refusal:
    return action_error(reason, code, {"method": f"personalAccessTokens:{method}"})


def listed(http: httpx.Client) -> list[dict[str, Any]]:
    answer = http.get("users.getPersonalAccessTokens")
    assert list(answer.json()) == ["tokens", "success"]
    tokens: list[dict[str, Any]] = answer.json()["tokens"]
    return tokens


def generated(http: httpx.Client, name: str, **more: Any) -> str:
    status, wire = refusal(http.post(GENERATE, json={"tokenName": name, **more}))
    assert (status, list(wire), wire["success"]) == (200, ["token", "success"], True)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", wire["token"])
    return str(wire["token"])


def works(server: Server, http: httpx.Client, token: str) -> bool:
    with client(server, http.headers["X-User-Id"], token) as holder:
        answer = holder.get("me")
    assert answer.status_code == 200 or refusal(answer) == (401, UNAUTHORIZED)
    return answer.status_code == 200


def test_a_token_from_its_making_to_its_end(server: Server, plain: httpx.Client) -> None:
    before = now()
    assert listed(plain) == []
    first = generated(plain, "nightly", bypassTwoFactor=True)
    assert works(server, plain, first)
    (entry,) = listed(plain)
    assert list(entry) == ["name", "createdAt", "lastTokenPart", "bypassTwoFactor"]
    assert (entry["name"], entry["lastTokenPart"], entry["bypassTwoFactor"]) == ("nightly", first[-6:], True)
    assert before <= datetime.fromisoformat(entry["createdAt"]).timestamp() * 1000 + 1 <= now() + 1
    second = plain.post(REGENERATE, json={"tokenName": "nightly"}).json()["token"]
    assert (works(server, plain, first), works(server, plain, second)) == (False, True)
    assert [(one["lastTokenPart"], one["bypassTwoFactor"]) for one in listed(plain)] == [(second[-6:], True)]
    other = generated(plain, "other")
    assert plain.post(REMOVE, json={"tokenName": "nightly"}).json() == SUCCESS
    assert (works(server, plain, second), works(server, plain, other)) == (False, True)
    assert [one["name"] for one in listed(plain)] == ["other"]
    assert plain.post(REMOVE, json={"tokenName": "other"}).json() == SUCCESS
    assert plain.get("me").status_code == 200  # the session is another token


def test_how_it_is_kept(server: Server, plain: httpx.Client) -> None:
    token = generated(plain, "kept")
    (user,) = (one for one in documents(server.data, USERS) if one["username"] == "plain")
    entry = user["services"]["resume"]["loginTokens"][-1]
    assert entry["hashedToken"] == hash_token(token)
    assert list(entry) == ["hashedToken", "type", "createdAt", "lastTokenPart", "name", "bypassTwoFactor"]
    assert (entry["type"], entry["name"], entry["bypassTwoFactor"]) == ("personalAccessToken", "kept", False)
    assert token not in str(user)
    plain.post(REMOVE, json={"tokenName": "kept"})


def test_names_are_used_once(plain: httpx.Client, http: httpx.Client) -> None:
    reason, code = "A token with this name already exists", "error-token-already-exists"
    generated(plain, "twice")
    for name in ("twice", "Twice"):
        answer = plain.post(GENERATE, json={"tokenName": name})
        assert (answer.status_code == 200) == (name != "twice")
        if name == "twice":
            assert refusal(answer) == token_error(reason, code, "generateToken")
    generated(http, "twice")  # somebody else's
    http.post(REMOVE, json={"tokenName": "twice"})
    assert {one["name"] for one in listed(plain)} == {"twice", "Twice"}
    for name in ("twice", "Twice"):
        plain.post(REMOVE, json={"tokenName": name})


@pytest.mark.parametrize(("endpoint", "method"), [(REGENERATE, "regenerateToken"), (REMOVE, "removeToken")])
@pytest.mark.parametrize("name", ["none", "x" * 5000, "\0", "../..", "$ne"])
def test_tokens_that_do_not_exist(plain: httpx.Client, endpoint: str, method: str, name: str) -> None:
    expected = token_error("Token does not exist", "error-token-does-not-exists", method)
    assert refusal(plain.post(endpoint, json={"tokenName": name})) == expected


@pytest.mark.parametrize("endpoint", [GENERATE, REGENERATE, REMOVE])
def test_without_a_name(plain: httpx.Client, endpoint: str) -> None:
    bodies: list[dict[str, object]] = [{}, {"tokenName": ""}, {"tokenName": None}, {"name": "x"}]
    for body in bodies:
        assert refusal(plain.post(endpoint, json=body)) == failure("The 'tokenName' param is required")
    values: list[object] = [{}, ["x"]]
    for value in values:
        assert refusal(plain.post(endpoint, json={"tokenName": value})) == invalid("must be string")
    assert refusal(plain.post(endpoint, json=[])) == invalid("must be object")
    assert listed(plain) == []


@pytest.mark.parametrize("name", ["\0", "../../etc", "é" * 4096, "'; DROP TABLE users", "\u202e"])
def test_odd_names(server: Server, plain: httpx.Client, name: str) -> None:
    assert works(server, plain, generated(plain, name))
    assert [one["name"] for one in listed(plain)] == [name]
    assert plain.post(REMOVE, json={"tokenName": name}).json() == SUCCESS


def test_its_hash_is_no_token_and_another_user_has_no_use_for_it(
    server: Server, plain: httpx.Client, http: httpx.Client
) -> None:
    token = generated(plain, "mine")
    assert not works(server, plain, hash_token(token))
    assert not works(server, http, token)
    plain.post(REMOVE, json={"tokenName": "mine"})


def test_logging_out_and_resuming_with_it(server: Server, plain: httpx.Client) -> None:
    token = generated(plain, "session")
    with client(server) as nobody:
        assert nobody.post("login", json={"resume": token}).json()["data"]["authToken"] == token
        with client(server, plain.headers["X-User-Id"], token) as holder:
            assert holder.post("logout").status_code == 200
        assert refusal(nobody.post("login", json={"resume": token})) == (401, NO_LOGIN)
    assert listed(plain) == []


def test_everybody_has_the_permission_by_default(server: Server) -> None:
    with login(server, "watcher", "watcher") as without, login(server, "plain", "plain") as user:
        assert without.post(GENERATE, json={"tokenName": "x"}).status_code == 403
        assert user.get("users.getPersonalAccessTokens").status_code == 200
