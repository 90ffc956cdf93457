"""Archives of every format, damaged: an import ends well or with a sentence, and twice is as once."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatferry.importers import IMPORTERS, readers
from chatferry.operations import Status
from chatferry.store import Store
from tests.support.golden import changed, content, workspace, write_zip
from tests.support.importing import import_archive, write_folder
from tests.support.paths import CASES

Files = dict[str, bytes]
KEYS = [importer.key for importer in readers()]
QUIET = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None)
ODD: list[Any] = [
    None, True, 0, -1, 10**30, 1e308, "", " ", "\0", "\ud83d", "x" * 300, "a/b", "..", "$a", "a.b",
    "U0ALICE01", "1600000200.000100", "9" * 30, "2020-13-40", [], [None], [[]], {}, {"": {}}, {"$date": 1},
    [[[[[[[[]]]]]]]],
]  # fmt: skip
BITS = [
    b'"', b"'", b",", b";", b"\t", b"\r", b"\n", b"\0", b"\xff", b"\xff\xfe", b"\xef\xbb\xbf",
    b"\xed\xa0\x80", b"{", b"}", b"[", b"]", b":", b"\\u0000", b"\\ud83d", b"1e999", b"null",
    b"[" * 2000, b"9" * 400,
]  # fmt: skip


def files_of(case: Path) -> Files:
    described = json.loads((case / "archive.json").read_text())
    return {name: _bytes(content(value)) for name, value in described.items()}


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


GOOD = {key: [files_of(case) for case in sorted((CASES / key).iterdir())] for key in KEYS}


@st.composite
def damaged(draw: st.DrawFn, key: str) -> Files:
    """The archive of a golden case with some damage."""
    files = dict(draw(st.sampled_from(GOOD[key])))
    for _ in range(draw(st.integers(1, 4))):
        if files:
            name = draw(st.sampled_from(sorted(files)))
            draw(st.sampled_from(DAMAGES))(draw, files, name)
    return files


def _other_value(draw: st.DrawFn, files: Files, name: str) -> None:
    """Return another valid JSON value, of another shape."""
    try:
        whole = json.loads(files[name])
    except (ValueError, RecursionError):
        _other_bytes(draw, files, name)
        return
    places = list(_places(whole))
    if places:
        holder, key = draw(st.sampled_from(places))
        match draw(st.sampled_from(["odd", "odd", "gone", "again", "elsewhere"])):
            case "odd":
                holder[key] = json.loads(json.dumps(draw(st.sampled_from(ODD))))
            case "gone":
                del holder[key]
            case "again" if isinstance(holder, list):
                holder.append(holder[key])
            case _:
                other, place = draw(st.sampled_from(places))
                holder[key] = json.loads(json.dumps(other[place]))
    files[name] = json.dumps(whole).encode()


def _places(value: Any) -> Any:
    """Every value inside: what holds it, and under which key."""
    for key in list(
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    ):
        yield value, key
        yield from _places(value[key])


def _other_bytes(draw: st.DrawFn, files: Files, name: str) -> None:
    data = files[name]
    start = draw(st.integers(0, len(data)))
    end = draw(st.integers(start, min(len(data), start + 20)))
    files[name] = data[:start] + draw(st.sampled_from(BITS) | st.binary(max_size=6)) + data[end:]


def _other_encoding(draw: st.DrawFn, files: Files, name: str) -> None:
    encoding = draw(st.sampled_from(["utf-16", "utf-16-be", "cp1252", "utf-8-sig", "utf-32"]))
    files[name] = files[name].decode("utf-8", "replace").encode(encoding, "replace")


def _cut(draw: st.DrawFn, files: Files, name: str) -> None:
    files[name] = files[name][: draw(st.integers(0, len(files[name])))]


def _gone(draw: st.DrawFn, files: Files, name: str) -> None:
    del files[name]


def _elsewhere(draw: st.DrawFn, files: Files, name: str) -> None:
    """Under another name, or over another file."""
    others = ["users.json", "channels.json", "dms.json", "rooms/1/history.json", "contacts.csv", "x/1.csv"]
    other = draw(st.sampled_from([*others, *sorted(files)]))
    if not any(path.startswith(f"{other}/") or other.startswith(f"{path}/") for path in files):
        files[other] = files[name]


DAMAGES: list[Callable[[st.DrawFn, Files, str], None]] = [
    _other_value, _other_value, _other_value, _other_bytes, _other_encoding, _cut, _gone, _elsewhere,
]  # fmt: skip


def check(key: str, files: Files, place: Path) -> None:
    """The import ends in our words, its sums are right, and a second changes nothing."""
    destination, store = workspace(), Store()
    archive = write_zip(place / "export.zip", files)
    if IMPORTERS[key].single and len(files) == 1:
        archive = write_folder(place / "single", {"export.csv": next(iter(files.values()))}) / "export.csv"
    imported = import_archive(archive, destination, store, importer_key=key)
    assert "unforeseen" not in imported.operation.error
    if imported.operation.status == Status.FAILED:
        assert imported.operation.error.startswith("export")
        return
    for kind in ("users", "contacts", "rooms", "messages", "files"):
        tally = dict(imported.report[kind])
        assert tally.pop("read") == sum(tally.values()), kind
    assert changed(import_archive(archive, destination, store, importer_key=key)) == {}


@pytest.mark.parametrize("key", KEYS)
def test_no_archive_ends_in_a_fault(key: str, tmp_path: Path) -> None:
    run(key, tmp_path, cases=40)


@pytest.mark.long
@pytest.mark.parametrize("key", KEYS)
def test_no_archive_ends_in_a_fault_in_two_thousand(key: str, tmp_path: Path) -> None:
    run(key, tmp_path, cases=2_000)


def run(key: str, place: Path, cases: int) -> None:
    @settings(QUIET, max_examples=cases)
    @given(damaged(key))
    def one(files: Files) -> None:
        check(key, files, place)

    one()
