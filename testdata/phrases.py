"""Texts in two forms: as Slack writes them, and as Rocket.Chat is to show them.

In the tables, $u1 $u2 are ids of people and $n1 $n2 their usernames, $c1 $c2 are ids of public channels and
$r1 $r2 their names.
"""

import json
import random
from collections import deque
from collections.abc import Callable, Sequence
from string import Template
from typing import NamedTuple

from msgspec import Raw


def words(text: str) -> list[str]:
    return text.split()


class Phrase(NamedTuple):
    slack: str
    expected: str
    mentions: list[str]
    channels: list[str]
    blocks: Raw | None = None


class Row(NamedTuple):
    """One thing that a text can hold. `mentions` and `channels` are words; `line`: it needs its own lines."""

    slack: str
    expected: str
    mentions: str = ""
    channels: str = ""
    line: bool = False


ROWS = (
    Row("salt &amp; pepper", "salt & pepper"),
    Row("1 &lt; 2 &gt; 0", "1 < 2 > 0"),
    Row("&amp;lt;b&amp;gt; is escaped &amp;amp; decoded once", "&lt;b&gt; is escaped &amp; decoded once"),
    Row("<@$u1>", "@$n1", "$n1"),
    Row("<@$u1|$n1>", "@$n1", "$n1"),
    Row("<@$u1|a former name>", "@$n1", "$n1"),
    Row("<@$u1> or <@$u2|someone>", "@$n1 or @$n2", "$n1 $n2"),
    Row("(cc:<@$u1>,<@$u2>)", "(cc: @$n1, @$n2)", "$n1 $n2"),
    Row("ask <@USLACKBOT>", "ask @rocket.cat", "rocket.cat"),
    Row("see <#$c1|$r1>", "see #$r1", "", "$r1"),
    Row("see <#$c1>", "see #$r1", "", "$r1"),
    Row("see <#$c1|>", "see #$r1", "", "$r1"),
    Row("see <#$c1|a-former-name>", "see #$r1", "", "$r1"),
    Row("both <#$c1|$r1> and <#$c2>", "both #$r1 and #$r2", "", "$r1 $r2"),
    Row("<!here>", "@here", "here"),
    Row("<!here|here>", "@here", "here"),
    Row("<!here|@here>", "@here", "here"),
    Row("<!channel>", "@all", "all"),
    Row("<!channel|channel>", "@all", "all"),
    Row("<!everyone>", "@all", "all"),
    Row("<!here> and <@$u1>", "@here and @$n1", "here $n1"),
    Row("<!subteam^S0EXAMPLE1|@designers>", "@designers"),
    Row("<!date^1600000000^{date_short} at {time}|Sep 13, 2020 at 12:26 PM>", "Sep 13, 2020 at 12:26 PM"),
    Row("<!date^1600000000^{date}^https://example.org/cal|that Sunday>", "that Sunday"),
    Row("<https://example.org/a?b=1&amp;c=2>", "https://example.org/a?b=1&c=2"),
    Row("<https://example.org/docs|the docs>", "[the docs](https://example.org/docs)"),
    Row("<https://example.org/q?a=1&amp;b=2|Q&amp;A>", "[Q&A](https://example.org/q?a=1&b=2)"),
    Row("<https://example.org/same|https://example.org/same>", "https://example.org/same"),
    Row("<http://example.org|example.org>", "[example.org](http://example.org)"),
    Row("<https://example.org/a> <https://example.org/b|b>", "https://example.org/a [b](https://example.org/b)"),
    Row("<mailto:team@example.org|team@example.org>", "team@example.org"),
    Row("<mailto:team@example.org|write to us>", "[write to us](mailto:team@example.org)"),
    Row("<tel:+15550100|+15550100>", "+15550100"),
    Row("<tel:+15550100|the front desk>", "[the front desk](tel:+15550100)"),
    Row("`a &lt; b &amp;&amp; c`", "`a < b && c`"),
    Row("`&lt;@$u1&gt; :memo:`", "`<@$u1> :memo:`"),
    Row("`<https://example.org/raw>`", "`https://example.org/raw`"),
    Row("```if (a &lt; b) {\n  x &amp;= 1;\n}```", "```\nif (a < b) {\n  x &= 1;\n}\n```", line=True),
    Row("```\n&lt;#$c1|x&gt; &lt;!here&gt;\n```", "```\n<#$c1|x> <!here>\n```", line=True),
    Row("&lt;@$u1&gt; and &lt;!here&gt; are typed, not meant", "<@$u1> and <!here> are typed, not meant"),
    Row("*bold* _italic_ ~strike~ `code`", "*bold* _italic_ ~strike~ `code`"),
    Row("*<@$u1>* _<https://example.org|here>_", "*@$n1* _[here](https://example.org)_", "$n1"),
    Row("&gt; somebody said\n&gt; this &amp; that", "> somebody said\n> this & that", line=True),
    Row("• one\n• two\n    ◦ three", "• one\n• two\n    ◦ three", line=True),
    Row(":simple_smile: :memo: :piggy: :uk:", ":smile: :pencil: :pig: :gb:"),
    Row(":memo::piggy:", ":pencil::pig:"),
    Row(":tada: :party-parrot: :+1:", ":tada: :party-parrot: :+1:"),
    Row(":wave::skin-tone-3: :+1::skin-tone-5:", ":wave_tone2: :+1_tone4:"),
    Row("at 12:30:45 or 10:memo", "at 12:30:45 or 10:memo"),
    Row("issue #42, mail ann@example.org", "issue #42, mail ann@example.org"),
    Row("Grüße, naïve façade – “quoted” 🎉 日本語 привет", "Grüße, naïve façade – “quoted” 🎉 日本語 привет"),
    Row("tab\there, \\backslash \"quotes\" 100% $$5", "tab\there, \\backslash \"quotes\" 100% $$5"),
)  # fmt: skip


