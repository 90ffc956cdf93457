"""Golden cases of HipChat exports and of contacts; test_slack_cases.py says what a case is made of."""

from pathlib import Path

import pytest

from chatferry.documents import Date
from chatferry.pipeline import now
from chatferry.store import Store
from tests.importers.test_slack_cases import (
    changed,
    compare,
    documents,
    dump,
    fill,
    finished,
    news,
    told,
    without_now,
    workspace,
    write,
)
from tests.importing import import_archive

CASES = Path(__file__).parent / "cases"
KEYS = ("hipchatenterprise", "omnichannel_contact")
NAMES = sorted(f"{key}/{path.name}" for key in KEYS for path in (CASES / key).iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_case(name: str, tmp_path: Path) -> None:
    case, key = CASES / name, name.partition("/")[0]
    began = Date.at(now())
    destination, store = workspace(), Store()
    first = documents(destination)
    fill(destination, case / "workspace.json")
    if (case / "earlier.json").exists():
        earlier = write(case / "earlier.json", tmp_path / "earlier")
        finished(import_archive(earlier, destination, store, importer_key=key))
    archive = write(case / "archive.json", tmp_path / "export")
    imported = finished(import_archive(archive, destination, store, importer_key=key))
    found = {**news(first, documents(destination)), **told(imported)}
    compare(without_now(found, began), case / "expected.json", may_update=True)
    before = dump(destination)
    again = finished(import_archive(archive, destination, store, importer_key=key))
    assert changed(again) == {}, "a second import of the archive inserts and updates nothing"
    assert dump(destination) == before, "a second import of the archive leaves every document as it is"
