"""Generated contacts against their truth manifests. Rows without an id are compared by content."""

from pathlib import Path
from typing import Any

import pytest

from chatferry.destinations import Destination
from chatferry.documents import COLLECTIONS, CONTACTS, USERS
from chatferry.operations import Status
from testdata.contacts_export import Shape, write_export
from testdata.entries import Account, Contact, Skipped, read_lines
from testdata.sheet import Style
from tests.support.entries import add_accounts, counts, of_kind, said, told
from tests.support.importing import Imported, import_archive, sqlite_workspace
from tests.support.truth import assert_sums

KINDS = {
    "unknown manager": "unknown-manager",
    "no name": "contact-without-name",
    "empty": "contact-empty",
    "id twice": "contact-twice",
    "too long": "contact-not-readable",
}


def imported(archive: Path, destination: Destination) -> Imported:
    found = import_archive(archive, destination, importer_key="omnichannel_contact")
    assert found.operation.status == Status.DONE, found.operation.error
    assert_sums(found)
    return found


def contacts(found: Imported, wanted: list[Contact]) -> list[Contact]:
    names = {user["_id"]: user["username"] for user in found.documents(USERS)}
    ids = {contact.id for contact in wanted}
    return in_order(_contact(one, names, ids) for one in found.documents(CONTACTS))


def _contact(document: dict[str, Any], names: dict[str, str], ids: set[str]) -> Contact:
    (id,) = document["importIds"]
    always = {"channels": [], "unknown": False, "preRegistration": True}
    assert {key: document[key] for key in always} == always
    return Contact(
        id=id if id in ids else "",
        name=document["name"],
        emails=[email["address"] for email in document.get("emails", ())],
        phones=[phone["phoneNumber"] for phone in document.get("phones", ())],
        manager=names[document["contactManager"]] if "contactManager" in document else "",
        fields=document.get("customFields", {}),
    )


def in_order(contacts: Any) -> list[Contact]:
    return sorted(contacts, key=lambda one: (one.id, one.name, one.emails, sorted(one.fields.items())))


@pytest.mark.parametrize("style", ["tidy", "excel", "windows"])
def test_every_contact_is_imported_and_again_is_no_news(tmp_path: Path, style: Style) -> None:
    archive = tmp_path / ("contacts.txt" if style == "windows" else "contacts.csv")
    write_export(archive, Shape(style=style), tmp_path / "truth.jsonl")
    lines = read_lines(tmp_path / "truth.jsonl")
    wanted, skipped = of_kind(Contact, lines), of_kind(Skipped, lines)
    failed = sum(line.why == "too long" for line in skipped)
    left = {"skipped": len(skipped) - failed, "failed": failed}
    with sqlite_workspace(tmp_path / "workspace.sqlite3") as destination:
        add_accounts(destination, of_kind(Account, lines))
        first = imported(archive, destination)
        assert contacts(first, wanted) == in_order(wanted)
        assert counts(first.report["contacts"]) == {"read": 300, "inserted": len(wanted), **left}
        guessed = [("file-encoding-guessed", "")] if style == "windows" else []
        assert told(first.report) == sorted(said(lines, KINDS) + guessed)
        before = {name: list(destination.dump(name)) for name in COLLECTIONS}
        again = imported(archive, destination)
        assert {name: list(destination.dump(name)) for name in COLLECTIONS} == before
        assert counts(again.report["contacts"]) == {"read": 300, "unchanged": len(wanted), **left}


def test_the_same_shape_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_export(tmp_path / f"{name}.csv", Shape(), tmp_path / f"{name}.jsonl")
    for suffix in ("csv", "jsonl"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
