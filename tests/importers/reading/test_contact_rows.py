"""Contact files of any kind: every row becomes a contact or a problem."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatferry.archive import open_archive
from chatferry.errors import ArchiveError
from chatferry.importers import detect, omnichannel_contact
from chatferry.importers.reading.contact_rows import read_contacts
from chatferry.records import Contact, Problem

HEADER = "id,name,emails,phones,manager,Town\n"
CELLS = st.text(max_size=6) | st.sampled_from(
    ['"', ",", "\n", "7", "a@example.org;b", "\0", "\r\n", '""', "\t;"]
)


def found(text: str) -> list[Contact | Problem]:
    with open_archive({"contacts.csv": text.encode("utf-8", "surrogatepass")}) as archive:
        return list(read_contacts(archive, "contacts.csv"))


def read(text: str) -> None:
    items = found(text)
    ids = [item.id for item in items if isinstance(item, Contact)]
    assert len(ids) == len(set(ids)), "no two contacts of a file have one id"
    assert found(text) == items
    for item in items:
        if isinstance(item, Contact):
            assert item.id and (item.name or item.emails or item.phones)
            assert not any("." in key or key.startswith("$") for key in item.custom_fields)
        else:
            assert item.reason and item.remedy


@settings(max_examples=200)
@given(st.lists(CELLS, max_size=40).map("".join))
def test_any_text_is_read(text: str) -> None:
    read(text)
    read(HEADER + text)


@pytest.mark.long
@settings(max_examples=2_000)
@given(st.lists(CELLS, max_size=200).map("".join))
def test_any_text_is_read_at_length(text: str) -> None:
    read(text)
    read(HEADER + text)


@settings(max_examples=200)
@given(st.binary(max_size=80))
def test_any_file_is_read_or_refused(data: bytes) -> None:
    for content in (data, HEADER.encode() + data, HEADER.encode("utf-16") + data):
        with open_archive({"contacts.csv": content}) as archive:
            omnichannel_contact.matches(archive)
            try:
                msgspec.json.encode(list(omnichannel_contact.scan(archive)))
            except ArchiveError as error:
                assert str(error).encode()
                assert str(error).startswith("archive")


def test_many_rows_that_share_everything() -> None:
    contacts = found("name,emails\n" + "Ann,team@example.org\n" * 20_000)
    assert len({contact.id for contact in contacts if isinstance(contact, Contact)}) == 20_000


def test_quotation_marks_that_are_not_closed_swallow_no_rows() -> None:
    rows = found(HEADER + ('7,"Ann,,,,\n' + "8,Bob,,,,\n") * 2000)
    assert len(rows) == 4000


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({}, "holds no file"),
        ({"a.csv": "name\nAnn\n", "b.csv": "name\nBob\n"}, "holds 2 files"),
        ({"contacts.csv": ""}, "the file is empty"),
        ({"contacts.csv": "7,Ann,a@example.org\n"}, "at least one of name, emails and phones was expected"),
    ],
)
def test_files_without_contacts_are_refused(files: dict[str, str], why: str) -> None:
    with open_archive(files) as archive, pytest.raises(ArchiveError, match=why):
        list(omnichannel_contact.scan(archive))


def test_a_file_of_contacts_is_recognised() -> None:
    with open_archive({"people.csv": "Name;Email\nAnn;a@example.org\n"}) as archive:
        assert detect(archive).key == "omnichannel_contact"
    with open_archive({"people.csv": "some,other,table\n1,2,3\n"}) as archive:
        assert not omnichannel_contact.matches(archive)
