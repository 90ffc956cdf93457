"""How long a log-in lasts, how many there are, and how many may fail."""

from collections.abc import Iterator
from typing import Any

import pytest

from chatferry import accounts
from chatferry.accounts import TokenRules
from chatferry.api.auth.attempts import LoginAttempts
from chatferry.clock import now
from chatferry.destinations.sqlite.destination import SqliteDestination
from chatferry.documents import USERS, Date, Document, Update
from chatferry.ids import hash_token
from chatferry.settings import Settings, from_environment
from tests.support.serving import Server, add_users, client, documents, login, serving

DAY = 24 * 60 * 60 * 1000
TOKENS = "services.resume.loginTokens"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("tokens") / "data"
    add_users(data, {"plain": ["user"], "other": ["user"], "third": ["user"]})
    with serving(
        data, CHATFERRY_RATE_LIMIT="on", CHATFERRY_TRUSTED_PROXIES="127.0.0.1", CHATFERRY_LOGIN_TOKENS="5"
    ) as running:
        yield running


def give(server: Server, name: str, entries: list[dict[str, Any]]) -> str:
    """Give a user's account such tokens; the user's id."""
    destination = SqliteDestination(server.data / "workspace.sqlite3")
    try:
        user = accounts.user_named(destination, name)
        assert user is not None
        destination.apply([Update(collection=USERS, id=user["_id"], set={TOKENS: entries})])
        return str(user["_id"])
    finally:
        destination.close()


def entry(token: str, age: int, **more: Any) -> dict[str, Any]:
    return {"hashedToken": hash_token(token), "when": Date.at(now() - age), **more}


def entries_of(server: Server, name: str) -> list[dict[str, Any]]:
    (user,) = [one for one in documents(server.data, USERS) if one.get("username") == name]
    found: list[dict[str, Any]] = user["services"]["resume"]["loginTokens"]
    return found


def status(server: Server, id: str, token: str) -> list[int]:
    """What the token opens: calls, files, and a log-in that goes on."""
    with client(server, id, token) as http:
        answers = [http.get("me"), http.get(f"{server.address}/avatar/plain")]
        answers.append(http.post("login", json={"resume": token}, headers={"X-Forwarded-For": "192.0.2.250"}))
        return [answer.status_code for answer in answers]


def test_a_login_lasts_90_days_and_a_personal_token_for_ever(server: Server) -> None:
    personal = {"hashedToken": hash_token("personal"), "type": "personalAccessToken"}
    old = {**personal, "hashedToken": hash_token("old"), "when": Date.at(now() - 1000 * DAY)}
    odd = {"hashedToken": hash_token("odd")}
    young, ended = entry("young", 90 * DAY - 60_000), entry("ended", 90 * DAY + 1)
    id = give(server, "plain", [young, ended, personal, old, odd])
    assert status(server, id, "young") == status(server, id, "old") == status(server, id, "odd") == [200] * 3
    assert status(server, id, "ended") == [401, 403, 401]


def test_tokens_that_have_ended_and_the_oldest_go_at_the_next_login(server: Server) -> None:
    personal = {"hashedToken": hash_token("personal"), "type": "personalAccessToken"}
    ended = [entry(f"ended{number}", 91 * DAY) for number in range(20_000)]
    lasting = [entry(f"lasting{number}", number * DAY) for number in range(7)]
    give(server, "other", [*ended, personal, *lasting])
    with login(server, "other", "other") as http:
        assert http.get("me").status_code == 200
    kept = entries_of(server, "other")
    assert [one["hashedToken"] for one in kept[:-1]] == [
        hash_token(name) for name in ("personal", "lasting0", "lasting1", "lasting2", "lasting3")
    ]
    assert len(kept) == 6


def test_a_rocket_chat_server_sees_to_its_tokens_itself() -> None:
    beside = Settings(destination="mongodb://localhost/rocketchat").token_rules
    user: Document = {"services": {"resume": {"loginTokens": [entry("x", 1000 * DAY)] * 100}}}
    assert not beside.is_over(entry("x", 1000 * DAY), now()) and beside.superfluous(user, now()) == []
    own = from_environment({"CHATFERRY_LOGIN_DAYS": "7", "CHATFERRY_LOGIN_TOKENS": "9"}).token_rules
    assert own == TokenRules(7, 9) and Settings().token_rules == TokenRules(90, 50)


def attempt(server: Server, address: str, user: str, password: str) -> int:
    with client(server) as nobody:
        body = {"user": user, "password": password}
        answer = nobody.post("login", json=body, headers={"X-Forwarded-For": address})
    assert answer.status_code != 429 or "too many requests" in answer.json()["error"]
    return answer.status_code


def test_an_account_takes_few_wrong_passwords_from_an_address(server: Server) -> None:
    names = ["third", "third@example.com", "THIRD@EXAMPLE.COM"]  # one account
    told = [attempt(server, "192.0.2.1", names[number % 3], "wrong") for number in range(8)]
    assert told == [401] * 8
    assert attempt(server, "192.0.2.1", "third", "third") == 429
    assert attempt(server, "192.0.2.2", "third", "third") == 200
    assert attempt(server, "192.0.2.1", "plain", "plain") == 200
    audit = (server.data / "audit.log").read_text()
    assert audit.count("too many attempts") == 1


def test_right_passwords_are_not_counted() -> None:
    attempts = LoginAttempts(here=2, anywhere=4)
    for _ in range(20):
        assert attempts.begin("a", "192.0.2.1") == 0
        attempts.succeed("a", "192.0.2.1")


def test_failures_from_everywhere_do_not_lock_out_a_known_address() -> None:
    attempts = LoginAttempts(here=2, anywhere=4)
    attempts.begin("a", "192.0.2.1")
    attempts.succeed("a", "192.0.2.1")
    assert [attempts.begin("a", f"198.51.100.{number}") == 0 for number in range(6)] == [True] * 4 + [
        False
    ] * 2
    assert 0 < attempts.begin("a", "192.0.2.9") <= 600
    assert attempts.begin("b", "192.0.2.9") == 0
    assert [attempts.begin("a", "192.0.2.1") == 0 for _ in range(3)] == [True, True, False]


def test_failures_from_one_address_do_not_lock_out_another() -> None:
    attempts = LoginAttempts(here=2, anywhere=4)
    for _ in range(100):
        attempts.begin("a", "192.0.2.1")
    assert attempts.begin("a", "192.0.2.2") == 0


def test_few_known_addresses_are_remembered() -> None:
    attempts = LoginAttempts(here=2, anywhere=1, most_known=2)
    for number in range(3):
        attempts.succeed("a", f"192.0.2.{number}")
    assert attempts.begin("a", "198.51.100.1") == 0
    assert [attempts.begin("a", f"192.0.2.{number}") == 0 for number in range(3)] == [False, True, True]
