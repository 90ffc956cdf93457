"""The importer of examples/importer: its cases, and what every importer promises."""

from pathlib import Path

import pytest

from chatferry.archive import open_archive
from chatferry.clock import now
from chatferry.documents import Date
from chatferry.errors import ArchiveError
from chatferry.importers import IMPORTERS, detect
from chatferry.records import Channel, Message, Part, Problem
from chatferry.store import Store
from examples.importer import irssi
from tests.support.golden import (
    compare,
    documents,
    dump,
    finished,
    news,
    told,
    without_now,
    workspace,
    write,
)
from tests.support.importing import import_archive, write_folder

CASES = Path(__file__).parents[2] / "examples" / "importer" / "cases"
LOG = "--- Log opened Mon Sep 14 12:30:00 2020\n"


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add the importer to the registry, as one line in importers/__init__.py does."""
    monkeypatch.setitem(IMPORTERS, "irssi", irssi.IMPORTER)


@pytest.mark.parametrize("case", sorted(CASES.glob("*/*")), ids=lambda case: str(case.name))
def test_case(case: Path, tmp_path: Path) -> None:
    began = Date.at(now())
    destination, store = workspace(), Store()
    before = documents(destination)
    archive = write(case / "archive.json", tmp_path / "export")
    imported = finished(import_archive(archive, destination, store, importer_key="irssi"))
    compare(
        without_now({**news(before, documents(destination)), **told(imported)}, began), case / "expected.json"
    )
    first = dump(destination)
    finished(import_archive(archive, destination, store, importer_key="irssi"))
    assert dump(destination) == first, "a second import of the archive leaves every document as it is"


@pytest.mark.parametrize("most", [1, 2, 3])
def test_messages_are_the_same_in_parts_of_any_size(
    most: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lines = [f"12:30 < ada> {number}" for number in range(5)]
    write_folder(tmp_path, {"#general.log": LOG + "\n".join([*lines, "nothing", ""])})
    whole = records(tmp_path)
    monkeypatch.setattr(irssi, "MOST", most)
    divided = records(tmp_path)
    assert len(whole) == 1
    assert [len(part) for part in divided][:-1] == [most] * ((6 - 1) // most)
    assert [record for part in divided for record in part] == whole[0]


def records(folder: Path) -> list[list[Message | Problem]]:
    """Return the records of each part, read in the opposite order, as other processes may do."""
    with open_archive(folder) as archive:
        parts = [item for item in irssi.scan(archive) if isinstance(item, Part)]
        return [list(irssi.read(archive, part)) for part in reversed(parts)][::-1]


def test_a_later_log_keeps_the_ids_of_its_messages(tmp_path: Path) -> None:
    earlier = write_folder(tmp_path / "earlier", {"#general.log": LOG + "12:30 < ada> Hello\n"})
    later = write_folder(tmp_path / "later", {"#general.log": LOG + "12:30 < ada> Hello\n12:30 < bob> Hi\n"})
    (old,), (new,) = records(earlier), records(later)
    assert new[: len(old)] == old
    assert len(new) == 2


def test_a_channel_has_one_id_however_its_log_was_zipped(tmp_path: Path) -> None:
    write_folder(tmp_path, {"irclogs/libera/#general.log": LOG, "irclogs/oftc/#general.log": LOG})
    assert channels(tmp_path) == ["libera/#general", "oftc/#general"]
    assert channels(tmp_path / "irclogs") == ["libera/#general", "oftc/#general"]
    write_folder(tmp_path / "one", {"libera/#general.log": LOG})
    assert channels(tmp_path / "one") == ["libera/#general"]


def channels(folder: Path) -> list[str]:
    with open_archive(folder) as archive:
        return [item.id for item in irssi.scan(archive) if isinstance(item, Channel)]


def test_a_log_without_an_end_of_lines_is_read_in_pieces(tmp_path: Path) -> None:
    write_folder(tmp_path, {"#general.log": LOG + "x" * (3 * irssi.LONGEST)})
    (found,) = records(tmp_path)
    assert [record.position for record in found] == ["line 2"] * 3


def test_it_is_detected_by_its_first_line(tmp_path: Path) -> None:
    logs = write_folder(tmp_path / "logs", {"#general.log": LOG, "other.txt": ""})
    others = write_folder(tmp_path / "others", {"#general.log": "12:30 < ada> Hello\n"})
    with open_archive(logs) as archive:
        assert detect(archive) is irssi.IMPORTER
    with open_archive(others) as archive, pytest.raises(ArchiveError, match="not an export"):
        detect(archive)
