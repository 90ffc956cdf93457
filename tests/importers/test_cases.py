"""Every golden case of every importer: see golden.py."""

from pathlib import Path

import pytest

from chatferry.clock import now
from chatferry.documents import Date
from chatferry.store import Store
from tests.importers.golden import (
    CASES,
    changed,
    compare,
    documents,
    dump,
    fill,
    finished,
    keep_secrets,
    news,
    told,
    without_now,
    workspace,
    write,
)
from tests.importing import import_archive

NAMES = sorted(f"{path.parent.name}/{path.name}" for path in CASES.glob("*/*"))


@pytest.mark.parametrize("name", NAMES)
def test_case(name: str, tmp_path: Path) -> None:
    case, importer = CASES / name, name.partition("/")[0]
    began = Date.at(now())
    destination, store = workspace(), Store()
    first = documents(destination)
    fill(destination, case / "workspace.json")
    if (case / "earlier.json").exists():
        earlier = write(case / "earlier.json", tmp_path / "earlier")
        finished(import_archive(earlier, destination, store, importer_key=importer))
    archive = write(case / "archive.json", tmp_path / "export")
    imported = finished(import_archive(archive, destination, store, importer_key=importer))
    found = {**news(first, documents(destination)), **told(imported)}
    found = without_now(found, began)
    keep_secrets(imported)
    compare(found, case / "expected.json")
    before = dump(destination)
    again = finished(import_archive(archive, destination, store, importer_key=importer))
    assert changed(again) == {}, "a second import of the archive inserts and updates nothing"
    assert dump(destination) == before, "a second import of the archive leaves every document as it is"
