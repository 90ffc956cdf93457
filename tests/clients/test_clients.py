"""Client libraries that know a Rocket.Chat server, against this one: `make test-clients`."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chatferry.api.endpoint import Endpoint
from chatferry.api.routes import ENDPOINTS
from chatferry.documents import MESSAGES
from tests.support.serving import ADMIN, PASSWORD, Server, environment, serving
from tests.support.shown import corpus, rocketchat
from tests.support.shown.exports import imported, message

pytestmark = pytest.mark.skipif(
    not os.environ.get("CHATFERRY_TEST_CLIENTS"), reason="needs other people's packages: make test-clients"
)
HERE = Path(__file__).parent


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path / "data") as running:
        yield running
        assert not (running.data / "errors.log").exists()


def called(rocket: Any, endpoint: Endpoint) -> Any:
    """Return the library's answer for an endpoint, or the refusal that it raises."""
    from rocketchat_API.APIExceptions.RocketExceptions import RocketApiException

    api_path = endpoint.path.removesuffix(endpoint.name)
    try:
        if endpoint.method == "GET":
            return rocket.call_api_get(endpoint.name, api_path=api_path)
        body = endpoint.example.body if endpoint.example else None
        return rocket.call_api_post(endpoint.name, body=body)
    except RocketApiException as refused:
        return refused.response_json


def test_rocketchat_api(server: Server) -> None:
    rocketchat = pytest.importorskip("rocketchat_API.rocketchat")
    rocket = rocketchat.RocketChat(ADMIN, PASSWORD, server_url=server.address)
    assert rocket.me()["username"] == ADMIN
    assert rocket.info()["success"] is True
    for endpoint in sorted(ENDPOINTS, key=lambda endpoint: endpoint.name == "logout"):
        answer = called(rocket, endpoint)
        if endpoint.name in ("getLatestImportOperations", "importers.list"):
            assert isinstance(answer, list)
        elif endpoint.name == "docs":
            assert "<!doctype html>" in answer
        elif endpoint.name == "openapi.json":
            assert answer["openapi"]
        elif endpoint.method == "GET" and endpoint.name == "logout":
            assert answer == {"success": False, "error": "unauthorized"}  # the other one was there before
        elif endpoint.name != "logout":
            assert answer["success"] in (True, False)


def test_rocket_chats_own_client_and_validators(server: Server, tmp_path: Path) -> None:
    if not shutil.which("node") or not (HERE / "node_modules").is_dir():
        pytest.skip("Node.js or the packages are missing: make test-clients")
    table = tmp_path / "endpoints.json"
    table.write_text(
        json.dumps(
            [
                {
                    "method": endpoint.method,
                    "path": endpoint.path,
                    "name": endpoint.name,
                    "body": endpoint.example.body if endpoint.example else None,
                }
                for endpoint in ENDPOINTS
                if endpoint.answers is not None
            ]
        )
    )
    done = subprocess.run(
        ["node", str(HERE / "clients.mjs"), server.address, ADMIN, PASSWORD, str(table)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    endpoints, bodies = (int(word) for word in done.stdout.split() if word.isdigit())
    assert (endpoints, bodies) >= (20, 60)


def test_the_real_parser_agrees_with_the_rules_of_the_tests(tmp_path: Path) -> None:
    """tests/support/shown has rules of its own for what Rocket.Chat shows."""
    said = [message(number, one) for number, one in enumerate(corpus.messages(3_000, seed=1))]
    documents = imported(tmp_path, said).documents(MESSAGES)
    given = "".join(f"{json.dumps(document, default=str)}\n" for document in documents)
    ran = subprocess.run(
        ["node", HERE / "shown.mjs"], input=given, capture_output=True, text=True, check=True, timeout=120
    )
    for document, line in zip(documents, ran.stdout.splitlines(), strict=True):
        found, expected = rocketchat.parsed(json.loads(line)), rocketchat.shown(document)
        assert rocketchat.decoded(found) == rocketchat.decoded(expected), document["msg"]
