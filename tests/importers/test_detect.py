"""Every archive is of one format, or of none."""

from pathlib import Path
from typing import Any

import pytest

from chatferry.archive import open_archive
from chatferry.errors import ArchiveError
from chatferry.importers import detect
from tests.support.golden import write
from tests.support.paths import CASES

CONTACTS = "id,name,email\n1,Ann,a@example.org\n"
MEMBERS = "username,email,status\nada,ada@example.org,Admin\n"
MESSAGES = "ada,1600000200000,hello\n"
HISTORY = "users/1/history.json"

FOUND: dict[str, tuple[dict[str, Any], str]] = {
    "csv-lists": ({"users.csv": "ada,ada@example.org,Ada\n", "contacts.csv": CONTACTS}, "csv"),
    "csv-contacts-alone": ({"contacts.csv": CONTACTS}, "csv"),
    "csv-contacts-and-messages": ({"contacts.csv": CONTACTS, "general/1.csv": MESSAGES}, "csv"),
    "contacts": ({"people.csv": CONTACTS}, "omnichannel_contact"),
    "members": ({"members.csv": MEMBERS}, "slack-users"),
    "slack": ({"users.json": [], "general/2023-01-31.json": []}, "slack"),
    "hipchat": ({"users.json": [], "rooms.json": []}, "hipchatenterprise"),
    "hipchat-without-rooms": ({"users.json": [], HISTORY: []}, "hipchatenterprise"),
}
WRAPPED = {
    "general/1.csv": (MESSAGES, "csv"),
    "export/general/1.csv": (MESSAGES, "csv"),
    "directmessages/1.csv": ("ada,ben,1600000200000,hi\n", "csv"),
    "export/members.csv": (MEMBERS, "slack-users"),
    "export/people.csv": (CONTACTS, "omnichannel_contact"),
}
SINGLE = {
    "contacts.csv": "omnichannel_contact",
    "people.txt": "omnichannel_contact",
    "members.csv": "slack-users",
}


@pytest.mark.parametrize("name", FOUND)
def test_an_archive_is_of_one_format(name: str) -> None:
    files, key = FOUND[name]
    with open_archive({name: str(content) for name, content in files.items()}) as archive:
        assert detect(archive).key == key


@pytest.mark.parametrize("name", WRAPPED)
def test_an_archive_within_one_folder_is_detected(name: str) -> None:
    content, key = WRAPPED[name]
    with open_archive({name: content}) as archive:
        assert detect(archive).key == key


@pytest.mark.parametrize("name", SINGLE)
def test_a_single_file_is_of_one_format(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(MEMBERS if name == "members.csv" else CONTACTS)
    with open_archive(tmp_path / name, single=True) as archive:
        assert detect(archive).key == SINGLE[name]


@pytest.mark.parametrize("content", ["a,b\n1,2\n", "username,email,name\nada,ada@example.org,Ada\n"])
def test_a_single_file_of_no_format(content: str, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(content)
    with (
        open_archive(tmp_path / "table.csv", single=True) as archive,
        pytest.raises(ArchiveError, match=r"no file that chatferry knows\. It reads: CSV, Slack, "),
    ):
        detect(archive)


@pytest.mark.parametrize(
    "path", sorted(CASES.glob("*/*")), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_no_case_is_taken_for_another_format(path: Path, tmp_path: Path) -> None:
    with open_archive(write(path / "archive.json", tmp_path / "export"), single=True) as archive:
        try:
            found = detect(archive).key
        except ArchiveError as error:
            assert "could be" not in str(error)
        else:
            assert found == path.parent.name
