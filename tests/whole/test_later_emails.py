"""E-mail addresses that come later: Slack's list of members, after an export that has none."""

from pathlib import Path
from typing import Any

import pytest

from chatferry.documents import USERS, Document, Insert
from tests.support.command_line import chatferry
from tests.support.importing import Imported, documents_of, import_archive, workspace, write_folder
from tests.support.serving import add_users, documents

MEMBERS = "username,email,status\nann,ann@example.org,Member\nbob,bob@example.org,Member\n"


@pytest.fixture
def export(tmp_path: Path) -> Path:
    files: dict[str, Any] = {
        "users.json": [{"id": "U0ANN", "name": "ann"}, {"id": "U0BOB", "name": "bob"}],
        "channels.json": [{"id": "C0PLANS", "name": "plans", "creator": "U0ANN", "members": ["U0ANN"]}],
    }
    (tmp_path / "members.csv").write_text(MEMBERS)
    return write_folder(tmp_path / "export", files)


def addresses(accounts: list[Document]) -> dict[str, list[str]]:
    people = [account for account in accounts if account["username"] in ("ann", "ann-1", "bob", "native")]
    return {one["username"]: [email["address"] for email in one.get("emails", ())] for one in people}


def listed(export: Path, found: Imported) -> Imported:
    return import_archive(
        export.parent / "members.csv", found.destination, found.store, importer_key="slack-users"
    )


def test_a_list_brings_the_addresses_that_the_export_lacks(export: Path) -> None:
    first = import_archive(export)
    assert first.problem_kinds.count("user-without-email") == 2
    second = listed(export, first)
    wanted = {"ann": ["ann@example.org"], "bob": ["bob@example.org"]}
    assert addresses(second.documents(USERS)) == wanted
    assert second.report["users"]["updated"] == 2
    assert second.problem_kinds == ["user-merged-by-username"] * 2
    again = import_archive(export, second.destination, second.store)
    assert again.report["users"]["unchanged"] == 2
    assert listed(export, again).report["users"]["unchanged"] == 2
    assert addresses(documents_of(again.destination, USERS)) == wanted


def test_accounts_that_no_import_made_get_no_address(export: Path) -> None:
    destination = workspace()
    ann: Document = {"_id": "ann", "type": "user", "username": "ann", "name": "Ann", "roles": ["user"]}
    destination.apply([Insert(USERS, ann | {"active": True})])
    second = listed(export, import_archive(export, destination))
    assert addresses(second.documents(USERS)) == {"ann": [], "bob": ["bob@example.org"]}


def test_an_address_that_another_account_has_is_told(export: Path) -> None:
    first = import_archive(export)
    native: Document = {"_id": "native", "type": "user", "username": "native", "name": "N", "roles": ["user"]}
    native |= {"active": True, "emails": [{"address": "ann@example.org", "verified": True}]}
    first.destination.apply([Insert(USERS, native)])
    people = [
        {"id": "U0ANN", "name": "ann", "profile": {"email": "Ann@example.org"}},
        {"id": "U0BOB", "name": "bob"},
    ]
    write_folder(export, {"users.json": people})
    second = import_archive(export, first.destination, first.store)
    assert addresses(second.documents(USERS)) == {"ann": [], "bob": [], "native": ["ann@example.org"]}
    assert "account-not-changed" in second.problem_kinds
    assert second.report["users"]["failed"] == 0


def test_only_an_administrator_brings_addresses(export: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    add_users(data, {"chief": ["admin", "user"], "plain": ["user"]}, run_import=("user",))
    assert chatferry("import", "slack", export, "--data", data, "--as", "chief").returncode == 0
    members = tmp_path / "members.csv"
    assert (
        "account-not-changed"
        in chatferry("import", "slack-users", members, "--data", data, "--as", "plain").stdout
    )
    assert addresses(documents(data, USERS)) == {"ann": [], "bob": []}
    chatferry("import", "slack-users", members, "--data", data, "--as", "chief")
    assert addresses(documents(data, USERS)) == {"ann": ["ann@example.org"], "bob": ["bob@example.org"]}
