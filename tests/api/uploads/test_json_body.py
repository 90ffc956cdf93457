import base64
import io
import json
import random
import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chatferry.api.uploads.json_body import SKELETON_LIMIT, UploadBody
from chatferry.errors import RequestError

MIB = 2**20


def read(chunks: Iterable[bytes]) -> tuple[dict[str, object], bytes]:
    sink = io.BytesIO()
    body = UploadBody(sink)
    for chunk in chunks:
        body.feed(chunk)
    fields = body.finish()
    assert body.size == len(sink.getvalue())
    return fields, sink.getvalue()


def bytewise(body: bytes) -> list[bytes]:
    return [body[at : at + 1] for at in range(len(body))]


def cuttings(body: bytes) -> list[list[bytes]]:
    """The body whole, cut everywhere, and cut at each single place."""
    places = range(1, len(body)) if len(body) < 200 else ()
    return [[body], bytewise(body), *([body[:at], body[at:]] for at in places)]


def refusal(body: bytes) -> RequestError:
    errors = {}
    for chunks in cuttings(body):
        with pytest.raises(RequestError) as caught:
            read(chunks)
        errors[str(caught.value)] = caught.value
    (error,) = errors.values()
    assert (error.type, error.code) == ("invalid-params", "")
    return error


def same(body: bytes) -> tuple[dict[str, object], bytes]:
    result, *others = [read(chunks) for chunks in cuttings(body)]
    assert all(other == result for other in others)
    return result


def around(text: str, encoding: str = "utf-8") -> bytes:
    """Return a body with this raw text between the quotation marks of binaryContent."""
    return b'{"fileName":"a","binaryContent":"' + text.encode(encoding) + b'","importerKey":"csv"}'


# ---------------------------------------------------------------- any file, however written and cut


def wrapped(text: str, end: str) -> str:
    return end.join(text[at : at + 76] for at in range(0, len(text), 76)) + end


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(letter):04x}" for letter in text)


def plain(file: bytes) -> str:
    return base64.b64encode(file).decode()


def url_safe(file: bytes) -> str:
    return base64.urlsafe_b64encode(file).decode()


WRITINGS: dict[str, Callable[[bytes], str]] = {
    "plain": plain,
    "php": lambda file: plain(file).replace("/", "\\/"),
    "html-safe": lambda file: plain(file).replace("+", "\\u002b").replace("=", "\\u003D"),
    "all escaped": lambda file: escaped(plain(file)),
    "mixed": lambda file: plain(file).replace("A", "\\u0041").replace("/", "\\/"),
    "url-safe": url_safe,
    "unpadded": lambda file: url_safe(file).rstrip("="),
    "wrapped": lambda file: wrapped(plain(file), "\\r\\n"),
    "wrapped, raw": lambda file: wrapped(plain(file), "\n"),
    "spaced": lambda file: " \\t" + " ".join(plain(file)) + "\\u0020",
    "data uri": lambda file: "data:application/zip;base64," + plain(file),
    "data uri, php": lambda file: "Data:text\\/csv;a=b;BASE64," + plain(file),
    "data uri, empty": lambda file: "\\ndata:;base64,\\n" + plain(file),
}
KEYS = [
    '"binaryContent"',
    '"binary\\u0043ontent"',
    '"\\u0062inaryContent"',
    escaped("binaryContent").join('""'),
]
NAMES = st.sampled_from(["contentType", "fileName", "importerKey", "a\\b", 'q"', "{", "é", "", "x" * 70])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["binaryContent", "a", ":", ",", "}"]), inner, max_size=3)
    ),
    max_leaves=6,
)
FILES = st.binary(max_size=400) | st.integers(0, 2**32).map(lambda seed: random.Random(seed).randbytes(2000))


@pytest.mark.parametrize("file", [b"", b"?", b"\xfb\xff", b"\xfb\xff\xbe", b"u\xab", bytes(range(64))])
@pytest.mark.parametrize("writing", sorted(WRITINGS))
def test_every_writing(writing: str, file: bytes) -> None:
    assert same(around(WRITINGS[writing](file))) == (
        {"fileName": "a", "binaryContent": "", "importerKey": "csv"},
        file,
    )


