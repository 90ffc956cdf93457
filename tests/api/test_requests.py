"""Queries and bodies that do not fit, and hostile ones, at every endpoint that looks at them."""

import json
from collections.abc import Iterator

import httpx
import pytest

from chatferry.api.endpoint import Endpoint
from tests.support.refusals import (
    BODIES,
    FIRST_REQUIRED,
    JSON_TYPE,
    MIB,
    NO_LOGIN,
    TABLE,
    UPLOAD,
    call,
    failure,
    invalid,
    missing,
    refusal,
)
from tests.support.serving import NOT_ALLOWED

pytestmark = pytest.mark.usefixtures("nothing_is_left")


READ_WHOLE = ["downloadPublicImportFile", "startImport", "import.addUsers"]  # before they are checked
CHECKED_GETS = [
    key for key, endpoint in TABLE.items() if endpoint.query is not None and key.startswith("GET")
]


def test_the_queries_that_are_checked_are_rocket_chats_and_those_of_lists() -> None:
    lists = {
        f"GET {name}"
        for name in ("import.operations", "import.operations/{id}", "import.events", "import.report")
    }
    assert lists <= set(CHECKED_GETS)
    assert sorted(set(CHECKED_GETS) - lists) == [
        "GET getCurrentImportOperation",
        "GET getImportFileData",
        "GET getImportProgress",
        "GET getLatestImportOperations",
        "GET importers.list",
        "GET users.getPersonalAccessTokens",
    ]


@pytest.mark.parametrize("key", CHECKED_GETS)
def test_no_other_query_is_allowed(http: httpx.Client, key: str) -> None:
    wrong = invalid("must NOT have additional properties", "error-invalid-params")
    paging = [] if "count" in (TABLE[key].query or {})["properties"] else ["?count=50&offset=0"]
    for query in (*paging, "?a=1", "?a", "?%61=%zz", "?a=%ff%fe", "?%00=%00", "?a[]=1&a[]=2"):
        assert refusal(call(http, key, query)) == wrong


@pytest.mark.parametrize("key", [*CHECKED_GETS, "GET import.status"])
def test_queries_of_too_many_parameters(http: httpx.Client, powerless: httpx.Client, key: str) -> None:
    """Also where nobody looks at the query; but who may not call is told that first."""
    query = "?" + "&".join(f"a{number}" for number in range(1001))
    assert refusal(call(http, key, query)) == failure("Invalid query parameters")
    assert refusal(call(powerless, key, query)) == (403, NOT_ALLOWED)
    assert refusal(call(http, key, query.rpartition("&")[0])) != failure("Invalid query parameters")


@pytest.mark.parametrize("query", ["?", "?&", "?&&&"])
def test_empty_queries(http: httpx.Client, query: str) -> None:
    assert http.get(f"importers.list{query}").content == http.get("importers.list").content


@pytest.mark.parametrize("key", ["GET me", "GET import.status", "GET info"])
def test_queries_of_endpoints_without_one_are_ignored(http: httpx.Client, key: str) -> None:
    assert call(http, key, "?a=1&b=%ff").json() == call(http, key).json()


@pytest.mark.parametrize("endpoint", FIRST_REQUIRED)
def test_a_body_is_an_object(http: httpx.Client, endpoint: str) -> None:
    for body in (b"[]", b"[{}]", b'"text"', b"5", b"true", b"null"):
        assert refusal(http.post(endpoint, content=body, headers=JSON_TYPE)) == invalid("must be object")


@pytest.mark.parametrize("endpoint", FIRST_REQUIRED)
def test_keys_that_nobody_asked_for(http: httpx.Client, endpoint: str) -> None:
    for key in ("extra", "", "__proto__", "constructor", "\0", "x" * 5000):
        answer = http.post(endpoint, json={**BODIES[endpoint], key: 1})
        assert refusal(answer) == invalid("must NOT have additional properties")


@pytest.mark.parametrize("endpoint", FIRST_REQUIRED)
@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"", None),
        (b"", b"application/json"),
        (b" \n", b"application/json"),
        (b"{", b"application/json"),
        (b'{"input":{}', b"application/json"),
        (b"{'input':{}}", b"application/json"),
        (b"\xff\xfe", b"application/json"),
        (b'{"input":1e999,"fileUrl":NaN}', b"application/json"),
        (b"PK\3\4 raw bytes of a file", b"application/zip"),
        (b"hello", b"text/plain"),
        (b"hello", None),
        (b"a=1&b=%ff&c", b"application/x-www-form-urlencoded"),
        (b"--x\r\n\r\nhello\r\n--x--", b"multipart/form-data; boundary=x"),
        (b"hello", b"nonsense"),
        (b"hello", b";;;=\xff"),
    ],
)
def test_bodies_that_are_no_json_count_as_empty(
    http: httpx.Client, endpoint: str, content: bytes, content_type: bytes | None
) -> None:
    headers = {b"Content-Type": content_type} if content_type else {}
    answer = http.post(endpoint, content=content, headers=headers)
    assert refusal(answer) == invalid(FIRST_REQUIRED[endpoint])


