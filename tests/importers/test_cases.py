"""Every golden case of every importer: see golden.py."""

from collections import Counter
from pathlib import Path

import pytest

from chatferry.archive import open_archive
from chatferry.clock import now
from chatferry.documents import Date
from chatferry.importers import IMPORTERS
from chatferry.reports.inspection import inspect_archive
from chatferry.store import Store
from tests.support.golden import (
    changed,
    compare,
    documents,
    dump,
    fill,
    finished,
    keep_secrets,
    kinds,
    news,
    told,
    without_now,
    workspace,
    write,
)
from tests.support.importing import import_archive
from tests.support.paths import CASES


def inspected(archive: Path, importer: str) -> Counter[str]:
    """Return how many problems of each kind `inspect` tells of."""
    with open_archive(archive, single=True) as opened:
        return inspect_archive(IMPORTERS[importer], opened).kinds


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
    if not (case / "workspace.json").exists() and not (case / "earlier.json").exists():
        assert inspected(archive, importer) == kinds(imported), "what inspect says is what the import says"
    again = finished(import_archive(archive, destination, store, importer_key=importer))
    assert changed(again) == {}, "a second import of the archive inserts and updates nothing"
    assert dump(destination) == before, "a second import of the archive leaves every document as it is"
