"""Requests that a generator makes from the OpenAPI document: no failure, and every answer as described.

What does not fit the document may be accepted: Rocket.Chat turns scalars into what is asked for.
"""

import os
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from chatferry.api.description.openapi import document
from chatferry.api.routes import ENDPOINTS
from chatferry.api.uploads import tus
from tests.support.serving import Server, login, serving

CASES = 300 if os.environ.get("CHATFERRY_TEST_LONG") else 12  # for each endpoint
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
CONFIG = SchemathesisConfig(
    projects=ProjectsConfig(
        default=ProjectConfig(generation=GenerationConfig(with_security_parameters=False))
    )
)
schemathesis.serializer.alias(tus.BYTES_TYPE, "application/octet-stream")
SCHEMA = schemathesis.openapi.from_dict(document(ENDPOINTS), config=CONFIG)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("generated")) as server:
        yield server
        assert not (server.data / "errors.log").exists()


@pytest.fixture(scope="module")
def admin(running: Server) -> Iterator[httpx.Client]:
    with login(running) as http:
        yield http


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as connected:
        connected.trust_env = False
        yield connected


@SCHEMA.parametrize()
@settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_generated_requests(
    case: "schemathesis.Case[Any]", running: Server, admin: httpx.Client, session: requests.Session
) -> None:
    names = () if case.path.endswith("/logout") else ("X-User-Id", "X-Auth-Token")
    credentials = {name: admin.headers[name] for name in names}
    case.call_and_validate(base_url=running.address, headers=credentials, checks=CHECKS, session=session)
