"""Generated bodies of import.addUsers against their truth manifest, over HTTP."""

import json
from pathlib import Path
from typing import Any

import httpx
from msgspec.structs import replace

from chatferry.destinations.sqlite.destination import SqliteDestination
from chatferry.documents import COLLECTIONS, SUBSCRIPTIONS, USERS
from chatferry.reports import operation as report
from chatferry.store import Store
from testdata.added_users import HELPER, Shape, write_bodies
from testdata.entries import Account, Person, Skipped, read_lines
from tests.support.entries import add_accounts, counts, of_kind, persons, said, told
from tests.support.serving import Server, add_users, documents, login, serving, wait_for

KINDS = {
    "username changed": "username-changed",
    "exists": "user-exists",
    "field dropped": "user-field-dropped",
    "role not granted": "role-not-granted",
    "no name": "user-without-name",
}


def imported(server: Server, bodies: list[dict[str, Any]]) -> dict[str, Any]:
    """Send all bodies, each by its sender, and import; the report."""
    senders = {"admin": login(server), HELPER: login(server, HELPER, HELPER)}
    id = senders["admin"].post("import.new").json()["operation"]["_id"]
    for body in bodies:
        answer = senders[body["by"]].post("import.addUsers", json={"users": body["users"]})
        assert answer.json() == {"success": True}
    assert senders["admin"].post("import.run").json() == {"success": True}
    operation = wait_for(senders["admin"], "importer_done", id=id)
    total = sum(len(body["users"]) for body in bodies)
    assert operation["count"] == {"total": total, "users": total, "completed": total, "error": 0}
    for http in senders.values():
        http.close()
    with Store(server.data / "store.sqlite3") as store:
        found = store.operations.get(id)
        assert found
        return report.as_json(found, store, every=True)


def kept(server: Server) -> dict[str, list[dict[str, Any]]]:
    """Everything but the tokens of those who log in."""
    found = {name: documents(server.data, name) for name in COLLECTIONS}
    for user in found[USERS]:
        user.get("services", {}).pop("resume", None)
    return found


def test_every_user_is_imported_and_again_is_no_news(tmp_path: Path) -> None:
    write_bodies(tmp_path / "bodies.jsonl", Shape(), tmp_path / "truth.jsonl")
    bodies = [json.loads(line) for line in (tmp_path / "bodies.jsonl").read_text().splitlines()]
    lines = read_lines(tmp_path / "truth.jsonl")
    wanted, skipped = of_kind(Person, lines), len(of_kind(Skipped, lines))
    data = tmp_path / "data"
    add_users(data, {HELPER: [HELPER]}, run_import=(HELPER,))
    destination = SqliteDestination(data / "workspace.sqlite3")
    add_accounts(destination, of_kind(Account, lines))
    destination.close()
    with serving(data) as server:
        before = {user["_id"]: user for user in kept(server)[USERS]}
        first = imported(server, bodies)
        after = kept(server)
        assert persons(after) == {one.import_ids[0]: replace(one, password="") for one in wanted}
        assert counts(first["users"]) == {"read": 300, "inserted": len(wanted), "skipped": skipped}
        assert told(first) == said(lines, KINDS)
        assert after[SUBSCRIPTIONS] == []
        olds = {user["_id"]: user for user in after[USERS] if user["_id"] in before}
        assert {id: without_times(user) for id, user in olds.items()} == {
            id: without_times(user) for id, user in before.items()
        }
        assert_passwords(server, wanted, after[USERS])

        again = imported(server, bodies)
        assert counts(again["users"]) == {"read": 300, "skipped": 300}
        assert {name: in_order(found) for name, found in kept(server).items()} == {
            name: in_order(found) for name, found in after.items()
        }


def without_times(user: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in user.items() if key not in ("lastLogin", "_updatedAt")}


def in_order(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(map(without_times, found), key=lambda one: str(one["_id"]))


def assert_passwords(server: Server, wanted: list[Person], users: list[dict[str, Any]]) -> None:
    """Those who were given one can log in with it, and nobody else has one."""
    given = {person.username: person.password for person in wanted if person.password}
    assert len(given) == 5
    imported = [user for user in users if "importIds" in user]
    assert {user["username"] for user in imported if "password" in user["services"]} == set(given)
    for name, password in given.items():
        http: httpx.Client
        with login(server, name, password) as http:
            assert http.get("me").json()["username"] == name


def test_the_same_shape_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_bodies(tmp_path / name, Shape(), tmp_path / f"{name}.truth")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a.truth").read_bytes() == (tmp_path / "b.truth").read_bytes()