@pytest.mark.parametrize("endpoint", READ_WHOLE)
def test_json_that_is_not_called_json(http: httpx.Client, endpoint: str) -> None:
    """Rocket.Chat takes such a text apart sign by sign."""
    answer = http.post(
        endpoint, content=json.dumps(BODIES[endpoint]).encode(), headers={"Content-Type": "text/plain"}
    )
    assert refusal(answer) == invalid(FIRST_REQUIRED[endpoint])


LIMITED_BODIES = [
    endpoint for endpoint in TABLE.values() if endpoint.body is not None and endpoint.receive is None
]


@pytest.mark.parametrize("endpoint", LIMITED_BODIES, ids=lambda endpoint: endpoint.name)
def test_bodies_are_limited(http: httpx.Client, endpoint: Endpoint) -> None:
    """By the announced length and by the bytes that arrive."""
    large = endpoint.name in ("startImport", "import.addUsers")
    size, shown = (16 * MIB, "16 MiB") if large else (10 * 1024, "10 KiB")
    refused = (413, {"success": False, "error": f"The body is larger than {shown}."})
    for content in (bytes(size + 1), (bytes(1024) for _ in range(size // 1024 + 1))):
        assert refusal(http.post(endpoint.name, content=content, headers=JSON_TYPE)) == refused
    content = b"[]".ljust(size)
    assert refusal(http.post(endpoint.name, content=content, headers=JSON_TYPE))[0] in (400, 401)


@pytest.mark.parametrize("endpoint", ["startImport", "import.addUsers"])
def test_bodies_of_very_many_values(http: httpx.Client, endpoint: str) -> None:
    content = b"[" + b"0," * 1_000_001 + b"0]"
    refused = (
        413,
        {"success": False, "error": "The body holds more than 1,000,000 values. Send it in several."},
    )
    assert refusal(http.post(endpoint, content=content, headers=JSON_TYPE)) == refused
    content = b"[" + b"0," * 999_999 + b"0]"
    assert refusal(http.post(endpoint, content=content, headers=JSON_TYPE)) == invalid("must be object")


@pytest.mark.parametrize("endpoint", READ_WHOLE)
@pytest.mark.parametrize("value", [b'"\xff"', b'[["\xc3"]]', b'"\xed\xa0\x80"'])
def test_json_that_is_no_utf_8(http: httpx.Client, endpoint: str, value: bytes) -> None:
    for key in (b"fileUrl", b"input", b"users", b"x"):
        answer = http.post(endpoint, content=b'{"%b":%b}' % (key, value), headers=JSON_TYPE)
        assert refusal(answer) == invalid(FIRST_REQUIRED[endpoint])


@pytest.mark.parametrize("endpoint", [*READ_WHOLE, "login"])
@pytest.mark.parametrize(
    "opening", ["[", '{"users":[', '{"input":[', '{"input":', '{"fileUrl":[', '{"user":[']
)
def test_deep_nesting(http: httpx.Client, endpoint: str, opening: str) -> None:
    closing = opening.replace("{", "}").replace("[", "]")[::-1]
    depth = min(100_000, TABLE[f"POST {endpoint}"].most_body // 2 - 50)
    content = opening + "[" * depth + "]" * depth + "".join(sign for sign in closing if sign in "]}")
    answer = http.post(endpoint, content=content.encode(), headers=JSON_TYPE)
    assert refusal(answer) == ((401, NO_LOGIN) if endpoint == "login" else invalid(FIRST_REQUIRED[endpoint]))


def test_the_last_of_equal_keys_counts(http: httpx.Client) -> None:
    content = b'{"fileUrl":"/first","fileUrl":"/second","importerKey":"slack"}'
    answer = http.post("downloadPublicImportFile", content=content, headers=JSON_TYPE)
    assert refusal(answer) == missing("/second")


@pytest.mark.parametrize("size", [1, 7, 100])
def test_chunked_bodies(http: httpx.Client, size: int) -> None:
    def blocks(body: object) -> Iterator[bytes]:
        content = json.dumps(body).encode()
        yield from (content[at : at + size] for at in range(0, len(content), size))

    answer = http.post(
        "downloadPublicImportFile", content=blocks(BODIES["downloadPublicImportFile"]), headers=JSON_TYPE
    )
    assert refusal(answer) == missing("/srv/export.zip")
    answer = http.post(
        "uploadImportFile", content=blocks({**UPLOAD, "importerKey": "png"}), headers=JSON_TYPE
    )
    assert refusal(answer)[1]["errorType"] == "error-importer-not-defined"