# --- rich text: messages whose `text` is empty --------------------------------------------------------------

Part = str | dict[str, object]  # a string is a piece of plain text


def _style(text: str, name: str) -> Part:
    return {"type": "text", "text": text, "style": {name: True}}


def _link(url: str, **more: str) -> Part:
    return {"type": "link", "url": url, **more}


def _all(range: str) -> Part:
    return {"type": "broadcast", "range": range}


def _block(kind: str, *parts: Part, **more: object) -> dict[str, object]:
    elements = [{"type": "text", "text": part} if isinstance(part, str) else part for part in parts]
    return {"type": f"rich_text_{kind}", **more, "elements": elements}


def _section(*parts: Part) -> dict[str, object]:
    return _block("section", *parts)


def _list(style: str, *items: Part) -> dict[str, object]:
    return _block("list", *items, style=style, indent=0, border=0)


_USER: Part = {"type": "user", "user_id": "$u1"}
_CHANNEL: Part = {"type": "channel", "channel_id": "$c1"}
_WAVE: Part = {"type": "emoji", "name": "wave", "skin_tone": 3}
_MEMO: Part = {"type": "emoji", "name": "memo"}


class RichRow(NamedTuple):
    blocks: Sequence[object]
    expected: str
    mentions: str = ""
    channels: str = ""


RICH_ROWS = (
    RichRow([_section("Hi ", _USER, ", R&D says 1 < 2")], "Hi @$n1, R&D says 1 < 2", "$n1"),
    RichRow([_section(_style("bold", "bold"), " ", _style("italic", "italic"))], "*bold* _italic_"),
    RichRow([_section(_style("strike", "strike"), " ", _style("code", "code"))], "~strike~ `code`"),
    RichRow([_section("go to ", _CHANNEL)], "go to #$r1", "", "$r1"),
    RichRow([_section(_all("here"), " look")], "@here look", "here"),
    RichRow([_section(_all("channel"), " look")], "@all look", "all"),
    RichRow([_section(_all("everyone"), " look")], "@all look", "all"),
    RichRow(
        [_section(_link("https://example.org/a?b=1&c=2"), " first")], "https://example.org/a?b=1&c=2 first"
    ),
    RichRow([_section(_link("https://example.org/d", text="the docs"))], "[the docs](https://example.org/d)"),
    RichRow([_section(_WAVE, " ", _MEMO)], ":wave_tone2: :pencil:"),
    RichRow([_section("one "), _section("two")], "one two"),
    RichRow(
        [_section("Steps:\n"), _list("bullet", _section("first"), _section("then ", _USER))],
        "Steps:\n• first\n• then @$n1",
        "$n1",
    ),
    RichRow(
        [_list("ordered", _section("first"), _section(_style("second", "bold")), _section("third"))],
        "1. first\n2. *second*\n3. third",
    ),
    RichRow([_block("quote", "somebody said\nthis")], "> somebody said\n> this"),
    RichRow([_block("preformatted", "a < b &&\n<@$u1>", border=0)], "```\na < b &&\n<@$u1>\n```"),
    RichRow(
        [_section("Look"), _block("preformatted", "x = 1"), _section("done")],
        "Look\n```\nx = 1\n```\ndone",
    ),
)

