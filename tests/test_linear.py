"""Whatever text or list comes from outside, the work on it grows no faster than it does.

Anybody in the source workspace can write a message. One with quadratic work in it stops the server.
"""

from collections.abc import Callable, Mapping

import pytest

from chatferry.convert.messages import urls_in
from chatferry.importers import slack_text
from chatferry.importers.texts import fitting, link, marked
from testdata.hostile_export import TEXTS
from tests.work import growth, is_linear

OF_TEXT: Mapping[str, Callable[[str], object]] = {
    "slack: text": slack_text.from_mrkdwn,
    "slack: one token": lambda text: slack_text.from_mrkdwn(f"<{text}|{text}>"),
    "slack: code": lambda text: slack_text.from_mrkdwn(f"`{text}"),
    "slack: secrets": slack_text.without_secrets,
    "addresses": urls_in,
    "addresses in brackets": lambda text: urls_in(f"(https://example.org/{text}"),
    "addresses after code": lambda text: urls_in(f"```{text}"),
    "link": lambda text: link(f"https://example.org/{text}", text),
    "mark": lambda text: marked(text, "*"),
    "length": lambda text: fitting((text,)),
}

PIECES = [
    *"<>()[]{}|@#!&;:`*_~\\/.,'\"?=%+-^$\0\n\r\t a1é", "\ufeff", "\ud800", "\u2028", "a.", "a@", "@a ",
    "1.", "-1", "1e", "&#1", "&#x1", "&#", "&amp", "xox", "xoxb-", "t=", "token=xox", "?a=b", "&a=b", "%20",
    "\\u0000", '\\"', '""', '","', '"a', 'a"', "a,b;", "a\n", "\r\n", "sep=;", "[]", "[[", "{}", "{},",
    '{"a":', '{"id":"a"},', "[1,", "1,", '"\\', "//", "/*", "../", "./", "a/", "<a ", "<b>", "</b>", "<ul>",
    "<li>", "<p>", "<!--", "<![CDATA[", "<div>", "<a href='", "<b><i>x</b>", "<br/>", "<pre>",
    "<blockquote>", "<a:", "<@U1|", "<!date^", "http://a ", "(http://a)", "a://", "--xyz", "\r\n--xyz",
    "\r\n-", "; a=b", ';a="', "data:", "=",
]  # fmt: skip


def _shapes() -> dict[str, Callable[[int], str]]:
    plain = {repr(piece): _repeating(piece) for piece in PIECES}
    opened = {
        f"[ and {piece!r}": _repeating(piece, "[") for piece in ('{"a":', "{},", '{"id":"a"},', "1,", "[")
    }
    return {**TEXTS, **plain, **opened}


def _repeating(piece: str, before: str = "") -> Callable[[int], str]:
    return lambda size: before + piece * (size // len(piece))


SHAPES = _shapes()


@pytest.mark.parametrize("name", OF_TEXT)
def test_work_on_a_text_grows_as_the_text_does(name: str) -> None:
    function = OF_TEXT[name]

    def call(shape: Callable[[int], str], size: int) -> Callable[[], object]:
        text = shape(size)

        def work() -> object:
            return function(text)

        return work

    for shape, make in SHAPES.items():
        factor = growth(lambda size, make=make: call(make, size))  # type: ignore[misc]
        assert is_linear(factor), f"{shape}: {factor:.0f} times the work for 8 times the text"
