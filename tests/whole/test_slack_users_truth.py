"""Generated lists of Slack's members against their truth manifests."""

import zipfile
from pathlib import Path

import pytest

from chatferry.destinations import Destination
from chatferry.documents import COLLECTIONS, SUBSCRIPTIONS, USERS
from chatferry.operations import Status
from testdata.entries import Account, Person, Skipped, read_lines
from testdata.sheet import Style
from testdata.slack_users_export import Shape, write_export
from tests.support.entries import add_accounts, counts, of_kind, persons, said, told
from tests.support.importing import Imported, import_archive, sqlite_workspace
from tests.support.truth import assert_sums

KINDS = {
    "is admin": "user-is-admin",
    "username changed": "username-changed",
    "no e-mail": "user-without-id",
    "e-mail dropped": "field-dropped",
    "e-mail twice": "user-twice",
    "merged": "user-merged-by-email",
    "merged by username": "user-merged-by-username",
}


def imported(archive: Path, destination: Destination) -> Imported:
    found = import_archive(archive, destination, importer_key="slack-users")
    assert found.operation.status == Status.DONE, found.operation.error
    assert_sums(found)
    return found


@pytest.mark.parametrize("style", ["tidy", "excel", "windows"])
def test_every_member_is_imported_and_again_is_no_news(tmp_path: Path, style: Style) -> None:
    archive = tmp_path / "members.csv"
    write_export(archive, Shape(style=style), tmp_path / "truth.jsonl")
    lines = read_lines(tmp_path / "truth.jsonl")
    wanted = {person.import_ids[0]: person for person in of_kind(Person, lines)}
    accounts, skipped = of_kind(Account, lines), len(of_kind(Skipped, lines))
    with sqlite_workspace(tmp_path / "workspace.sqlite3") as destination:
        add_accounts(destination, accounts)
        first = imported(archive, destination)
        documents = {name: first.documents(name) for name in (USERS, SUBSCRIPTIONS)}
        assert persons(documents) == wanted
        assert counts(first.report["users"]) == {
            "read": 300,
            "inserted": len(wanted) - len(accounts),
            "updated": len(accounts),
            "skipped": skipped,
        }
        assert told(first.report) == said(lines, KINDS)
        assert len(documents[USERS]) == len(wanted) + 2  # and the administrator, and rocket.cat
        before = {name: list(destination.dump(name)) for name in COLLECTIONS}
        again = imported(archive, destination)
        assert {name: list(destination.dump(name)) for name in COLLECTIONS} == before
        unchanged = {"read": 300, "unchanged": len(wanted), "skipped": skipped}
        assert counts(again.report["users"]) == unchanged


def test_a_list_in_a_zip_beside_other_files(tmp_path: Path) -> None:
    write_export(tmp_path / "members.csv", Shape(users=30), tmp_path / "truth.jsonl")
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as out:
        out.write(tmp_path / "members.csv", "mine/Members.CSV")
        out.writestr("mine/README.md", "from Slack")
    lines = read_lines(tmp_path / "truth.jsonl")
    with sqlite_workspace(tmp_path / "workspace.sqlite3") as destination:
        add_accounts(destination, of_kind(Account, lines))
        found = imported(tmp_path / "export.zip", destination)
        documents = {name: found.documents(name) for name in (USERS, SUBSCRIPTIONS)}
    assert persons(documents) == {person.import_ids[0]: person for person in of_kind(Person, lines)}


def test_the_same_shape_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_export(tmp_path / f"{name}.csv", Shape(), tmp_path / f"{name}.jsonl")
    for suffix in ("csv", "jsonl"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
