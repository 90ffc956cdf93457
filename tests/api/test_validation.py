import sys
import time
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from chatferry.api import validation
from chatferry.api.schemas import (
    DOWNLOAD_PENDING_AVATARS,
    DOWNLOAD_PENDING_FILES,
    DOWNLOAD_PUBLIC_IMPORT_FILE,
    IMPORT_ADD_USERS,
    NO_QUERY,
    START_IMPORT,
    START_IMPORT_NEWER,
    START_IMPORT_OLDER,
    UPLOAD_IMPORT_FILE,
    Schema,
)
from chatferry.api.validation import check_query
from chatferry.errors import RequestError

ALL = [
    UPLOAD_IMPORT_FILE,
    DOWNLOAD_PUBLIC_IMPORT_FILE,
    START_IMPORT_NEWER,
    START_IMPORT_OLDER,
    START_IMPORT,
    IMPORT_ADD_USERS,
    DOWNLOAD_PENDING_AVATARS,
    DOWNLOAD_PENDING_FILES,
    NO_QUERY,
]
UPLOAD = {"binaryContent": "QQ==", "contentType": "text/csv", "fileName": "a.csv", "importerKey": "csv"}
PERSON = {"emails": ["a@example.com"], "importIds": ["u1"]}
OLD_USER = {
    "user_id": "u1",
    "username": "ann",
    "is_deleted": False,
    "is_bot": False,
    "do_import": True,
    "is_email_taken": False,
}
OLD_CHANNEL = {
    "channel_id": "c1",
    "name": "general",
    "is_archived": False,
    "do_import": True,
    "is_private": False,
    "is_direct": False,
}


def check_body(schema: Schema, body: object) -> dict[str, Any]:
    """Check a body, and that its text gives the same."""
    with suppress(RecursionError):  # too deep to be written
        text = msgspec.json.encode(body)
        assert told_of(schema, msgspec.Raw(text)) == told_of(schema, body), text[:1000]
    return validation.check_body(schema, body)


def told_of(schema: Schema, body: object) -> dict[str, Any] | tuple[str, str]:
    """Return the checked body, or reason and type of its refusal."""
    try:
        return validation.check_body(schema, body)
    except RequestError as error:
        return error.reason, error.type


def start(**chosen: Any) -> dict[str, Any]:
    return {"input": chosen}


def add(**fields: Any) -> dict[str, Any]:
    return {"users": [{**PERSON, **fields}]}


def without(whole: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in whole.items() if name != key}


def refusal(schema: Schema, body: object) -> str:
    with pytest.raises(RequestError) as caught:
        check_body(schema, body)
    error = caught.value
    assert (error.status, error.type, error.code, str(error)) == (400, "invalid-params", "", error.reason)
    return error.reason