# --- plain sentences ----------------------------------------------------------------------------------------

_WORDS = words(
    "the a new old quick slow build test deploy report draft meeting lunch coffee server client page button "
    "colour number people team plan idea answer question problem fix release ticket week today tomorrow "
    "later never always maybe really simply again almost done ready broken green red blue shiny heavy light "
    "works fails starts stops moves waits needs wants thinks writes reads sends takes gives finds shows "
    "keeps and or but so if with without for from into over under after before about between because "
    "while until naïve grün größer 🎉 ✅"
)


def sentences(rng: random.Random, count: int) -> list[str]:
    return [_sentence(rng) for _ in range(count)]


def _sentence(rng: random.Random) -> str:
    chosen = rng.choices(_WORDS, k=1 + int(rng.random() ** 2 * 14))
    return " ".join(chosen).capitalize() + rng.choice(".!?…")


class Names(NamedTuple):
    """What the `$` in the tables can stand for: (id, name) pairs."""

    people: Sequence[tuple[str, str]]
    channels: Sequence[tuple[str, str]]

    def draw(self, rng: random.Random) -> dict[str, str]:
        (u1, n1), (u2, n2) = _two(rng, self.people)
        (c1, r1), (c2, r2) = _two(rng, self.channels)
        return {"u1": u1, "n1": n1, "u2": u2, "n2": n2, "c1": c1, "r1": r1, "c2": c2, "r2": r2}


def _two(rng: random.Random, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return rng.sample(pairs, 2) if len(pairs) > 1 else [pairs[0], pairs[0]]


def rich_phrases(rng: random.Random, names: Names) -> list[Phrase]:
    return [_rich(row, names.draw(rng)) for row in RICH_ROWS]


def _rich(row: RichRow, values: dict[str, str]) -> Phrase:
    fill = _filler(values)
    block = json.dumps([{"type": "rich_text", "block_id": "b1", "elements": row.blocks}])
    mentions, channels = fill(row.mentions).split(), fill(row.channels).split()
    return Phrase("", fill(row.expected), mentions, channels, Raw(fill(block).encode()))


def featured_phrases(rng: random.Random, names: Names, count: int) -> list[Phrase]:
    """Texts of up to three things each; the first ones hold every row of the table, in order."""
    rows = deque([*ROWS, *rng.choices(ROWS, k=3 * count)])
    return [_pack(rows, rng, names) for _ in range(count)]


def _pack(rows: deque[Row], rng: random.Random, names: Names) -> Phrase:
    slack = expected = _sentence(rng)
    mentions: list[str] = []
    channels: list[str] = []
    line = False
    for _ in range(3):
        row, fill = rows[0], _filler(names.draw(rng))
        said, linked = fill(row.mentions).split(), fill(row.channels).split()
        if not set(said + linked).isdisjoint(mentions + channels):  # each name once: their order stays plain
            break
        rows.popleft()
        gap = "\n" if line or row.line else " "
        slack += gap + fill(row.slack)
        expected += gap + fill(row.expected)
        mentions += said
        channels += linked
        line = row.line
    gap = "\n" if line else " "
    return Phrase(slack + gap, expected + gap, [*dict.fromkeys(mentions)], [*dict.fromkeys(channels)])


def _filler(values: dict[str, str]) -> Callable[[str], str]:
    return lambda text: Template(text).substitute(values)