@pytest.mark.parametrize("text", ["d", "da", "dat", "data", "DATA", "data\\n", "  data", "datadata"])
def test_a_text_that_only_looks_like_a_data_uri(text: str) -> None:
    letters = text.removesuffix("\\n").strip()
    if len(letters) == 1:
        refusal(around(text))
    else:
        assert same(around(text))[1] == base64.b64decode(letters + "=" * (-len(letters) % 4))


def test_a_long_data_uri() -> None:
    uri = "data:" + "x" * 512 + ";base64,QUJD"
    assert same(around(uri))[1] == b"ABC"
    assert "at byte offset 4" in str(refusal(around(uri.replace("x", "xx", 1))))


def cut(body: bytes, places: Sequence[float]) -> list[bytes]:
    at = [0, *sorted(int(place * len(body)) for place in places), len(body)]
    return [body[start:end] for start, end in pairwise(at)]


@given(
    file=FILES,
    writing=st.sampled_from(sorted(WRITINGS)),
    key=st.sampled_from(KEYS),
    fields=st.lists(st.tuples(NAMES, VALUES), max_size=5),
    place=st.integers(0, 5),
    space=st.sampled_from(["", " ", "\n\t "]),
    bom=st.booleans(),
    ascii_only=st.booleans(),
    places=st.lists(st.floats(0, 1), max_size=12) | st.none(),
)
@settings(deadline=None)
@example(b"?", "all escaped", KEYS[3], [], 0, " ", True, True, None)
def test_any_file_any_way(
    file: bytes,
    writing: str,
    key: str,
    fields: list[tuple[str, Any]],
    place: int,
    space: str,
    bom: bool,
    ascii_only: bool,
    places: list[float] | None,
) -> None:
    pairs = [(json.dumps(name), json.dumps(value, ensure_ascii=ascii_only)) for name, value in fields]
    pairs.insert(place, (key, f'"{WRITINGS[writing](file)}"'))
    text = ",".join(f"{space}{name}{space}:{space}{value}{space}" for name, value in pairs)
    body = b"\xef\xbb\xbf" * bom + f"{space}{{{text}}}{space}".encode()
    chunks = bytewise(body) if places is None else cut(body, places)
    assert read(chunks) == ({**dict(fields), "binaryContent": ""}, file)


@given(
    file=FILES,
    other=VALUES.filter(lambda value: not isinstance(value, str)) | st.just("the file"),
    fields=st.dictionaries(NAMES, VALUES, max_size=4),
    first=st.booleans(),
    indent=st.none() | st.integers(0, 3),
    places=st.lists(st.floats(0, 1), max_size=5),
)
def test_same_as_decoding_the_whole(
    file: bytes, other: object, fields: dict[str, Any], first: bool, indent: int | None, places: list[float]
) -> None:
    content = {"binaryContent": plain(file) if other == "the file" else other}
    text = json.dumps({**content, **fields} if first else {**fields, **content}, indent=indent)
    expected = json.loads(text)
    given_file = b""
    if isinstance(expected["binaryContent"], str):
        given_file = base64.b64decode(expected["binaryContent"], validate=True)
        expected["binaryContent"] = ""
    assert read(cut(text.encode(), places)) == (expected, given_file)


PIECES = [
    *'"\\{}[]:,=/- \nQué%5',
    "QUJD",
    "\\n",
    "\\/",
    "\\u00",
    "3d",
    "data:",
    ";base64,",
    '"binaryContent"',
]


@given(st.lists(st.sampled_from(PIECES)))
def test_hostile_bodies_fail_the_same_however_cut(pieces: list[str]) -> None:
    for body in (
        "".join(pieces).encode(),
        around("".join(pieces)),
        b'{"binaryContent":"' + "".join(pieces).encode(),
    ):
        assert outcome([body]) == outcome(bytewise(body))


def outcome(chunks: Iterable[bytes]) -> object:
    try:
        return read(chunks)
    except RequestError as error:
        return str(error)