# The table "Measured outcomes" of the contract, row by row.
REFUSED = [
    (UPLOAD_IMPORT_FILE, {}, "must have required property 'binaryContent'"),
    (UPLOAD_IMPORT_FILE, {"binaryContent": ""}, "must have required property 'contentType'"),
    (UPLOAD_IMPORT_FILE, {"binaryContent": "", "contentType": ""}, "must have required property 'fileName'"),
    (UPLOAD_IMPORT_FILE, without(UPLOAD, "importerKey"), "must have required property 'importerKey'"),
    (UPLOAD_IMPORT_FILE, {"extra": 1}, "must have required property 'binaryContent'"),
    (UPLOAD_IMPORT_FILE, {**UPLOAD, "extra": 1}, "must NOT have additional properties"),
    (UPLOAD_IMPORT_FILE, {**UPLOAD, "binaryContent": {}}, "must be string"),
    *[(schema, [], "must be object") for schema in ALL],
    (DOWNLOAD_PUBLIC_IMPORT_FILE, {}, "must have required property 'fileUrl'"),
    (DOWNLOAD_PUBLIC_IMPORT_FILE, {"fileUrl": "x"}, "must have required property 'importerKey'"),
    (START_IMPORT, {}, "must have required property 'input'"),
    (START_IMPORT, {"input": None}, "must be object"),
    (START_IMPORT, {"input": []}, "must be object"),
    (START_IMPORT, {"input": "x"}, "must be object"),
    (START_IMPORT, start(users=None), "must be object"),
    (START_IMPORT_NEWER, start(users=[OLD_USER], channels=[]), "must be object"),
    (START_IMPORT, start(users={"all": "yes"}), "must be boolean"),
    (START_IMPORT, start(users={"list": "a"}), "must be array"),
    (START_IMPORT, {"input": {}, "extra": 1}, "must NOT have additional properties"),
    (IMPORT_ADD_USERS, {}, "must have required property 'users'"),
    (IMPORT_ADD_USERS, {"users": [{}]}, "must have required property 'emails'"),
    (IMPORT_ADD_USERS, {"users": [{"emails": []}]}, "must have required property 'importIds'"),
    (IMPORT_ADD_USERS, {"users": {}}, "must be array"),
    (IMPORT_ADD_USERS, add(emails="a"), "must be array"),
    (IMPORT_ADD_USERS, add(deleted="x"), "must be boolean"),
    (IMPORT_ADD_USERS, add(utcOffset="x"), "must be number"),
]
ACCEPTED = [
    (
        UPLOAD_IMPORT_FILE,
        {**UPLOAD, "binaryContent": 5, "contentType": None, "fileName": True},
        {**UPLOAD, "binaryContent": "5", "contentType": "", "fileName": "true"},
    ),
    (START_IMPORT, start(), start()),
    (START_IMPORT, start(users={"all": "true"}), start(users={"all": True})),
    (START_IMPORT, start(users={"all": 1}), start(users={"all": True})),
    (START_IMPORT, start(users={"list": [1, None]}), start(users={"list": ["1", ""]})),
    (IMPORT_ADD_USERS, {"users": []}, {"users": []}),
    (IMPORT_ADD_USERS, add(emails=[], importIds=[]), add(emails=[], importIds=[])),
]


@pytest.mark.parametrize(("schema", "body", "error"), REFUSED)
def test_measured_refusals(schema: Schema, body: object, error: str) -> None:
    assert refusal(schema, body) == error


@pytest.mark.parametrize(("schema", "body", "result"), ACCEPTED)
def test_measured_acceptances(schema: Schema, body: object, result: object) -> None:
    assert check_body(schema, body) == result


def test_measured_query() -> None:
    check_query(NO_QUERY, {})
    with pytest.raises(RequestError) as caught:
        check_query(NO_QUERY, {"a": "1"})
    assert (caught.value.reason, caught.value.type) == (
        "must NOT have additional properties",
        "error-invalid-params",
    )


@pytest.mark.parametrize("schema", ALL)
def test_schemas_are_json_schemas(schema: Schema) -> None:
    Draft202012Validator.check_schema(schema)


def test_titles_differ() -> None:
    assert len({schema["title"] for schema in ALL}) == len(ALL)


# ---------------------------------------------------------------- both forms of startImport


@pytest.mark.parametrize(
    "body",
    [
        start(users=[], channels=[]),
        start(users=[OLD_USER], channels=[OLD_CHANNEL]),
        start(users=[{**OLD_USER, "email": None}], channels=[{**OLD_CHANNEL, "creator": "u1"}]),
        start(users=[], channels=[], contacts=[{"id": "x", "do_import": True}]),
        start(users={"all": True}, channels={"list": ["c1"]}, contacts={}),
    ],
)
def test_both_forms_are_accepted(body: object) -> None:
    assert check_body(START_IMPORT, body) == body


def test_older_form_is_coerced() -> None:
    body = start(users=[{**OLD_USER, "user_id": 7, "do_import": "true"}], channels=[])
    assert check_body(START_IMPORT, body)["input"]["users"][0] == {**OLD_USER, "user_id": "7"}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (start(users=[]), "must have required property 'channels'"),
        (start(channels=[]), "must have required property 'users'"),
        (start(users=[], channels={}), "must be array"),
        (start(users=["u1"], channels=[]), "must be object"),
        (start(users=[{}], channels=[]), "must have required property 'user_id'"),
        (
            start(users=[], channels=[without(OLD_CHANNEL, "is_direct")]),
            "must have required property 'is_direct'",
        ),
        (start(users=[], channels=[], contacts=[{"id": "x"}]), "must have required property 'do_import'"),
        (start(users=[{**OLD_USER, "is_bot": "maybe"}], channels=[]), "must be boolean"),
        ({**start(users=[], channels=[]), "extra": 1}, "must NOT have additional properties"),
        (start(contacts=[]), "must be object"),
        (start(users={}, channels={"list": {}}), "must be array"),
    ],
)
def test_errors_of_the_form_that_was_meant(body: object, error: str) -> None:
    assert refusal(START_IMPORT, body) == error


