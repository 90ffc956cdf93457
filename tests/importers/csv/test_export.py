"""CSV exports beyond the golden cases: many rows, large cells, damage, and random input."""

import os
import random
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.msgpack import decode

from chatferry.archive import open_archive
from chatferry.documents import MESSAGES
from chatferry.errors import ChatferryError
from chatferry.importers import IMPORTERS
from chatferry.importers.csv import export as csv
from chatferry.importers.csv.first_pass import PART_MESSAGES, CsvPartSpec
from chatferry.operations import Choice, Selection, Status
from chatferry.records import Message, Part, Problem
from chatferry.reports.inspection import inspect_archive
from tests.support.golden import changed, counts, finished, workspace, write_zip
from tests.support.importing import ALL, Imported, import_archive, write_folder

LONG = os.environ.get("CHATFERRY_TEST_LONG") == "1"
USERS = "alice,alice@example.org,Alice\nbob,bob@example.org,Bob\n"
CHANNELS = "plans,alice,public,alice;bob\n"
FILE = "plans/messages.csv"
START = 1_600_000_000_000


def export(messages: Any, **more: Any) -> dict[str, Any]:
    return {"users.csv": USERS, "channels.csv": CHANNELS, FILE: messages, **more}


def imported_export(place: Path, files: dict[str, Any], selection: Selection = ALL) -> Imported:
    return import_archive(
        write_zip(place / "export.zip", files), workspace(), selection=selection, importer_key="csv"
    )


def texts(imported: Imported) -> list[str]:
    found = sorted(imported.documents(MESSAGES), key=lambda message: message["ts"].ms)
    return [message["msg"] for message in found]


def slices(files: dict[str, Any], place: Path) -> list[tuple[Part, list[Message | Problem]]]:
    """Return the parts of an export, each with the records read from it."""
    with open_archive(write_zip(place / "export.zip", files)) as archive:
        parts = [item for item in csv.scan(archive) if isinstance(item, Part)]
        return [(part, list(csv.read(archive, part))) for part in parts]


def rows(times: "list[int]") -> str:
    return "".join(
        f"{('alice', 'bob')[n % 2]},{START + time},text {time} {n}\n" for n, time in enumerate(times)
    )


# ---------------------------------------------------------------- parts

ORDERS: dict[str, Callable[[list[int]], list[int]]] = {
    "ascending": lambda times: times,
    "descending": lambda times: times[::-1],
    "shuffled": lambda times: random.Random(1).sample(times, len(times)),
    "two-halves-interleaved": lambda times: times[::2] + times[1::2],
}


@pytest.mark.parametrize("order", ORDERS)
def test_a_large_file_makes_several_parts_in_order_of_time(order: str, tmp_path: Path) -> None:
    times = [n * 5_000 for n in range(12_000)]
    found = slices(export(rows(ORDERS[order](times))), tmp_path)
    assert len(found) >= 3
    for part, items in found:
        assert part.messages == len(items) <= 3 * PART_MESSAGES
    messages = [item for _, items in found for item in items if isinstance(item, Message)]
    assert [message.ts - START for message in messages] == times
    assert len({message.id for message in messages}) == len(times)


def test_an_ordered_file_is_read_once(tmp_path: Path) -> None:
    found = slices(export(rows([n * 5_000 for n in range(12_000)])), tmp_path)
    ranges = [row_range for part, _ in found for row_range in decode(part.data, type=CsvPartSpec).ranges]
    assert all(before.end == after.start for before, after in pairwise(ranges))


