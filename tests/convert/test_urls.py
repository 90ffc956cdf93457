"""Which addresses a text holds."""

import pytest

from chatferry.convert.messages import urls_in


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("see https://example.org/a, or ftp://b.", ["https://example.org/a", "ftp://b"]),
        ("[label](https://example.org/a) b", ["https://example.org/a"]),
        ("(https://example.org/a_(b))", ["https://example.org/a_(b)"]),
        ("https://example.org/a_(b)", ["https://example.org/a_(b)"]),
        ("<https://example.org/a>", ["https://example.org/a"]),
        ("x(ftp://example.org/a).)", ["ftp://example.org/a"]),
        ("1http://example.org äftp://example.org", ["http://example.org", "ftp://example.org"]),
        ("https://example.org/).).", ["https://example.org/"]),
        ("https://example.org https://example.org", ["https://example.org"]),
        ("`https://example.org` ```http://a b``` a://b", ["a://b"]),
        ("://a a:// a://> http:/b", []),
    ],
)  # fmt: skip
def test_addresses(text: str, urls: list[str]) -> None:
    assert urls_in(text) == urls
