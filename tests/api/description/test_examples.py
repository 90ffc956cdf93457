"""The documentation's two example pages: their calls, as printed, answer what they print.

tests/api/seeds/ holds what the pages print: the answers, and the calls in curl, Node.js and Python.
"""

import importlib.util
import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import chatferry.cli
import chatferry.cli.http_server
from chatferry.api.description.examples import TOKEN, USER
from chatferry.ids import hash_token, new_id, new_token
from chatferry.operations import Operation, Status
from chatferry.store import Store
from tests.support.paths import ROOT, SEEDS
from tests.support.serving import Server, client, command, environment, login, raw, serving, start

PAGES = ROOT.parent / "shared" / "seeds"  # beside the checkout, where the project is developed
ENDPOINTS = ("getLatestImportOperations", "getCurrentImportOperation")
EXAMPLES = json.loads((SEEDS / "examples.json").read_text())
PRINTED_ADDRESS = "http://localhost:3000"

# The examples need a package that may not be there; these make the same call with what is.
REQUESTS_IN_HTTPX = """
import httpx

def request(method, url, headers, data):
    return httpx.request(method, url, headers=headers, data=data, follow_redirects=True)
"""
REQUEST_IN_NODE = """
const http = require('http');

module.exports = (options, done) => {
  const call = http.request(options.url, {method: options.method, headers: options.headers}, answer => {
    let body = '';
    answer.setEncoding('utf8').on('data', text => { body += text; });
    answer.on('end', () => done(null, {statusCode: answer.statusCode, body}));
  });
  call.on('error', error => done(error)).end();
};
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    temporary = tmp_path_factory.mktemp("temporary")  # what a killed demo leaves stays in there
    with serving(tmp_path_factory.mktemp("demo"), "--demo", TMPDIR=str(temporary)) as running:
        yield running


def printed(name: str) -> str:
    return (SEEDS / f"{name}.json").read_text()


def sorted_bytes(text: str | bytes) -> bytes:
    """JSON as bytes that differ if anything but white space and the order of keys does."""
    return json.dumps(json.loads(text), sort_keys=True).encode()


def output(arguments: list[str], **extra: str) -> str:
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment(**extra), timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---------------------------------------------------------------- the printed calls


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_curl(server: Server, endpoint: str) -> None:
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    text = EXAMPLES[endpoint]["Curl"].replace(PRINTED_ADDRESS, server.address)
    assert sorted_bytes(output(["sh", "-c", text])) == sorted_bytes(printed(endpoint))


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_python(server: Server, endpoint: str, tmp_path: Path) -> None:
    """The page's code as it is; where `requests` is not installed it gets a stand-in made of httpx."""
    if not importlib.util.find_spec("requests"):
        (tmp_path / "requests.py").write_text(REQUESTS_IN_HTTPX)
    example = tmp_path / "example.py"
    example.write_text(EXAMPLES[endpoint]["Python"].replace(PRINTED_ADDRESS, server.address))
    assert sorted_bytes(output([sys.executable, str(example)])) == sorted_bytes(printed(endpoint))


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_node(server: Server, endpoint: str, tmp_path: Path) -> None:
    """The page's code as it is; its package `request`, long retired, gets a stand-in made of Node's http."""
    if not shutil.which("node"):
        pytest.skip("Node.js is not installed")
    (tmp_path / "request.js").write_text(REQUEST_IN_NODE)
    example = tmp_path / "example.js"
    example.write_text(EXAMPLES[endpoint]["Node.js"].replace(PRINTED_ADDRESS, server.address))
    answer = output(["node", str(example)], NODE_PATH=str(tmp_path))
    assert sorted_bytes(answer) == sorted_bytes(printed(endpoint))


def test_the_calls_are_the_ones_that_the_demo_knows() -> None:
    for calls in EXAMPLES.values():
        assert all(USER in text and TOKEN in text and PRINTED_ADDRESS in text for text in calls.values())


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_headers_and_envelope(server: Server, endpoint: str) -> None:
    with client(server, USER, TOKEN) as http:
        answer = http.get(endpoint)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
    if endpoint == "getCurrentImportOperation":
        assert list(answer.json()) == ["success", "operation"]


# ---------------------------------------------------------------- the printed error


@pytest.mark.parametrize(
    "credentials",
    [
        {},
        {"X-User-Id": USER},
        {"X-Auth-Token": TOKEN},
        {"X-User-Id": "", "X-Auth-Token": ""},
        {"X-User-Id": new_id(), "X-Auth-Token": TOKEN},
        {"X-User-Id": USER, "X-Auth-Token": new_token()},
        {"X-User-Id": "rocket.cat", "X-Auth-Token": TOKEN},
        {"X-User-Id": USER.lower(), "X-Auth-Token": TOKEN},
        {"X-User-Id": USER, "X-Auth-Token": TOKEN.lower()},
        {"X-User-Id": USER, "X-Auth-Token": TOKEN + "="},
        {"X-User-Id": USER, "X-Auth-Token": TOKEN[:-1]},
        {"X-User-Id": "demo", "X-Auth-Token": TOKEN},
        {"X-User-Id": USER, "Authorization": f"Bearer {TOKEN}"},
        {"Cookie": f"rc_uid={USER}; rc_token={TOKEN}"},
    ],
)
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_unauthorized(server: Server, endpoint: str, credentials: dict[str, str]) -> None:
    with client(server) as http:
        answer = http.get(endpoint, headers=credentials)
    assert answer.status_code == 401
    assert sorted_bytes(answer.content) == sorted_bytes(printed("unauthorized"))
    assert list(answer.json()) == ["success", "error"]