# ---------------------------------------------------------------- order of the errors


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"extra": 1}, "must have required property 'users'"),
        ({"users": {}, "extra": 1}, "must NOT have additional properties"),
        ({"users": [{**PERSON, "utcOffset": "x"}, {}]}, "must be number"),
        ({"users": [{"importIds": {}}]}, "must have required property 'emails'"),
        (add(deleted="x", emails=[[]]), "must be string"),
        (add(bio=[], deleted="x"), "must be boolean"),
    ],
)
def test_only_the_first_error_counts(body: object, error: str) -> None:
    assert refusal(IMPORT_ADD_USERS, body) == error


# ---------------------------------------------------------------- coercion (ajv 8.20 agrees but for two rows)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (-0.0, "0"),
        (5.0, "5"),
        (1.5, "1.5"),
        (123456.789, "123456.789"),
        (1e16, "10000000000000000"),
        (1.2345678901234568e20, "123456789012345680000"),
        (1e21, "1e+21"),
        (-1.5e300, "-1.5e+300"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (5e-324, "5e-324"),
        (False, "false"),
    ],
)
def test_to_string(value: object, text: str) -> None:
    assert check_body(IMPORT_ADD_USERS, add(importIds=[value])) == add(importIds=[text])


# ajv: 9223372036854776000
def test_long_numeric_ids_keep_their_digits() -> None:
    assert check_body(IMPORT_ADD_USERS, add(importIds=[2**63 + 1])) == add(importIds=["9223372036854775809"])


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("5", 5),
        ("-5.5", -5.5),
        (" 5 ", 5),
        ("\ufeff7", 7),
        ("1e3", 1000),
        ("1e300", 1e300),
        (".5", 0.5),
        ("5.", 5),
        ("0x1F", 31),
        ("0b11", 3),
        ("0o17", 15),
        (" ", 0),
        (True, 1),
        (False, 0),
        (None, None),
        ("", None),
    ],
)
def test_to_number(value: object, number: object) -> None:
    result = check_body(IMPORT_ADD_USERS, add(utcOffset=value))["users"][0]["utcOffset"]
    assert (result, type(result)) == (number, type(number))


@pytest.mark.parametrize(
    "value", ["x", "1_0", "-0x1", "\u0661", "5 5", "1e999", "\x1c7", "0x", "."]
)  # ajv: 1e999 is Infinity
def test_not_a_number(value: str) -> None:
    assert refusal(IMPORT_ADD_USERS, add(utcOffset=value)) == "must be number"


@pytest.mark.parametrize(
    ("value", "boolean"),
    [("true", True), (1, True), (1.0, True), ("false", False), (0, False), (None, None), ("", None)],
)
def test_to_boolean_or_null(value: object, boolean: bool | None) -> None:
    assert check_body(IMPORT_ADD_USERS, add(deleted=value))["users"][0]["deleted"] is boolean


@pytest.mark.parametrize("value", ["True", "1", 2, [], {}])
def test_not_a_boolean(value: object) -> None:
    assert refusal(IMPORT_ADD_USERS, add(deleted=value)) == "must be boolean"


def test_null_is_false_if_the_field_is_not_nullable() -> None:
    assert check_body(START_IMPORT, start(users={"all": None})) == start(users={"all": False})


def test_empty_string_is_no_boolean_where_null_is_not_allowed() -> None:
    assert refusal(START_IMPORT, start(users={"all": ""})) == "must be boolean"


@pytest.mark.parametrize("value", ["", 0, False])
def test_a_scalar_is_null_for_a_nullable_list_and_refused_for_another(value: object) -> None:
    assert check_body(IMPORT_ADD_USERS, add(roles=value)) == add(roles=None)
    assert refusal(IMPORT_ADD_USERS, add(emails=value)) == "must be array"


def test_unknown_fields_are_left_out() -> None:
    assert check_body(IMPORT_ADD_USERS, add(customFields={"a": 5})) == add()
    assert check_body(IMPORT_ADD_USERS, add(customFields={"a": 5}, emails=[5])) == add(emails=["5"])
    more = start(users={"all": True, "more": 1}, messages=[])
    assert check_body(START_IMPORT, more) == start(users={"all": True})
    contacts = [{"id": "x", "do_import": "true", "phones": [[]]}]
    found = check_body(START_IMPORT, start(users=[], channels=[], contacts=contacts))["input"]
    assert found["contacts"] == [{"id": "x", "do_import": True}]


