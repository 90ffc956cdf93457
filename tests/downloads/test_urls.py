"""Which URLs are asked for, and how messages show them."""

from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatferry.downloads import Rules
from chatferry.downloads.urls import accepted_url, next_url
from chatferry.errors import DownloadError
from chatferry.redaction import holds_secret, without_secrets

RULES = Rules(hosts=frozenset({"files.example:9000", "anywhere.example"}))


@pytest.mark.parametrize(
    "text",
    [
        "http://files.example/a.zip?x=1",
        "https://files.example:443/",
        "http://files.example:8080",
        "https://files.example:8443/",
        "http://files.example:9000/",
        "http://anywhere.example:1234/",
        "HTTPS://FILES.EXAMPLE/",
        "https://käse.example/",
    ],
)
def test_these_may_be_asked_for(text: str) -> None:
    assert accepted_url(text, RULES).scheme in ("http", "https")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ftp://files.example/", "only http and https"),
        ("file:///etc/passwd", "only http and https"),
        ("gopher://files.example:80/", "only http and https"),
        ("httpfoo://files.example/", "only http and https"),
        ("data:text/plain,x", "only http and https"),
        ("javascript:alert(1)", "only http and https"),
        ("//files.example/", "only http and https"),
        ("/etc/passwd", "only http and https"),
        ("", "only http and https"),
        ("http:///x", "no host"),
        ("http:x", "no host"),
        ("https://", "no host"),
        ("https://user:pw@files.example/", "user name or password"),
        ("https://user@files.example/", "user name or password"),
        ("http://files.example:22/", "port 22"),
        ("http://files.example:6379/", "port 6379"),
        ("http://files.example:0/", "no port 0"),
        ("http://anywhere.example:70000/", "no port 70000"),
        ("http://other.example:9000/", "port 9000"),
        ("http://files.example:x/", "no valid address"),
        ("http://[::1/", "no valid address"),
        ("http://a%20b/", "no valid address"),
        ("http://0177.0.0.1/", "no valid address"),
        ("http://a\\b/", "no valid address"),
        ("http://[fe80::1%25eth0]/", "no valid address"),
        ("http://a\x00b/", "no valid address"),
        ("http://a/\r\nX: y", "no valid address"),
        ("http://１２７.0.0.1/", "no valid address"),
        ("http://x/" + "a" * 70_000, "no valid address"),
    ],
)
def test_these_are_refused_for_good_with_a_reason(text: str, why: str) -> None:
    with pytest.raises(DownloadError, match=why) as caught:
        accepted_url(text, RULES)
    assert caught.value.is_final
    assert caught.value.remedy


def test_no_redirect_leads_from_https_to_http() -> None:
    with pytest.raises(DownloadError, match="redirects from https to http") as told:
        next_url(httpx.URL("https://files.example/a"), "http://files.example/a", RULES)
    assert told.value.is_final
    secure = "https://files.example/a"
    assert str(next_url(httpx.URL("http://files.example/a"), secure, RULES)) == secure


@given(st.text() | st.text().map("http://{}".format) | st.text().map("https://x/{}".format))
def test_no_text_is_too_odd_to_be_judged(text: str) -> None:
    without_secrets(text)
    try:
        accepted_url(text, RULES)
        next_url(httpx.URL("https://files.example/a"), text, RULES)
    except DownloadError as error:
        assert error.is_final


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/b?c=d", "https://files.example/b?c=d"),
        ("b", "https://files.example/x/b"),
        ("//other.example/b", "https://other.example/b"),
        ("https://other.example/b#f", "https://other.example/b"),
    ],
)
def test_a_redirect_is_relative_to_where_it_stood(location: str, target: str) -> None:
    assert str(next_url(httpx.URL("https://files.example/x/a"), location, RULES)) == target


SHOWN = {
    "https://files.example/a.zip": "https://files.example/a.zip",
    "https://files.example/a.zip?page=2&size=big": "https://files.example/a.zip?page=2&size=big",
    "https://files.slack.com/f/a.png?t=xoxe-1-abc": "https://files.slack.com/f/a.png?t=***",
    "https://x/?T=1&Token=2&SIG=3&page=4": "https://x/?T=***&Token=***&SIG=***&page=4",
    "https://x/?X-Amz-Date=1&X-Amz-Signature=2&x-goog-id=3": "https://x/?X-Amz-Date=***&X-Amz-Signature=***&x-goog-id=***",
    "https://x/?access_token=1;pub_secret=2": "https://x/?access_token=***&pub_secret=***",
    "https://x/?%74oken=1&to%6ben=2": "https://x/?%74oken=***&to%6ben=***",
    "https://x/?q=0123456789abcdef": "https://x/?q=***",
    "https://x/?0123456789abcdef": "https://x/?***",
    "https://user:pw@x/a": "https://***@x/a",
    "https://u@v@x/@me/a": "https://***@x/@me/a",
    "https://x/@me/a": "https://x/@me/a",
    "http://xn--a/b": "http://xn--a/b",
    "https://x/a#access_token=1": "https://x/a",
    "https://x/xoxp-12-ab/a": "https://x/***/a",
    "ftp://user:p/w@x/a": "***@x/a",
    "user:pw@x": "***@x",
    "http:user:pw@x": "***@x",
    "https:/user:pw@x": "***@x",
    "https://x/\x1b[2J\n": "https://x/\\x1b[2J",
}


@pytest.mark.parametrize("text", SHOWN)
def test_messages_show_urls_without_secrets(text: str) -> None:
    assert without_secrets(text) == SHOWN[text]


def test_a_long_url_is_cut() -> None:
    assert len(without_secrets("https://x/" + "a" * 5000)) < 400


SECRETS = st.text("ABCDEFGHJKLMNPQRSTUVWXYZ23456789", min_size=8, max_size=40)
NAMES = st.sampled_from(
    [
        "t",
        "token",
        "sig",
        "signature",
        "X-Amz-Credential",
        "X-Amz-Security-Token",
        "access_token",
        "apikey",
        "Key",
    ]
)


@given(SECRETS, NAMES, st.sampled_from("&;"), st.booleans())
def test_no_secret_is_ever_shown(secret: str, name: str, between: str, is_odd: bool) -> None:
    name = "".join(f"%{ord(c):02x}" for c in name) if is_odd else name
    for url in (
        f"https://files.example/a?x=1{between}{name}={secret}{between}y=2",
        f"https://files.example/a?{name}={quote(f'&{secret}')}",
        f"https://user:{secret}@files.example/a",
        f"https://{secret}@files.example/a",
        f"https://user:{secret}@files.example:bad/a",
        f"https://files.example/a#{secret}",
    ):
        assert secret not in without_secrets(url)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://avatars.slack-edge.com/2020-01-01/1_2_512.png", False),
        (
            "https://secure.gravatar.com/avatar/0bc83cb571cd1c50ba6f3e8a78ef1346.jpg?s=512&d=https%3A%2F%2Fa.b%2Fc",
            False,
        ),
        ("https://files.slack.com/files-pri/T1-F1/a.png?t=xoxe-1-2", True),
        ("https://example.com/a.png?size=1;access_token=abc", True),
        ("https://example.com/xoxb-123456/a.png", True),
        ("https://user:pass@example.com/a.png", True),
        ("https://example.com/a.png?token=", False),
        ("", False),
    ],
)
def test_which_addresses_hold_a_secret(url: str, expected: bool) -> None:
    assert holds_secret(url) == expected
