"""The server's description of itself: complete, valid, true, and the same in all its forms."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator, FormatChecker

from chatferry.api.app import create_app
from chatferry.api.description import page as reference
from chatferry.api.description.openapi import document
from chatferry.api.routes import ENDPOINTS
from chatferry.api.services import Services
from chatferry.pipeline.background import BackgroundRunner
from chatferry.settings import Settings
from chatferry.store import Store
from tests.support.paths import ROOT, SEEDS
from tests.support.refusals import BEGINNING, TABLE, call
from tests.support.serving import Server, client, login

pytestmark = pytest.mark.usefixtures("nothing_is_left")

DOCUMENT = document(ENDPOINTS)
REFERENCE = ROOT / "docs" / "api.md"


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    found: dict[str, Any] = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def assert_fits(schema: dict[str, Any], value: object) -> None:
    Draft202012Validator(resolved(schema), format_checker=FormatChecker()).validate(value)


# ---------------------------------------------------------------- complete


def test_the_server_routes_the_table_and_nothing_else(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    with Store() as store:
        app = create_app(Services(settings, store, BackgroundRunner(store, settings)))
        routes = {(method, getattr(route, "path", "")) for route in app.routes for method in methods(route)}
    stored = {("GET", "/file-upload/{id}/{name:path}"), ("GET", "/avatar/{username}")}
    assert routes == stored | {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS}


def methods(route: object) -> set[str]:
    """A route's methods without the HEAD that comes with every GET."""
    named = set(getattr(route, "methods", ()))
    return named - {"HEAD"} if "GET" in named else named


def test_the_document_holds_the_table_and_nothing_else() -> None:
    described = [(method, path) for method, path, _ in operations()]
    assert sorted(described) == sorted((endpoint.method, endpoint.path) for endpoint in ENDPOINTS)
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(ids)) == len(ids)


def test_the_markdown_holds_the_table_and_nothing_else() -> None:
    if os.environ.get("CHATFERRY_UPDATE_GOLDEN"):
        REFERENCE.write_text(reference.markdown(DOCUMENT))
    text = REFERENCE.read_text()
    headings = re.findall(r"^## ([A-Z]+) (\S+)$", text, re.MULTILINE)
    assert headings == [(method, path) for method, path, _ in operations()]
    assert text == reference.markdown(DOCUMENT), "make golden writes docs/api.md anew"


def test_the_page_holds_the_table_and_nothing_else(server: Server) -> None:
    page = httpx.get(f"{server.address}/api/docs", trust_env=False).text
    titles = re.findall(r'<h3><code><span class="method">(\w+)</span> (\S+)</code></h3>', page)
    assert titles == [(method, path) for method, path, _ in operations()]


def test_every_endpoint_has_a_summary_answers_and_an_example() -> None:
    for key, endpoint in TABLE.items():
        assert endpoint.summary and not endpoint.summary.endswith("."), key
        if endpoint.exchange is None and key not in (
            "GET openapi.json",
            "GET docs",
            "GET /metrics",
            "GET import.events",
        ):
            assert endpoint.answers is not None, key
            assert endpoint.example is not None, key
            assert (endpoint.example.body is not None) == (endpoint.body is not None), key


# ---------------------------------------------------------------- valid and true


def test_the_server_gives_this_document(server: Server) -> None:
    with client(server) as nobody:
        answer = nobody.get("openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == json.loads(json.dumps(DOCUMENT))
    assert answer.json()["openapi"].startswith("3.1.")


def test_every_schema_is_one() -> None:
    schemas = [*DOCUMENT["components"]["schemas"].values()]
    for _, _, operation in operations():
        bodies = [operation["requestBody"]] if "requestBody" in operation else []
        for holder in (*bodies, *operation["responses"].values()):
            schemas += [content["schema"] for content in holder.get("content", {}).values()]
        schemas += [parameter["schema"] for parameter in operation.get("parameters", [])]
    for schema in schemas:
        Draft202012Validator.check_schema(schema)


def test_references_lead_somewhere() -> None:
    for target in set(re.findall(r'"#/components/([a-zA-Z]+/[^"]+)"', json.dumps(DOCUMENT))):
        kind, name = target.split("/")
        assert name in DOCUMENT["components"][kind]


def test_every_example_fits_its_schema() -> None:
    count = 0
    for _, _, operation in operations():
        bodies = [operation["requestBody"]] if "requestBody" in operation else []
        for holder in (*bodies, *operation["responses"].values()):
            for content in holder.get("content", {}).values():
                shown = [content["example"]] if "example" in content else []
                shown += [example["value"] for example in content.get("examples", {}).values()]
                count += len(shown)
                for value in shown:
                    assert_fits(content["schema"], value)
    assert count > 100


@pytest.mark.parametrize("name", ["getLatestImportOperations", "getCurrentImportOperation"])
def test_the_documented_examples_are_there_field_by_field(name: str) -> None:
    operation = DOCUMENT["paths"][f"/api/v1/{name}"]["get"]
    shown = operation["responses"]["200"]["content"]["application/json"]["example"]
    printed = json.loads((SEEDS / f"{name}.json").read_text())
    assert json.dumps(shown, sort_keys=True) == json.dumps(printed, sort_keys=True)
    refused = operation["responses"]["401"]["content"]["application/json"]["examples"]["example1"]["value"]
    assert refused == json.loads((SEEDS / "unauthorized.json").read_text())


@pytest.mark.parametrize("key", TABLE)
def test_every_answer_is_described(server: Server, http: httpx.Client, key: str) -> None:
    """Without credentials, with them, and with a query that does not fit."""
    endpoint = TABLE[key]
    responses = DOCUMENT["paths"][endpoint.path][endpoint.method.lower()]["responses"]
    with client(server) as nobody, login(server) as session:
        caller = session if endpoint.name == "logout" else http
        with_query = [call(http, key, "?a=1")] if endpoint.query is not None else []
        answers = [call(nobody, key), *with_query, *([] if key in BEGINNING else [call(caller, key)])]
    for answer in answers:
        described = responses[str(answer.status_code)]
        assert {name for name, told in described.get("headers", {}).items() if told.get("required")} <= {
            name.title() for name in answer.headers
        }
        if not answer.content:
            continue
        media_type = answer.headers["content-type"].partition(";")[0]
        schema = described["content"][media_type]["schema"]
        assert_fits(schema, answer.text if media_type.startswith("text/") else answer.json())
    http.post("users.removePersonalAccessToken", json={"tokenName": "nightly-import"})


# ---------------------------------------------------------------- the page


def test_the_page_needs_nothing_from_elsewhere(server: Server) -> None:
    answer = httpx.get(f"{server.address}/api/docs", trust_env=False)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy and "http" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"<(script|link|img|iframe|object|embed|base|form)\b", answer.text)
    assert not re.search(r"\son\w+=|\sstyle=|url\(|@import", answer.text)
    assert re.findall(r'(?:href|src)="([^"#][^"]*)"', answer.text) == ["v1/openapi.json"]


def test_the_page_leads_to_its_own_parts(server: Server) -> None:
    page = httpx.get(f"{server.address}/api/docs", trust_env=False).text
    targets = re.findall(r'href="#([^"]+)"', page)
    assert sorted(targets) == sorted(re.findall(r'id="([^"]+)"', page))
    assert len(set(targets)) == len(targets) == len(ENDPOINTS)


def test_the_page_escapes_the_descriptions() -> None:
    hostile = json.loads(json.dumps(DOCUMENT).replace("nightly-import", "<script>alert(1)</script>"))
    assert "<script>" not in reference.html(hostile)