@pytest.mark.parametrize("step", [0, 1, 200])
def test_crowded_messages_keep_their_order_across_parts(step: int, tmp_path: Path) -> None:
    """Two or three to a millisecond, 5 to a second, or all at one time."""
    times = [n // 3 * step for n in range(9_000)]
    found = slices(export(rows(times)), tmp_path)
    assert len(found) >= (1 if step == 0 else 3)
    messages = [item for _, items in found for item in items if isinstance(item, Message)]
    assert [int(str(message.text[0]).split()[2]) for message in messages] == list(range(9_000))
    if step == 200:
        stamps = [message.ts for message in messages]
        assert stamps == sorted(set(stamps))


def test_messages_with_one_time_continue_over_the_end_of_a_part(tmp_path: Path) -> None:
    """Three to a millisecond around the place where one part ends and the next begins."""
    crowd = [2_980 * 5_000 + n // 3 for n in range(40)]
    times = [n * 5_000 for n in range(2_980)] + crowd + [n * 5_000 for n in range(3_020, 9_000)]
    found = slices(export(rows(times)), tmp_path)
    ends = [items[-1] for _, items in found]
    messages = [item for _, items in found for item in items if isinstance(item, Message)]
    assert any(isinstance(end, Message) and crowd[0] < end.ts - START < crowd[0] + 40 for end in ends)
    assert [message.ts - START for message in messages[2_980:3_020]] == [crowd[0] + n for n in range(40)]


def test_however_a_name_is_cased_its_messages_are_the_same(tmp_path: Path) -> None:
    """Also for an author and a folder that were not listed at first."""
    destination = workspace()
    first = {"Talk/a.csv": f"Zoe,{START},hi\n", "users.csv": USERS}
    second = {"talk/a.csv": f"zoe,{START},hi\n", "users.csv": f"{USERS}zoe,zoe@example.org,Zoe\n"}
    import_archive(write_folder(tmp_path / "a", first), destination, importer_key="csv")
    imported = finished(import_archive(write_folder(tmp_path / "b", second), destination, importer_key="csv"))
    assert len(imported.documents(MESSAGES)) == 1


def test_broken_rows_of_a_large_file_are_reported_once_each(tmp_path: Path) -> None:
    lines = rows(random.Random(2).sample(range(0, 90_000_000, 9_000), 10_000)).splitlines()
    for place in range(0, len(lines), 100):
        lines[place] = f"alice,never,{place}"
    imported = finished(imported_export(tmp_path, export("\n".join(lines))))
    assert counts(imported)["messages"] == {"read": 10_000, "inserted": 9_900, "failed": 100}
    rows_named = {int(problem["position"].split()[1]) for problem in imported.report["problems"]}
    assert rows_named <= {place + 1 for place in range(0, len(lines), 100)}


def test_a_longer_file_adds_only_what_is_new(tmp_path: Path) -> None:
    """Also where the parts of the longer file are cut at other places."""
    destination = workspace()
    times = [n // 4 * 1000 for n in range(8_000)]
    old = write_folder(tmp_path / "old", export(rows(times[:5_000])))
    new = write_folder(tmp_path / "new", export(rows(times)))
    import_archive(old, destination, importer_key="csv")
    imported = finished(import_archive(new, destination, importer_key="csv"))
    assert counts(imported)["messages"] == {"read": 8_000, "inserted": 3_000, "unchanged": 5_000}
    assert changed(import_archive(new, destination, importer_key="csv")) == {}


# ---------------------------------------------------------------- selection


def test_direct_conversations_that_were_not_selected_are_skipped(tmp_path: Path) -> None:
    direct = f"alice,bob,{START},hi\nbob,bob,{START},me\n"
    files = export(rows([1]), **{"directmessages/a.csv": direct})
    selection = Selection(Choice(all=True), Choice(list=frozenset({"plans"})))
    imported = finished(imported_export(tmp_path, files, selection))
    assert counts(imported)["messages"] == {"read": 3, "inserted": 1, "skipped": 2}


def test_messages_of_authors_that_were_not_selected_are_skipped(tmp_path: Path) -> None:
    selection = Selection(Choice(list=frozenset({"alice"})), Choice(all=True))
    imported = finished(imported_export(tmp_path, export(rows([1, 2])), selection))
    assert counts(imported)["messages"] == {"read": 2, "inserted": 1, "skipped": 1}


# ---------------------------------------------------------------- great cells and damage


def test_a_cell_of_ten_megabytes(tmp_path: Path) -> None:
    long = 'say "0123456789"\n' * 600_000
    quoted = long.replace('"', '""')
    imported = finished(imported_export(tmp_path, export(f'alice,{START},"{quoted}"\nbob,{START + 1},hi\n')))
    assert texts(imported) == [long, "hi"]
    assert imported.problem_kinds == ["message-very-long"]


@pytest.mark.parametrize("mark", ["", '"'])
def test_a_line_without_end_costs_only_itself(mark: str, tmp_path: Path) -> None:
    long = "x" * 20_000_000
    imported = finished(
        imported_export(
            tmp_path, export(f"bob,{START},hi\nalice,{START + 1},{mark}{long}\nbob,{START + 2},ho\n")
        )
    )
    first, cut, last = texts(imported)
    assert (first, last) == ("hi", "ho")
    assert cut.strip('"') == "x" * len(cut.strip('"'))
    assert len(cut) == 12_000_000
    assert imported.problem_kinds == ["message-cut"]


def test_a_damaged_file_loses_only_the_rows_after_the_damage(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "export.zip", export(rows([n * 1000 for n in range(100)])))
    data = path.read_bytes()
    place = data.index(b"text 50000")
    path.write_bytes(data[:place] + b"T" + data[place + 1 :])
    imported = finished(import_archive(path, importer_key="csv"))
    (note,) = [p for p in imported.report["problems"] if p["kind"] == "file-not-readable"]
    assert note["file"] == FILE
    assert "checksum" in note["reason"]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "empty": ({}, "is empty"),
    "another": ({"readme.md": "hi", "media/a.png": b"\x89PNG"}, "is no CSV export"),
    "unreadable": ({"users.csv": "\n\n", "contacts.csv": ""}, "nothing in it can be read"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_archives_that_are_no_csv_export_are_refused(name: str, tmp_path: Path) -> None:
    files, why = REFUSED[name]
    operation = import_archive(write_zip(tmp_path / "export.zip", files), importer_key="csv").operation
    assert operation.status == Status.FAILED
    assert why in operation.error
    assert operation.error.startswith("export")


def test_a_single_file_is_no_csv_export(tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text(USERS)
    operation = import_archive(tmp_path / "users.csv", importer_key="csv").operation
    assert operation.error == "users.csv is neither a zip nor a tar. Give the export as it was downloaded."


# ---------------------------------------------------------------- whatever else

GOOD = {
    "users.csv": USERS,
    "channels.csv": CHANNELS + 'ops,bob,private,"alice;bob"\n',
    "contacts.csv": "id,name,emails,phones\n1,Carl,c@example.org,123\n",
    FILE: f'alice,{START},"hello, ""you""\nthere"\r\nbob,{START + 1000},grüße\n',
    "OPS/a.csv": "username;timestamp;text\nalice;2020-09-13T12:30:00Z;x\n",
    "directmessages/d.csv": f"alice,bob,{START},hi\nbob,alice;zoe,{START},ho\n",
}
BITS = st.sampled_from(
    [b'"', b'""', b",", b";", b"\t", b"\r", b"\n", b"\r\n", b"\0", b"\xff", b"\xff\xfe", b"\xc3",
     b"\xef\xbb\xbf", b"9" * 30, b"alice", b"/", b"timestamp", b"1.5E+12", b"\xed\xa0\x80", b"sep=;\n"]
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, bytes]:
    """A good export with pieces put in, taken out, doubled, and written in another encoding."""
    files = {name: text.encode() for name, text in GOOD.items()}
    for name in draw(st.lists(st.sampled_from(sorted(files)), min_size=1, max_size=4)):
        data = files[name]
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 20)))
        files[name] = data[:start] + draw(st.one_of(BITS, st.binary(max_size=6))) + data[end:]
    name = draw(st.sampled_from(sorted(files)))
    encoding = draw(st.sampled_from(["", "utf-16", "utf-16-be", "cp1252", "utf-8-sig"]))
    if encoding:
        files[name] = files[name].decode("utf-8", "replace").encode(encoding, "replace")
    files[name] *= draw(st.sampled_from([1, 1, 2, 40]))
    return files


def check(files: dict[str, bytes], place: Path) -> None:
    """Importing ends, well or with a sentence; sums are right; doing it again changes nothing."""
    path = place / "fuzz.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    with open_archive(path) as opened:
        inspect_archive(IMPORTERS["csv"], opened)
    destination = workspace()
    imported = finished(import_archive(path, destination, importer_key="csv"))
    for kind in ("users", "rooms", "messages"):
        tally = dict(imported.report[kind])
        assert tally.pop("read") == sum(tally.values()), kind
    assert changed(import_archive(path, destination, importer_key="csv")) == {}


FUZZ = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None)


@settings(FUZZ, max_examples=50)
@given(files=mutated())
def test_no_export_ends_in_a_fault(files: dict[str, bytes], tmp_path: Path) -> None:
    check(files, tmp_path)


@pytest.mark.long
@settings(FUZZ, max_examples=2_000)
@given(files=mutated())
def test_no_export_ends_in_a_fault_in_two_thousand(files: dict[str, bytes], tmp_path: Path) -> None:
    check(files, tmp_path)


@settings(FUZZ, max_examples=200)
@given(data=st.one_of(st.binary(max_size=300), st.lists(BITS, max_size=30).map(b"".join)))
def test_no_list_of_members_ends_in_a_fault(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "members.csv"
    path.write_bytes(data)
    try:
        with open_archive(path, single=True) as archive:
            inspect_archive(IMPORTERS["slack-users"], archive)
    except ChatferryError as error:
        assert "members.csv" in str(error)
