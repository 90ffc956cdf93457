"""startImport: bodies, in both forms, and when nothing can be started."""

import httpx
import pytest

from tests.api.refusals import (
    action_error,
    call,
    invalid,
    refusal,
)

pytestmark = pytest.mark.usefixtures("nothing_is_left")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "must have required property 'input'"),
        ({"input": None}, "must be object"),
        ({"input": []}, "must be object"),
        ({"input": "x"}, "must be object"),
        ({"input": {"users": None}}, "must be object"),
        ({"input": {"users": {"all": "yes"}}}, "must be boolean"),
        ({"input": {"users": {"list": "a"}}}, "must be array"),
        ({"input": {"users": [], "channels": [{}]}}, "must have required property 'channel_id'"),
        ({"input": {}, "extra": 1}, "must NOT have additional properties"),
    ],
)
def test_bodies_that_do_not_fit(http: httpx.Client, body: object, reason: str) -> None:
    assert refusal(http.post("startImport", json=body)) == invalid(reason)


@pytest.mark.parametrize(
    "input",
    [
        {},
        {"users": {"all": "true"}},
        {"users": {"all": 1, "list": [1, None]}},
        {"users": {"extra": 1}, "channels": {}, "contacts": {}, "messages": []},
        {"users": [], "channels": []},
    ],
)
def test_bodies_that_fit(http: httpx.Client, input: object) -> None:
    expected = action_error("Import Operation Not Found", "error-operation-not-found", "startImport")
    assert refusal(http.post("startImport", json={"input": input})) == expected


def test_before_the_first_operation(http: httpx.Client) -> None:
    expected = action_error("Import Operation Not Found", "error-operation-not-found", "startImport")
    assert refusal(call(http, "POST startImport")) == expected
