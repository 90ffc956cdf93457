"""Which answers are kept."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chatferry.downloads import Request
from chatferry.downloads.response_checks import (
    NOTHING,
    Accepted,
    Kept,
    Version,
    check_end,
    check_head,
    check_size,
    judge,
    location,
    range_headers,
)
from chatferry.errors import DownloadError

FILE = Request(url="https://files.example/a", path=Path("a"))
PAGE = Request(url="https://files.example/a", path=Path("a"), mime="text/html; charset=utf-8")
IMAGE = Request(url="https://files.example/a", path=Path("a"), only_images=True)
HALF = Kept(50, Version(total=100, validator='"one"', content_type="image/png"))
LIMIT = 1000


def judged(
    status: int, headers: Mapping[str, str], request: Request = FILE, kept: Kept = NOTHING
) -> Accepted:
    return judge(status, headers, request, kept, limit=LIMIT, now=0)


def refused(
    status: int, headers: Mapping[str, str], request: Request = FILE, kept: Kept = NOTHING
) -> DownloadError:
    with pytest.raises(DownloadError) as caught:
        judged(status, headers, request, kept)
    return caught.value


def test_length_type_and_version_come_from_the_headers() -> None:
    headers = {"content-length": "7", "content-type": "image/png", "etag": '"one"'}
    version = Version(total=7, validator='"one"', content_type="image/png")
    assert judged(200, headers) == Accepted(start=0, version=version, is_gzip=False)
    assert judged(200, {}) == Accepted(start=0, version=Version(), is_gzip=False)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_temporary_failures_are_tried_again(status: int) -> None:
    error = refused(status, {"retry-after": "9"})
    assert not error.is_final
    assert error.wait == 9
    assert str(status) in error.reason


@pytest.mark.parametrize("status", [204, 205, 206, 300, 304, 400, 401, 403, 404, 410, 416, 418, 451, 499])
def test_any_other_answer_is_final(status: int) -> None:
    error = refused(status, {"retry-after": "9", "content-range": "bytes 0-4/5"})
    assert error.is_final
    assert f"answered {status}" in error.reason


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_leads_somewhere(status: int) -> None:
    assert location(status, {"location": "/b"}) == "/b"
    assert location(status, {}) is None
    assert refused(status, {}).is_final


def test_only_redirects_redirect() -> None:
    assert location(200, {"location": "/b"}) is None
    assert location(304, {"location": "/b"}) is None


@pytest.mark.parametrize("etag", ['W/"weak"', "bare", '"', ""])
def test_only_a_strong_etag_names_a_version_else_its_date(etag: str) -> None:
    assert judged(200, {"etag": etag}).version.validator == ""
    headers = {"etag": etag, "last-modified": "Thu, 29 Feb 2024 12:00:00 GMT"}
    assert judged(200, headers).version.validator == "Thu, 29 Feb 2024 12:00:00 GMT"


@pytest.mark.parametrize("length", ["-1", "x", "", "1, 2", "9" * 30])
def test_an_invalid_length_counts_as_no_length(length: str) -> None:
    assert judged(200, {"content-length": length}).version.total is None


def test_a_file_that_will_be_too_large_is_refused_at_once() -> None:
    assert judged(200, {"content-length": "1000"}).version.total == 1000
    error = refused(200, {"content-length": "1001"})
    assert error.is_final
    assert "CHATFERRY_MAX_DOWNLOAD_MIB" in error.remedy


# ---------------------------------------------------------------- types


@pytest.mark.parametrize("mime", ["text/html", "TEXT/HTML; charset=utf-8", "application/xhtml+xml"])
def test_a_web_page_is_no_file_unless_one_was_expected(mime: str) -> None:
    error = refused(200, {"content-type": mime})
    assert error.is_final
    assert "web page" in error.reason
    assert judged(200, {"content-type": mime}, PAGE).version.content_type == mime


@pytest.mark.parametrize("mime", ["", "text/plain", "application/octet-stream", "imagepng", "video/mp4"])
def test_an_image_can_be_demanded(mime: str) -> None:
    assert refused(200, {"content-type": mime}, IMAGE).is_final
    assert judged(200, {"content-type": "Image/PNG; x=y"}, IMAGE).start == 0


PAGES = [
    b"<!DOCTYPE html><html>",
    b"<!doctype HTML>\n",
    b"\xef\xbb\xbf \r\n\t<html lang=en>",
    b"<!-- hello -->\n<!-- again --><html>",
    b'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "x">',
    b"<head><title>",
    b"<script>",
    b"<body\n",
]
FILES = [
    b"",
    b"PK\3\4<html>",
    b"<svg xmlns='x'><title>",
    b'<?xml version="1.0"?><!DOCTYPE svg>',
    b"<htmlish>",
    b"a < b <html>",
    b"\x89PNG",
    b'{"a": "<html>"}',
]


@pytest.mark.parametrize("head", PAGES)
def test_a_web_page_is_known_by_its_first_bytes(head: bytes) -> None:
    with pytest.raises(DownloadError, match="web page") as caught:
        check_head(head, FILE, "application/zip")
    assert caught.value.is_final
    check_head(head, PAGE, "text/html")


@pytest.mark.parametrize("head", FILES)
def test_other_files_are_not_taken_for_one(head: bytes) -> None:
    check_head(head, FILE, "")


def test_the_source_of_a_page_may_come_as_text_if_it_was_text_before() -> None:
    snippet = Request(url="https://files.example/a", path=Path("a"), mime="text/plain")
    check_head(PAGES[0], snippet, "text/plain; charset=utf-8")
    with pytest.raises(DownloadError, match="web page"):
        check_head(PAGES[0], snippet, "application/octet-stream")
    with pytest.raises(DownloadError, match="web page"):
        check_head(PAGES[0], FILE, "text/plain")


@given(st.lists(st.sampled_from([b"<!---->", b"<?xml>", b"<!--", b"-->", b" ", b"<"]), max_size=100))
@example([b"<!---->"] * 70)
def test_no_head_takes_long_to_judge(pieces: list[bytes]) -> None:
    check_head((b"".join(pieces) + b"x")[:512], FILE, "")


# ---------------------------------------------------------------- packed bodies


def test_a_packed_body_has_no_known_length_and_no_version() -> None:
    headers = {"content-encoding": "GZIP", "content-length": "7", "etag": '"one"'}
    assert judged(200, headers) == Accepted(start=0, version=Version(), is_gzip=True)
    assert not judged(200, {"content-encoding": "identity"}).is_gzip


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "deflate", "zstd"])
def test_other_encodings_are_refused(encoding: str) -> None:
    assert refused(200, {"content-encoding": encoding}).is_final


# ---------------------------------------------------------------- the rest of a file


def test_the_rest_is_asked_for_if_it_is_the_same_version() -> None:
    assert range_headers(HALF) == {"Range": "bytes=50-", "If-Range": '"one"'}
    assert range_headers(NOTHING) == {}


@pytest.mark.parametrize(
    "headers",
    [
        {"content-range": "bytes 50-99/100", "content-length": "50", "etag": '"one"'},
        {"content-range": "bytes 50-99/*"},
        {"content-range": "bytes 50-69/100", "content-length": "20"},
    ],
)
def test_the_rest_continues_the_version(headers: Mapping[str, str]) -> None:
    assert judged(206, headers, kept=HALF) == Accepted(start=50, version=HALF.version, is_gzip=False)


def test_the_size_may_become_known_with_the_rest() -> None:
    kept = Kept(50, Version(validator='"one"'))
    assert judged(206, {"content-range": "bytes 50-99/100"}, kept=kept).version.total == 100
    assert refused(206, {"content-range": "bytes 50-99/*"}, kept=kept).is_stale


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-range": "bytes 0-99/100"},
        {"content-range": "bytes 49-99/100"},
        {"content-range": "bytes 50-99/101"},
        {"content-range": "bytes */100"},
        {"content-range": "items 50-99/100"},
        {"content-range": "bytes 50-99/100", "content-length": "51"},
        {"content-range": "bytes 50-99/100", "etag": '"two"'},
        {"content-range": "bytes 50-99/100", "content-encoding": "gzip"},
    ],
)
def test_a_rest_that_does_not_fit_makes_the_beginning_worthless(headers: Mapping[str, str]) -> None:
    error = refused(206, headers, kept=HALF)
    assert error.is_stale
    assert not error.is_final


def test_a_host_that_cannot_go_on_is_asked_for_the_whole() -> None:
    error = refused(416, {"content-range": "bytes */20"}, kept=HALF)
    assert error.is_stale
    assert not error.is_final


def test_the_whole_may_come_instead_of_the_rest() -> None:
    assert judged(200, {"content-length": "120"}, kept=HALF).start == 0


# ---------------------------------------------------------------- sizes


def test_more_than_declared_or_allowed_stops() -> None:
    check_size(100, 100, LIMIT)
    check_size(1000, None, LIMIT)
    with pytest.raises(DownloadError, match="more than the 100 declared") as caught:
        check_size(101, 100, LIMIT)
    assert caught.value.is_stale
    with pytest.raises(DownloadError, match="larger than") as caught:
        check_size(1001, None, LIMIT)
    assert caught.value.is_final


def test_less_than_declared_is_a_fault() -> None:
    check_end(100, 100)
    check_end(7, None)
    with pytest.raises(DownloadError, match="only 99 of 100 bytes") as caught:
        check_end(99, 100)
    assert not caught.value.is_final
    assert not caught.value.is_stale


@given(
    st.integers(100, 999),
    st.dictionaries(
        st.sampled_from(
            ["content-length", "content-range", "content-type", "content-encoding", "etag", "retry-after"]
        ),
        st.text() | st.from_regex(r"bytes [0-9]{1,3}-[0-9]{1,3}/([0-9]{1,3}|\*)", fullmatch=True),
    ),
    st.sampled_from([NOTHING, HALF]),
)
def test_every_answer_is_kept_or_refused(status: int, headers: Mapping[str, str], kept: Kept) -> None:
    try:
        body = judged(status, headers, kept=kept)
    except DownloadError as error:
        assert error.reason
        assert error.remedy
    else:
        assert body.start in (0, kept.size)
        assert (body.version.total or 0) <= LIMIT
