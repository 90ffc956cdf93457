"""Generated exports against their truth manifests: everything that went in is there, and nothing else."""

from pathlib import Path
from typing import Literal

import pytest

from chatferry.documents import COLLECTIONS
from chatferry.operations import Status
from testdata.slack_export import FAULTS, Shape, write_export
from tests.support.importing import Imported, import_archive, sqlite_workspace, workspace
from tests.support.truth import KINDS, Seen, Truth, assert_sums, differences

SMALL = Shape(users=12, channels=6, messages=400, seed=3, days=None, layout="corporate")

# The kind of problem by which each fault is reported; None where nothing is lost or changed by it.
REPORTED = {
    "user-without-email": "user-without-email",
    "duplicate-user-email": "user-merged-by-email",
    "unknown-author": "user-not-listed",
    "unknown-mention": "unknown-mention",
    "unknown-reaction-user": "user-not-listed",
    "unknown-creator": "unknown-creator",
    "unknown-member": "unknown-member",
    "members-null": "channel-without-members",
    "duplicate-channel-name": "channel-name-taken",
    "one-member-dm": None,
    "dm-unknown-member": "user-not-listed",
    "unknown-folder": "unknown-folder",
    "message-without-ts": "message-without-time",
    "malformed-ts": "message-without-time",
    "nul-byte": "encoding-repaired",
    "escaped-nul": "encoding-repaired",
    "invalid-utf8": "encoding-repaired",
    "huge-message": "message-very-long",
    "unknown-subtype": "message-of-unknown-type",
    "wrong-type-field": "field-dropped",
    "element-not-object": "message-not-readable",
    "missing-thread-root": "thread-without-root",
    "reply-before-root-file-order": None,
    "duplicate-message": "message-twice",
    "canvas-file": "file-not-imported",
    "day-file-not-json": "message-not-readable",
    "day-file-truncated": "message-not-readable",
    "day-file-not-list": "message-not-readable",
    "empty-day-file": "message-not-readable",
    "empty-list-day-file": None,
    "users-json-not-json": "user-not-readable",
    "users-json-not-list": "user-not-readable",
    "users-json-missing": "user-not-listed",
    "channels-json-missing": "unknown-folder",
    "txt-export": None,
    "wrapping-folder": None,
    "macos-entries": None,
    "slackdump-uploads": None,
    "slackdump-attachments": None,
}


@pytest.mark.parametrize(
    ("layout", "channels", "days"),
    [("corporate", 15, None), ("standard", 15, None), ("grid", 15, None), ("corporate", 1, 1)],
    ids=["corporate", "standard", "grid", "one large day file"],
)
def test_everything_of_an_export_is_imported(
    tmp_path: Path, layout: Literal["corporate", "standard", "grid"], channels: int, days: int | None
) -> None:
    messages = 20_000 if layout == "corporate" else 3_000
    shape = Shape(users=40, channels=channels, messages=messages, seed=11, days=days, layout=layout)
    write_export(tmp_path / "export.zip", shape, truth=tmp_path / "truth.jsonl")
    truth = Truth(tmp_path / "truth.jsonl")
    with sqlite_workspace(tmp_path / "workspace.sqlite3") as destination:
        imported = import_archive(tmp_path / "export.zip", destination)
        assert imported.operation.status == Status.DONE, imported.operation.error
        assert list(differences(truth, Seen(imported))) == []
    assert_sums(imported)
    assert imported.report["messages"]["read"] == truth.totals["elements"] + truth.totals["placeholders"]
    assert imported.report["messages"]["skipped"] == truth.totals["skipped"]
    assert imported.report["files"]["read"] == truth.totals["files"]


def test_a_second_import_changes_nothing_and_a_newer_archive_adds_the_difference(tmp_path: Path) -> None:
    shape = Shape(users=20, channels=8, messages=2_000, seed=5, days=None, layout="corporate")
    write_export(tmp_path / "old.zip", shape)
    write_export(tmp_path / "new.zip", shape, truth=tmp_path / "truth.jsonl", extended=0.1)
    destination = workspace()
    import_archive(tmp_path / "old.zip", destination)
    before = {name: list(destination.dump(name)) for name in COLLECTIONS}
    again = import_archive(tmp_path / "old.zip", destination)
    assert {name: list(destination.dump(name)) for name in COLLECTIONS} == before
    for kind in KINDS:
        assert again.report[kind]["inserted"] == again.report[kind]["updated"] == 0 or kind == "files"

    newer = import_archive(tmp_path / "new.zip", destination)
    assert list(differences(Truth(tmp_path / "truth.jsonl"), Seen(newer))) == []
    assert_sums(newer)
    messages = newer.report["messages"]
    assert messages["unchanged"] > 10 * messages["updated"] > 0
    changed = set(destination.dump("rocketchat_message")) - set(before["rocketchat_message"])
    assert len(changed) == messages["inserted"] + messages["updated"]


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_fault_loses_only_its_own_record_and_is_reported(tmp_path: Path, fault: str) -> None:
    write_export(tmp_path / "export.zip", SMALL, truth=tmp_path / "truth.jsonl", faults=[fault])
    truth = Truth(tmp_path / "truth.jsonl")
    imported = import_archive(tmp_path / "export.zip")
    (expected,) = truth.faults
    if expected["expect"] == "refused":
        assert imported.operation.status == Status.FAILED
        assert "TXT" in imported.operation.error
        return
    assert imported.operation.status == Status.DONE, imported.operation.error
    assert_sums(imported)
    assert_reported(imported, fault, expected)
    found = list(differences(truth, Seen(imported)))
    if expected["expect"] == "partial":
        assert not [line for line in found if _promised(line, expected["fields"], fault)]
    else:
        # Messages of a folder that no list names are kept in a private room; the manifest gives them up.
        assert [line for line in found if "fault-no-such-room" not in line] == []


def assert_reported(imported: Imported, fault: str, expected: dict[str, str]) -> None:
    kind = REPORTED[fault]
    if kind is None:
        return
    places = [
        (problem["file"], problem["position"])
        for problem in imported.report["problems"]
        if problem["kind"] == kind
    ]
    assert places, f"no {kind} is reported"
    # A stranger is reported where a message of his is found first; of twins, the second.
    if expected["position"] and fault not in ("dm-unknown-member", "duplicate-message"):
        assert (expected["file"], expected["position"]) in places
    remedies = {p["remedy"] for p in imported.report["problems"]} | {"-"}
    assert "" not in remedies


def _promised(line: str, fields: list[str], fault: str) -> bool:
    """Whether a difference concerns what a broken list of users or channels leaves intact."""
    if "should not be there" in line or "is missing" in line:
        return fault.startswith("users-json") and line.startswith(("message", "room"))
    field = line.partition(": ")[2].partition(" is ")[0]
    return field in set(fields) - {"members"}
