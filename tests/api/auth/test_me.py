"""me: the account, and no secret of it."""

import json

import httpx
import pytest

from chatferry.documents import USERS
from tests.support.refusals import TABLE, call, refusal
from tests.support.serving import ADMIN, EMAIL, PASSWORD, Server, client, documents

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def test_me_needs_no_permission(plain: httpx.Client) -> None:
    assert plain.get("me").json()["username"] == "plain"


def test_me(server: Server, http: httpx.Client) -> None:
    status, me = refusal(http.get("me"))
    assert status == 200
    address = {"address": EMAIL, "verified": True}
    expected = {
        "_id": http.headers["X-User-Id"],
        "username": ADMIN,
        "roles": ["admin"],
        "active": True,
        "emails": [address],
        "email": EMAIL,
        "settings": {"profile": {}, "preferences": {}, "calendar": {}},
        "avatarUrl": f"{server.address}/avatar/{ADMIN}",
        "isOAuthUser": False,
        "services": {"password": {"exists": True}},
        "success": True,
    }
    assert {key: me.get(key) for key in expected} == expected


def test_the_answer_holds_no_secret(server: Server, http: httpx.Client) -> None:
    token = http.headers["X-Auth-Token"]
    account = next(user for user in documents(server.data, USERS) if user["username"] == ADMIN)
    tokens = [entry["hashedToken"] for entry in account["services"]["resume"]["loginTokens"]]
    secrets = [token, account["services"]["password"]["bcrypt"], *tokens]
    with client(server) as nobody:
        told = nobody.post("login", json={"user": ADMIN, "password": PASSWORD}).json()["data"]["me"]
    readable = [key for key in TABLE if key.startswith("GET") and key != "GET logout"]
    texts = [http.get("me").text, json.dumps(told), *(call(http, key).text for key in readable)]
    assert len(tokens) > 0
    assert not [secret for secret in secrets for text in texts if secret in text]
