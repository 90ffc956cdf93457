"""HTML in messages becomes markdown; no input breaks it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatferry.importers.reading.html import from_html

BECOMES = {
    "plain &amp; simple": "plain & simple",
    "<b>bold</b> and <strong> spaced </strong>x": "*bold* and *spaced* x",
    "<i>a</i><em>b</em><s>c</s><del>d</del><code>e</code>": "_a__b_~c~~d~`e`",
    "<b>a<br>b</b>": "*a*\n*b*",
    "<b><strong>once</strong></b>": "*once*",
    '<a href="https://example.org/?a=1&amp;b=2">label</a>': "[label](https://example.org/?a=1&b=2)",
    '<a href="https://example.org">https://example.org</a>': "https://example.org",
    '<a href="javascript:alert(1)">no</a><a>none</a>': "nonone",
    '<img src="https://example.org/i.png" alt="a picture">': "[a picture](https://example.org/i.png)",
    '<img src="https://example.org/i.png">': "https://example.org/i.png",
    '<img src="data:image/png;base64,AA==" title="small">': "small",
    "<p>one</p><p>two</p>": "one\n\ntwo",
    "<div>one</div><div>two</div>": "one\ntwo",
    "one  \n two": "one two",
    "<pre>a  b\n  <b>c</b></pre>": "```\na  b\n  c\n```",
    "<blockquote>a<br>b</blockquote>c": "> a\n> b\nc",
    "<ul><li>a<li>b<ol><li>c<li>d</ol></ul>": "• a\n• b\n  1. c\n  2. d",
    "<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>": "a | b\nc",
    "<h1>Title</h1>text": "*Title*\ntext",
    "a<script>alert(1)</script><style>b{}</style>c": "ac",
    "a <!-- comment --> b": "a b",
    "1 < 2 > 0 &lt;b&gt;": "1 < 2 > 0 <b>",
    "&#65;&#0000000065;&#x41;&#99999999;&#65": "AAA\ufffdA",
    "<b>open": "*open*",
    "</b>closed": "closed",
    "<b><i>crossed</b></i>": "*_crossed_*",
    "<unknown-tag>kept</unknown-tag>": "kept",
    "": "",
}


@pytest.mark.parametrize("text", BECOMES)
def test_html_becomes_markdown(text: str) -> None:
    assert from_html(text) == BECOMES[text]


PIECES = [
    "<",
    ">",
    "</",
    "<b>",
    "</b>",
    "<a",
    "href='",
    "<!--",
    "-->",
    "<![CDATA[",
    "&#",
    "&amp",
    "<ul>",
    "<li>",
    "<pre>",
]


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=5)).map("".join))
def test_any_text_is_taken(text: str) -> None:
    from_html(text)


@pytest.mark.parametrize(
    "piece", ["<a ", "<!--", "<![", "<b>", "<ul><li>", "<a href='", "<", "<b><i>x</b>", "&amp"]
)
def test_much_of_it_is_taken(piece: str) -> None:
    """The standard library's parser needs minutes for some of these."""
    assert len(from_html(piece * (50_000 // len(piece)))) < 500_000
