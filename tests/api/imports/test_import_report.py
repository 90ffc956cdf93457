"""import.report: what `chatferry report --json` says, in pages, and as a table."""

import csv
import io
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from chatferry.problems import problem
from chatferry.store import Store
from chatferry.store.problems import PARTS
from tests.support.importing import write_folder
from tests.support.refusals import refusal
from tests.support.serving import Server, command, environment, login, sent, serving, wait_for

ALICE = {"id": "U0ALICE01", "name": "alice", "profile": {"email": "alice@example.org"}}
PLANS = {"id": "C0PLANS01", "name": "plans", "creator": "U0ALICE01", "members": ["U0ALICE01", "U9"]}
HELLO = {"type": "message", "user": "U0ALICE01", "text": "hello", "ts": "1600000200.000100"}
ADDED = 20_000
EVERYTHING = {"input": {"users": {"all": True}, "channels": {"all": True}}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("reports")
    messages: list[Any] = [HELLO, *({**HELLO, "ts": None, "text": str(n)} for n in range(120))]
    files = {"users.json": [ALICE], "channels.json": [PLANS], "plans/2020-09-13.json": messages}
    write_folder(folder / "exports" / "flawed", files)
    with serving(folder / "data", CHATFERRY_IMPORT_DIRS=str(folder / "exports")) as running:
        yield running


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    with login(server) as admin:
        yield admin


@pytest.fixture(scope="module")
def id(server: Server, http: httpx.Client) -> str:
    """Return the id of an operation with some problems."""
    export = server.data.parent / "exports" / "flawed"
    begun = http.post("downloadPublicImportFile", json={"fileUrl": str(export), "importerKey": "slack"})
    wait_for(http, "importer_user_selection")
    http.post("startImport", json=EVERYTHING)
    wait_for(http, "importer_done")
    return str(begun.headers["Import-Operation-Id"])


@pytest.fixture(scope="module")
def many(server: Server, http: httpx.Client, id: str) -> str:
    """Return the id of an operation with very many problems."""
    begun = str(http.post("import.new").headers["Import-Operation-Id"])
    with Store(server.data / "store.sqlite3") as store:
        some = [
            problem("message-cut", f"text {n} was cut", file="plans/2020-09-14.json", position=n)
            for n in range(ADDED)
        ]
        store.problems.replace(begun, {PARTS: some})
    return begun


def report(http: httpx.Client, **query: Any) -> dict[str, Any]:
    answer = http.get("import.report", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert found.pop("success") and found["count"] == len(found["problems"])
    return found


def of_command(server: Server, id: str, *options: str) -> dict[str, Any]:
    arguments = command("report", id, "--data", str(server.data), "--json", *options)
    done = subprocess.run(arguments, capture_output=True, env=environment(), check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def table(answer: httpx.Response) -> list[dict[str, str]]:
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(answer.text)))


@pytest.mark.parametrize("options", [[], ["--all"]])
def test_it_is_the_report_of_the_command_line(
    server: Server, http: httpx.Client, id: str, options: list[str]
) -> None:
    found = report(http, operation=id, count=1000, **({"all": "true"} if options else {}))
    paging = {name: found.pop(name) for name in ("count", "offset", "total")}
    assert list(found.items()) == list(of_command(server, id, *options).items())
    assert paging == {"count": len(found["problems"]), "offset": 0, "total": len(found["problems"])}
    assert len(found["problems"]) == (121 if options else 2)


def test_the_operation_that_began_last_is_the_default(http: httpx.Client, many: str) -> None:
    assert report(http)["operation"]["_id"] == many


def test_kinds_and_pages(http: httpx.Client, id: str) -> None:
    whole = report(http, operation=id, all=True, count=1000)["problems"]
    for kind in {one["kind"] for one in whole}:
        of_kind = [one for one in whole if one["kind"] == kind]
        found = report(http, operation=id, all=True, kind=kind, offset=len(of_kind) // 2, count=7)
        assert found["problems"] == of_kind[len(of_kind) // 2 :][:7]
        assert found["total"] == len(of_kind)
        assert [one["kind"] for one in report(http, operation=id, kind=kind)["problems"]] == [kind]
    assert report(http, operation=id, all=True, kind="no-such-kind")["total"] == 0


def test_a_page_has_an_end(http: httpx.Client, many: str) -> None:
    assert report(http, operation=many, all=True)["count"] == 50
    found = report(http, operation=many, all=True, offset=ADDED - 1500, count=10**6)
    assert (found["count"], found["total"]) == (1000, ADDED)
    assert found["problems"][0]["reason"] == f"text {ADDED - 1500} was cut"
    assert report(http, operation=many, all=True, offset=ADDED)["problems"] == []


def test_as_a_table(http: httpx.Client, id: str, many: str) -> None:
    whole = report(http, operation=id, all=True, count=1000)["problems"]
    answer = http.get("import.report", params={"operation": id, "all": True, "format": "csv"})
    assert table(answer) == [{name: str(value) for name, value in one.items()} for one in whole]
    assert answer.headers["content-disposition"] == f'attachment; filename="report-{id}.csv"'
    every = http.get("import.report", params={"operation": many, "all": True, "format": "csv"})
    assert len(table(every)) == ADDED
    some = http.get(f"import.report?operation={many}&all=true&format=csv&count=7&offset=3")
    assert [row["reason"] for row in table(some)] == [f"text {n} was cut" for n in range(3, 10)]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/csv", "text/csv; charset=utf-8"),
        ("text/html, text/csv;q=0.9, application/json;q=0.8", "text/csv; charset=utf-8"),
        ("application/json, text/csv", "application/json"),
        ("*/*", "application/json"),
        ("", "application/json"),
    ],
)
def test_accept_chooses_the_form(http: httpx.Client, id: str, accept: str, kind: str) -> None:
    answer = http.get("import.report", params={"operation": id}, headers={"Accept": accept})
    assert answer.headers["content-type"] == kind
    named = http.get("import.report", params={"operation": id, "format": "json"}, headers={"Accept": accept})
    assert named.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("format=xml", "must be equal to one of the allowed values"),
        ("all=perhaps", "must be boolean"),
        ("count=-1", "must be >= 0"),
        ("every=1", "must NOT have additional properties"),
    ],
)
def test_queries_that_do_not_fit(http: httpx.Client, query: str, reason: str) -> None:
    status, body = refusal(http.get(f"import.report?{query}"))
    assert (status, body["error"]) == (400, reason)


def test_no_such_operation(http: httpx.Client, id: str) -> None:
    for query in ("operation=none", "operation=none&format=csv"):
        status, body = refusal(http.get(f"import.report?{query}"))
        assert (status, body["errorType"]) == (404, "error-operation-not-found")


def test_before_the_first_import(tmp_path: Path) -> None:
    with serving(tmp_path) as server, login(server) as admin:
        assert refusal(admin.get("import.report"))[0] == 404
        assert admin.get("import.operations").json() == {
            "operations": [],
            "count": 0,
            "offset": 0,
            "total": 0,
            "success": True,
        }


def test_a_slow_reader_takes_no_memory(server: Server, http: httpx.Client, many: str) -> None:
    """A table is made while it is read."""

    def memory() -> int:
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) // 1024

    if not Path("/proc/self/status").exists():
        pytest.skip("needs /proc")
    report(http, operation=many)
    before = memory()
    path = f"import.report?operation={many}&all=true&format=csv"
    slow = [sent(server, http, "GET", path) for _ in range(20)]
    for connection in slow:
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
    assert http.get("import.status").status_code == 200
    assert memory() < before + 30
    for connection in slow:
        connection.close()