def test_the_body_itself_is_not_changed() -> None:
    body = add(username=5)
    check_body(IMPORT_ADD_USERS, body)
    assert body == add(username=5)


# ---------------------------------------------------------------- hostile bodies


def nested(depth: int) -> list[Any]:
    outer: list[Any] = []
    for _ in range(depth):
        outer = [outer]
    return outer


@pytest.mark.parametrize(
    ("schema", "body", "error"),
    [
        (UPLOAD_IMPORT_FILE, {**UPLOAD, "fileName": nested(100_000)}, "must be string"),
        (START_IMPORT, start(users=nested(100_000)), "must have required property 'channels'"),
        (IMPORT_ADD_USERS, {"users": nested(100_000)}, "must be object"),
        (IMPORT_ADD_USERS, {**add(), "extra": nested(100_000)}, "must NOT have additional properties"),
    ],
)
def test_deep_bodies(schema: Schema, body: object, error: str) -> None:
    assert refusal(schema, body) == error


@pytest.mark.parametrize(
    ("schema", "make"),
    [
        (START_IMPORT, lambda n: start(users={"list": [str(i) for i in range(n)]})),
        (START_IMPORT, lambda n: start(users=[OLD_USER] * n, channels=[])),
        (IMPORT_ADD_USERS, lambda n: add(emails=list(range(n)))),
        (IMPORT_ADD_USERS, lambda n: {"users": [PERSON] * n}),
        (IMPORT_ADD_USERS, lambda n: add(**{str(i): i for i in range(n)})),
    ],
)
def test_time_grows_with_the_length_only(schema: Schema, make: Any) -> None:
    few, many = make(2_000), make(40_000)
    assert duration(schema, many) < 20 * 5 * max(duration(schema, few), 0.001)


def duration(schema: Schema, body: object) -> float:
    started = time.process_time()
    validation.check_body(schema, body)
    validation.check_body(schema, msgspec.Raw(msgspec.json.encode(body)))
    return time.process_time() - started


SCALARS = (
    st.none() | st.booleans() | st.integers(-5, 2**70) | st.floats(allow_nan=False, width=16) | st.text()
)
NAMES = st.sampled_from(
    ["users", "input", "channels", "list", "all", "emails", "importIds", "deleted", "utcOffset", "roles", "x"]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
PEOPLE = st.lists(st.fixed_dictionaries({"emails": VALUES, "importIds": VALUES}, optional={"bio": VALUES}))


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.fixed_dictionaries({"users": PEOPLE}), st.fixed_dictionaries({"input": VALUES}), VALUES))
def test_no_body_of_any_kind_breaks_the_check(body: object) -> None:
    for schema in (IMPORT_ADD_USERS, START_IMPORT):
        with suppress(RequestError):
            check_body(schema, body)


def test_unknown_fields_are_never_decoded() -> None:
    hostile = msgspec.Raw(b"[" + b"[],{}," * 50_000 + b"0]")
    for schema, body in (
        (IMPORT_ADD_USERS, {"users": [{**PERSON, "x": hostile}]}),
        (IMPORT_ADD_USERS, {"users": [{**PERSON, "bio": 5, "x": hostile}]}),
        (IMPORT_ADD_USERS, {"users": [PERSON], "x": hostile}),
        (START_IMPORT, {"input": {"users": {"x": hostile}, "x": hostile}}),
    ):
        text = msgspec.Raw(msgspec.json.encode(body))
        told_of(schema, text)
        assert most_blocks(schema, text) < 1_000


def most_blocks(schema: Schema, text: msgspec.Raw) -> int:
    """How many blocks of memory a check takes more at some moment, as seen before and after every call."""
    before, most = sys.getallocatedblocks(), 0

    def look(frame: object, event: str, argument: object) -> None:
        nonlocal most
        most = max(most, sys.getallocatedblocks() - before)

    sys.setprofile(look)
    try:
        told_of(schema, text)
    finally:
        sys.setprofile(None)
    return most


def test_coercion_is_a_pure_function_of_its_own() -> None:
    assert validation.coerced({"type": ["string", "null"]}, None) is None
    assert validation.coerced({"type": "string"}, None) == ""