# ---------------------------------------------------------------- the other fields


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ('{"binaryContent":5}', {"binaryContent": 5}),
        ('{"binaryContent":null,"a":1}', {"binaryContent": None, "a": 1}),
        ('{"binaryContent":["QUJD"]}', {"binaryContent": ["QUJD"]}),
        ('{"binaryContent":{"binaryContent":"%"}}', {"binaryContent": {"binaryContent": "%"}}),
        ('{"a":{"binaryContent":"%"},"b":[{"binaryContent":"%"}]}', None),
        ('{"a":"binaryContent","b":"%"}', None),
        ('{"a":"\\"binaryContent\\":\\"%"}', None),
        ('{"BinaryContent":"%","binaryContent ":"%"}', None),
        ('{"a":1,"a":"2"}', {"a": "2"}),
        ("{}", {}),
    ],
)
def test_fields_beside_the_file_are_decoded(body: str, fields: dict[str, object] | None) -> None:
    assert same(body.encode()) == (json.loads(body) if fields is None else fields, b"")


@pytest.mark.parametrize("body", ["[]", '["binaryContent","binaryContent"]', "5", '"QUJD"', "null"])
def test_not_an_object(body: str) -> None:
    assert str(refusal(body.encode())) == "must be object"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xef\xbb\xbf",
        b" ",
        b"hello",
        b'{"a":1',
        b'{"a":1}}',
        b'{"a":1,}',
        b'{"binaryContent":',
        b'{"binaryCont',
        b'{"binaryContent" "QUJD"}',
        b'{"binaryContent" "binaryContent"}',
        b"{'a':1}",
        b"a=1&b=2",
        b'{"a":"\\x"}',
        b'{"a":NaN}',
        b'{"a":' + b"1" * 5000 + b"}",
        b"}" * 50 + b'"',
        b"[" * 60_000,
        b"[" * 30_000 + b"]" * 30_000,
        b'{"a":' * 10_000,
    ],
)
def test_other_bodies_count_as_an_empty_object(body: bytes) -> None:
    assert same(body) == ({}, b"")


def test_bytes_that_are_not_utf8_become_replacement_characters() -> None:
    assert same(b'{"fileName":"\xe9.csv"}') == ({"fileName": "\ufffd.csv"}, b"")
    assert same(b'{"\xe9":1}') == ({"\ufffd": 1}, b"")


def test_deep_nesting_beyond_the_limit() -> None:
    assert "more than 64 KiB beside the text of binaryContent" in str(refusal(b"[" * 100_000))


def test_the_rest_must_be_short() -> None:
    fits = b'{"a":"' + b"x" * (SKELETON_LIMIT - 8) + b'"}'
    assert len(read([fits])[0]["a"]) == SKELETON_LIMIT - 8  # type: ignore[arg-type]  # it is a str
    error = refusal(fits + b" ")
    assert error.status == 400
    assert "more than 64 KiB beside the text of binaryContent" in str(error)


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("text", "offset", "shown"),
    [
        ("%", 0, "'%'"),
        ("QUJD%", 4, "'%'"),
        ("QU%JD", 2, "'%'"),
        ("QUJDé", 4, "0xc3"),
        ("\\u0051UJ\\u00e9", 3, "0xe9"),
        ("QUJD\\u20ac", 4, "'?'"),
        ("QQ==QUJD", 4, "'Q'"),
        ("QQ= =\\n QUJD", 7, "'Q'"),
        ("QUJD\\\\QUJD", 4, "'\\\\'"),
        ("Q\\/\\\\/QUJD", 2, "'\\\\'"),
        ("QUJD\\x", 4, "'\\\\'"),
        ("QUJD\\u00", 4, "'\\\\'"),
        ("QU\\u005c/A", 2, "'\\\\'"),
        ("\\u005c/" * 4, 0, "'\\\\'"),
        ("QU\\u0022", 2, "'\"'"),
        ("QUJD\\", 4, "'\\\\'"),
        ("QUJD\\u0000", 4, "'\\x00'"),
        ("data:text/plain,QUJD", 4, "':'"),
        ("data:;base64,QU%D", 15, "'%'"),
        ("\\/\\/\\/\\/%", 4, "'%'"),
        ("\\n\\n-_-_%", 6, "'%'"),
        ("data:" + "x" * 600 + ";base64,QUJD", 4, "':'"),
        ("QUJD" * 20_000 + "!" + "QUJD" * 20_000, 80_000, "'!'"),
    ],
)
def test_not_base64(text: str, offset: int, shown: str) -> None:
    error = refusal(around(text))
    assert error.status == 400
    assert str(error) == (
        f"binaryContent is not base64: at byte offset {offset} it has {shown}."
        " Encode the whole file as base64 and send it again."
    )


