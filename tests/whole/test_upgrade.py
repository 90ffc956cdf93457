"""A data directory of an earlier version can be reported, gone on with and topped up."""

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from chatferry.operations import Status
from chatferry.store import Store
from tests.support.command_line import chatferry
from tests.support.paths import GOLDEN, HALFWAY, SLACK_EXAMPLE
from tests.support.serving import serving, status_on_disk, until

FINISHED, INTERRUPTED = "sQLacnbc8jHhqqk7Q", "sDP6CSuGvoNC3bZfL"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data directory, with the archives where they are now."""
    with tarfile.open(HALFWAY) as archive:
        archive.extractall(tmp_path, filter="data")
    data = tmp_path / "data"
    with Store(data / "store.sqlite3") as store:
        for id, export in ((FINISHED, SLACK_EXAMPLE), (INTERRUPTED, GOLDEN)):
            operation = store.operations.get(id)
            assert operation is not None
            store.operations.save(replace(operation, archive=str(export)))
        last = store.operations.last()
        assert last is not None and last.status == Status.IMPORTING_MESSAGES
    return data


def report(*arguments: str | Path) -> dict[str, Any]:
    done = chatferry(*arguments, "--json")
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_what_was_imported_is_reported(data: Path) -> None:
    found = report("report", FINISHED, "--data", data)
    assert found["operation"]["status"] == "importer_done"
    assert found["messages"]["read"] == found["messages"]["inserted"] + found["messages"]["skipped"] == 220
    assert {"kind", "count"} <= found["problems"][0].keys()


def test_an_interrupted_import_goes_on_and_both_can_be_topped_up(data: Path) -> None:
    with serving(data):
        until(lambda: status_on_disk(data) == "importer_done")
    found = report("report", INTERRUPTED, "--data", data)
    messages = found["messages"]
    assert messages["inserted"] + messages["unchanged"] == messages["read"] == 300
    assert messages["unchanged"] < 100  # written in the moment before it was killed
    again = report("import", "slack", GOLDEN, "--data", data, "--origin", "golden")
    for kind in ("users", "rooms", "messages"):
        assert again[kind]["read"] == again[kind]["unchanged"] == found[kind]["read"], kind
    topped = report("import", "slack", SLACK_EXAMPLE, "--data", data)
    assert topped["messages"]["unchanged"] + topped["messages"]["skipped"] == 220
    assert topped["rooms"]["inserted"] == topped["users"]["inserted"] == 0
