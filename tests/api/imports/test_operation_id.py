"""Every upload and every start names its operation in a header."""

from collections.abc import Callable, Iterator

import httpx
import pytest

from chatferry.api.routes import ENDPOINTS
from tests.support.flows import DONE, EVERYTHING, SELECTION
from tests.support.paths import GOLDEN
from tests.support.resumable import ARCHIVE, create
from tests.support.serving import Server, current, login, serving, upload_body, wait_for

HEADER = "Import-Operation-Id"
USERS = {"users": [{"emails": ["ada@example.org"], "importIds": ["u1"]}]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("ids")
    with serving(folder / "data", CHATFERRY_IMPORT_DIRS=str(GOLDEN.parent)) as running:
        yield running


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    with login(server) as admin:
        yield admin


def named(http: httpx.Client, answer: httpx.Response) -> str:
    """Return the id in the header, which is that of the current operation."""
    assert answer.status_code in (200, 201), answer.text
    id = answer.headers[HEADER]
    assert id == current(http)["_id"]
    return str(id)


def test_every_way_to_begin(http: httpx.Client) -> None:
    ways: tuple[Callable[[], httpx.Response], ...] = (
        lambda: http.post("uploadImportFile", json=upload_body(ARCHIVE)),
        lambda: http.post(
            "import.upload?replace=true", data={"importerKey": "slack"}, files={"file": ("x.zip", ARCHIVE)}
        ),
        lambda: create(http, len(ARCHIVE), ARCHIVE),
        lambda: http.post("downloadPublicImportFile", json={"fileUrl": str(GOLDEN), "importerKey": "slack"}),
        lambda: http.post("import.new"),
        lambda: http.post("downloadPendingFiles", json={}),
        lambda: http.post("downloadPendingAvatars", json={}),
    )
    ids = [named(http, way()) for way in ways]
    assert len(set(ids)) == len(ids)


def test_every_way_to_start(http: httpx.Client) -> None:
    id = named(http, http.post("uploadImportFile", json=upload_body(ARCHIVE)))
    wait_for(http, SELECTION)
    assert named(http, http.post("startImport", json=EVERYTHING)) == id
    wait_for(http, DONE)
    id = named(http, http.post("import.new"))
    assert HEADER not in http.post("import.addUsers", json=USERS).headers
    assert named(http, http.post("import.run")) == id
    wait_for(http, DONE)


def test_an_import_that_is_taken_up_again(http: httpx.Client) -> None:
    id = named(http, http.post("uploadImportFile", json=upload_body(b"no archive")))
    wait_for(http, "importer_import_failed")
    assert named(http, http.post("import.retry")) == id


def test_refusals_name_none(http: httpx.Client) -> None:
    for path, body in (("uploadImportFile", {}), ("startImport", EVERYTHING), ("import.run", None)):
        answer = http.post(path, json=body)
        assert answer.status_code == 400
        assert HEADER not in answer.headers


def test_the_description_says_so() -> None:
    named = {endpoint.name for endpoint in ENDPOINTS if endpoint.names_operation}
    assert named == {
        "uploadImportFile",
        "import.upload",
        "downloadPublicImportFile",
        "startImport",
        "import.new",
        "import.run",
        "import.retry",
        "downloadPendingFiles",
        "downloadPendingAvatars",
    }