def test_not_even_text() -> None:
    assert "at byte offset 3 it has 0xe9" in str(refusal(around("QUJ\xe9QUJD", "latin-1")))


@pytest.mark.parametrize("text", ["Q", "QUJDR", "Q===", "QUJD\\nR"])
def test_a_character_is_missing(text: str) -> None:
    assert "a character is missing or one too many" in str(refusal(around(text)))


@pytest.mark.parametrize("text", ["=", "QUJD=", "QUI==", "QQ==="])
def test_too_much_padding(text: str) -> None:
    assert "it ends with too many '='" in str(refusal(around(text)))


@pytest.mark.parametrize(
    ("text", "file"), [("QQ", b"A"), ("QQ=", b"A"), ("QR==", b"A"), ("QUI", b"AB"), ("", b"")]
)
def test_padding_may_be_missing(text: str, file: bytes) -> None:
    assert same(around(text))[1] == file


@pytest.mark.parametrize("end", ["QUJDRA", "", "QQ==", "QQ\\u00", "data:"])
def test_the_body_ends_inside_the_file(end: str) -> None:
    body = b'{"binaryContent":"' + end.encode()
    assert str(refusal(body)) == (
        f"The body ended after {len(body)} bytes, inside binaryContent: send it again, all of it."
    )


@pytest.mark.parametrize("end", ["", ",", ',"a', ',"a":{}'])
def test_the_body_ends_after_the_file(end: str) -> None:
    body = b'{"binaryContent":"QUJD"' + end.encode()
    assert str(refusal(body)) == (
        f"The body ended after {len(body)} bytes, after binaryContent but before its JSON was complete:"
        " send it again, all of it."
    )


@pytest.mark.parametrize(
    "body", ['{"binaryContent":"QUJD",}', '{"a" 1,"binaryContent":"QUJD"}', '{"binaryContent":"QUJD"}}']
)
def test_broken_json_around_a_file(body: str) -> None:
    assert str(refusal(body.encode())) == (
        "The body is not JSON: something beside the text of binaryContent is broken."
    )


@pytest.mark.parametrize("second", ['"binaryContent":"QUJD"', '"binary\\u0043ontent":5'])
def test_two_files(second: str) -> None:
    assert "has binaryContent twice" in str(refusal(b'{"binaryContent":"QUJD",' + second.encode() + b"}"))


def test_two_files_after_a_value_of_another_type() -> None:
    assert "has binaryContent twice" in str(refusal(b'{"binaryContent":5,"binaryContent":"QUJD"}'))


# ---------------------------------------------------------------- memory


class Counter(io.RawIOBase):
    """A sink that keeps only the length."""

    def write(self, block: Any) -> int:
        return len(block)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (b"QUJD" * 1024, 64 * 1024),
        (b"QUJD" * 1024, 5 * MIB),
        (b"\\/\\/\\/\\/" * 512, 64 * 1024),
        (b"\\u002b" * 512, 5 * MIB),
        (b"-_-_" * 1024, 64 * 1024),
    ],
    ids=["usual chunks", "large chunks", "php", "escaped", "url-safe"],
)
def test_memory_does_not_grow(text: bytes, size: int) -> None:
    chunk = text * (size // len(text))
    body = UploadBody(Counter())  # type: ignore[arg-type]  # it writes, and that is all
    tracemalloc.start()
    try:
        body.feed(b'{"binaryContent":"')
        for _ in range(24 * MIB // len(chunk)):
            body.feed(chunk)
        body.feed(b'"}')
        assert body.finish() == {"binaryContent": ""}
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()
