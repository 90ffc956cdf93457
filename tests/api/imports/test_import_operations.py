"""import.operations: every operation, in pages and by its id."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.flows import DONE, SELECTION
from tests.support.refusals import refusal
from tests.support.resumable import ARCHIVE
from tests.support.serving import Server, latest, login, run_import, serving, upload, upload_body, wait_for

pytestmark = pytest.mark.usefixtures("server")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("listing")) as running:
        yield running


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    with login(server) as admin:
        yield admin


@pytest.fixture(scope="module")
def ids(http: httpx.Client) -> list[str]:
    """Return the ids of 64 operations, the one that began last first."""
    begun = [run_import(http)["_id"]]
    begun.append(
        http.post("uploadImportFile", json=upload_body(b"no archive")).headers["Import-Operation-Id"]
    )
    wait_for(http, "importer_import_failed")
    begun += [http.post("import.new").headers["Import-Operation-Id"] for _ in range(61)]
    begun.append(upload(http))
    wait_for(http, SELECTION)
    return begun[::-1]


def page(http: httpx.Client, **query: Any) -> dict[str, Any]:
    answer = http.get("import.operations", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert found["count"] == len(found["operations"])
    return found


def test_pages(http: httpx.Client, ids: list[str]) -> None:
    for query, shown in (
        ({}, ids[:50]),
        ({"count": 0}, ids[:50]),
        ({"count": 5}, ids[:5]),
        ({"count": 100}, ids),
        ({"count": 1_000_000}, ids),
        ({"offset": 60}, ids[60:]),
        ({"offset": 3, "count": 2}, ids[3:5]),
        ({"offset": 64}, []),
        ({"offset": 2**53 - 1}, []),
    ):
        found = page(http, **query)
        assert [one["_id"] for one in found["operations"]] == shown
        assert (found["offset"], found["total"]) == (query.get("offset", 0), len(ids))


def test_no_more_than_a_hundred_come_at_once(http: httpx.Client, ids: list[str]) -> None:
    for _ in range(40):
        ids.insert(0, http.post("import.new").headers["Import-Operation-Id"])
    found = page(http, count=1000)
    assert [one["_id"] for one in found["operations"]] == ids[:100]
    assert found["total"] == 104


def test_an_entry_is_what_other_endpoints_show_and_its_state(http: httpx.Client, ids: list[str]) -> None:
    shown = {one["_id"]: one for one in page(http)["operations"]}
    for operation in latest(http):
        if entry := shown.get(operation["_id"]):
            assert operation.items() <= entry.items()
    oldest, failed = (http.get(f"import.operations/{id}").json()["operation"] for id in ids[:-3:-1])
    assert (oldest["status"], oldest["state"]) == (DONE, "done")
    assert failed["state"] == "error"
    assert "no archive" not in failed["error"] and failed["error"]
    assert "error" not in oldest


def test_each_entry_by_its_id(http: httpx.Client, ids: list[str]) -> None:
    for entry in page(http, count=100)["operations"]:
        answer = http.get(f"import.operations/{entry['_id']}")
        assert answer.json() == {"operation": entry, "success": True}


@pytest.mark.parametrize("id", ["none", "%00", "ö", "x" * 2000, "' OR 1"])
def test_an_operation_that_is_not_there(http: httpx.Client, id: str) -> None:
    status, body = refusal(http.get(f"import.operations/{id}"))
    assert status == 404
    assert body["errorType"] == "error-operation-not-found"
    assert body["error"] == "Import Operation Not Found [error-operation-not-found]"


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("count=-1", "must be >= 0"),
        ("offset=-1", "must be >= 0"),
        ("count=many", "must be integer"),
        ("count=1.5", "must be integer"),
        ("count=", "must be integer"),
        ("offset=9e99", "must be integer"),
        ("offset=NaN", "must be integer"),
        ("offset=" + "9" * 500, "must be integer"),
        ("sort=name", "must NOT have additional properties"),
    ],
)
def test_queries_that_do_not_fit(http: httpx.Client, query: str, reason: str) -> None:
    status, body = refusal(http.get(f"import.operations?{query}"))
    assert (status, body["error"], body["errorType"]) == (400, reason, "error-invalid-params")


def test_a_failure_keeps_its_reason(http: httpx.Client) -> None:
    answer = http.post("uploadImportFile", json=upload_body(ARCHIVE[:1000]))
    id = answer.headers["Import-Operation-Id"]
    wait_for(http, "importer_import_failed")
    shown = http.get(f"import.operations/{id}").json()["operation"]["error"]
    assert shown == http.get("getImportFileData").json()["error"]