def test_the_stored_hash_is_no_token(server: Server) -> None:
    with client(server, USER, hash_token(TOKEN)) as http:
        assert http.get(ENDPOINTS[0]).status_code == 401


def test_unauthorized_answers_are_alike(server: Server) -> None:
    """Nothing but the date and the call's own id tells a missing user from a wrong token."""
    answers = set()
    for user, token in ((USER, "wrong"), (new_id(), TOKEN), ("", "")):
        head = f"X-User-Id: {user}\r\nX-Auth-Token: {token}\r\nConnection: close\r\n\r\n"
        answer = raw(server, f"GET /api/v1/{ENDPOINTS[0]} HTTP/1.1\r\nHost: x\r\n{head}".encode())
        answers.add(re.sub(rb"\r\n(date|x-request-id): [^\r]*", b"", answer))
    assert len(answers) == 1


# ---------------------------------------------------------------- the demo


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "127.0.0.1.example.com"])
def test_demo_is_for_this_machine_only(
    host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["chatferry", "serve", "--demo", "--port", "0", "--host", host])
    monkeypatch.setattr(chatferry.cli.http_server, "serve_http", lambda *_, **__: pytest.fail("it serves"))
    with pytest.raises(SystemExit) as ending:
        chatferry.cli.main()
    assert ending.value.code == 2
    assert_refusal(capsys.readouterr().err, host)


def test_demo_is_for_this_machine_only_also_when_set_by_the_environment() -> None:
    asked = environment(CHATFERRY_DEMO="1", CHATFERRY_HOST="0.0.0.0", CHATFERRY_PORT="0")
    done = subprocess.run(command("serve"), capture_output=True, text=True, env=asked, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert_refusal(done.stderr, "0.0.0.0")


def assert_refusal(told: str, host: str) -> None:
    assert re.fullmatch(rf"chatferry: --demo .*{re.escape(host)}\.\n", told), told


def test_demo_leaves_other_data_alone(server: Server) -> None:
    assert {path.name for path in server.data.iterdir()} == {"stderr"}
    assert "throw-away" in (server.data / "stderr").read_text()


def test_demo_user_may_import(server: Server) -> None:
    with client(server, USER, TOKEN) as http:
        me = http.get("me").json()
        assert (me["_id"], me["roles"]) == (USER, ["admin"])
        assert http.get("importers.list").status_code == 200


def test_the_demos_operation_can_be_looked_at(server: Server) -> None:
    with client(server, USER, TOKEN) as http:
        assert http.get("getImportProgress").json() == {
            "key": "pending-avatars",
            "name": "Pending Avatars",
            "step": "importer_done",
            "count": {"completed": 0, "total": 0, "error": 0},
            "success": True,
        }
        assert http.get("getImportFileData").json()["name"] == "Pending Avatars"


@pytest.mark.parametrize(
    ("method", "endpoint"),
    [("POST", "startImport"), ("GET", "getImportFileData"), ("GET", "getImportProgress")],
)
def test_an_importer_that_is_not_there(tmp_path: Path, method: str, endpoint: str) -> None:
    """A store can outlive an importer; the error is Rocket.Chat's."""
    with Store(tmp_path / "store.sqlite3") as store:
        operation = Operation(
            id="x",
            type="Gone",
            importer_key="gone",
            ts=1,
            status=Status.SELECTION,
            valid=True,
            user="u",
            updated_at=1,
        )
        store.operations.add(operation)
    body: object = {"input": {}} if method == "POST" else None
    with serving(tmp_path) as server, login(server) as http:
        answer = http.request(method, endpoint, json=body)
    reason, code = "The importer (gone) has no import class defined.", "error-importer-not-defined"
    wire = {"success": False, "error": f"{reason} [{code}]", "errorType": code, "details": endpoint}
    assert (answer.status_code, answer.json()) == (400, wire)


@pytest.mark.parametrize(
    "ending",
    [
        signal.SIGINT,
        pytest.param(signal.SIGTERM),
    ],
)
def test_demo_is_thrown_away(tmp_path: Path, ending: signal.Signals) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    server = start(tmp_path / "demo", "--demo", TMPDIR=str(temporary))
    try:
        assert list(temporary.iterdir())
    finally:
        server.process.send_signal(ending)
        server.process.wait(60)
    assert list(temporary.iterdir()) == []


# ---------------------------------------------------------------- the copies


def test_the_copies_equal_the_pages() -> None:
    if not PAGES.is_dir():
        pytest.skip("the pages lie beside the checkout only where the project is developed")
    pages = [page.read_text() for page in sorted(PAGES.glob("*.txt"))]
    assert len(pages) == len(ENDPOINTS)
    for endpoint, page in zip(ENDPOINTS, pages, strict=True):
        assert f"`/api/v1/{endpoint}`" in page
        assert between(page, "### Success\n\n```javascript\n") == printed(endpoint)
        assert between(page, '{% tab title=" Authorization" %}\n```javascript\n') == printed("unauthorized")
        for language, text in EXAMPLES[endpoint].items():
            assert between(page, f'{{% tab title="{language}" %}}\n```\n') == text


def between(page: str, opening: str) -> str:
    return page.partition(opening)[2].partition("```\n")[0]
