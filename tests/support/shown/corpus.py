"""Messages of a Slack workspace in which everything that a text can hold stands next to everything else.

A text is made of pieces, each of which is written as mrkdwn and as rich text.
"""

import random
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

Json = dict[str, Any]

USERS = {"U0ALICE01": "alice", "U0BOB0002": "bob.b-2", "U0EVE0003": "eve_3"}
CHANNELS = {"C0PLANS01": "plans", "C0OTHER01": "dev-ops"}
BOT = "B0EXAMPLE1"

_WORDS = (
    "word", "Grüße", "x", "R&D", "a<b", "b>a", "&amp;", "50%", "don't", "“so”", "(see", "that)", "end.",
    "why?", "no!", "cc:", "a,b", "שלום", "مرحبا", "e\u0301cole", "日本", "1.5", "#42", "x=1;", "/path", "-",
    "is.na",
)  # fmt: skip
_LABELS = (
    "label", "two words", "[Bug 1]", "a [b] c", "f(x)", "a|b", "R&D", "<b>", "שלום עולם", "e\u0301", "a](b",
    "](", "x] y[", "100%", "v1.2.", "(a)", "a:b", "@bob", "#1",
)  # fmt: skip
_ADDRESSES = (
    "https://example.org", "https://example.org/", "https://example.org/a?b=1&c=2", "http://example.org/A_(b)",
    "https://example.org/(a", "https://example.org/a)", "https://example.org/((a))", "https://example.org/a.",
    "https://example.org/a,", "https://example.org/é", "https://example.org/שלום", "https://example.org/a`b",
    "https://example.org/a[1]", "https://example.org/a%20b", "https://example.org/#a!b", "http://intranet/wiki",
    "https://example.org/a;b=c:d@e", "https://example.org/?q=a+b&amp;c",
)  # fmt: skip
_CODES = (
    "x",
    "a < b && c",
    "[a](b)",
    "*a* _b_",
    ":memo:",
    "a > b",
    "<@U0BOB0002>",
    "f(x)[0]",
    "שלום",
    "é",
    "a|b",
)
_EMOJI = ("clap", "wave", "+1", "man-shrugging", "party_parrot", "memo", "simple_smile")


class Piece(NamedTuple):
    """`apart`: it stands between spaces, as Slack itself would not read it otherwise."""

    mrkdwn: str
    elements: list[Json]
    apart: bool = False


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _text(text: str, **style: bool) -> Json:
    return {"type": "text", "text": text, **({"style": style} if style else {})}


def _link(url: str, label: str = "", **style: bool) -> Json:
    link = {"type": "link", "url": escaped(url)}
    return link | ({"text": label} if label else {}) | ({"style": style} if style else {})


def word(rng: random.Random) -> Piece:
    text = rng.choice(_WORDS)
    return Piece(escaped(text), [_text(text)])


def styled(rng: random.Random) -> Piece:
    text = rng.choice(("bold", "two words", "Größe", "שלום"))
    mark, style = rng.choice((("*", "bold"), ("_", "italic"), ("~", "strike")))
    return Piece(f"{mark}{text}{mark}", [_text(text, **{style: True})], apart=True)


def user(rng: random.Random) -> Piece:
    id = rng.choice([*USERS])
    label = rng.choice(("", "", f"|{USERS[id]}", "|a-former-name"))
    return Piece(f"<@{id}{label}>", [{"type": "user", "user_id": id}])


def channel(rng: random.Random) -> Piece:
    id = rng.choice([*CHANNELS])
    label = rng.choice(("", f"|{CHANNELS[id]}", "|", "|a-former-name"))
    return Piece(f"<#{id}{label}>", [{"type": "channel", "channel_id": id}])


def everybody(rng: random.Random) -> Piece:
    name = rng.choice(("here", "channel", "everyone"))
    label = rng.choice(("", f"|{name}", f"|@{name}"))
    return Piece(f"<!{name}{label}>", [{"type": "broadcast", "range": name}])


def bare(rng: random.Random) -> Piece:
    url = rng.choice(_ADDRESSES)
    label = rng.choice(("", "", url))
    return Piece(f"<{escaped(url)}{'|' if label else ''}{escaped(label)}>", [_link(url, label)])


def labelled(rng: random.Random) -> Piece:
    url, label = rng.choice(_ADDRESSES), rng.choice(_LABELS)
    style = {"code": True} if rng.random() < 0.1 and "`" not in url else {}
    return Piece(f"<{escaped(url)}|{escaped(label)}>", [_link(url, label, **style)])


def labelled_with_code(rng: random.Random) -> Piece:
    url, before, code = rng.choice(_ADDRESSES), rng.choice(_LABELS), rng.choice(("x", "x[[]]", "f(x)", "a<b"))
    parts = [_link(url, before), _link(url, code, code=True), _link(url, " after")]
    return Piece(f"<{escaped(url)}|{escaped(before)}`{escaped(code)}` after>", parts)


def linked_by_slack(rng: random.Random) -> Piece:
    name = rng.choice(("is.na", "readme.md", "example.org/a?b=1&c=2", "www.example.org"))
    return Piece(f"<http://{escaped(name)}|{escaped(name)}>", [_link(f"http://{name}", name)])


def shortened(rng: random.Random) -> Piece:
    url = "https://example.org/a/long/path?with=much&more=of_it"
    label = f"{url[: rng.randint(12, 30)]}[...]{url[-rng.randint(2, 9) :]}"
    return Piece(f"<{escaped(url)}|{escaped(label)}>", [_link(url, label)])


def mail(rng: random.Random) -> Piece:
    url, label = rng.choice(
        (
            ("mailto:ann@example.org", "ann@example.org"),
            ("mailto:ann@example.org", "write"),
            ("tel:+4930123456", "+4930123456"),
            ("tel:0301234", "0301234"),
        )
    )
    return Piece(f"<{url}|{label}>", [_link(url, label)])


def code(rng: random.Random) -> Piece:
    text = rng.choice(_CODES)
    return Piece(f"`{escaped(text)}`", [_text(text, code=True)], apart=True)


def code_with_tokens(rng: random.Random) -> Piece:
    """Rich text has no tokens in such code: what they show is its text."""
    id, url = rng.choice([*USERS]), rng.choice([one for one in _ADDRESSES if "`" not in one])
    mrkdwn, text = rng.choice(
        (
            (f"curl <{escaped(url)}>", f"curl {url}"),
            (f"<@{id}>:x", f"@{USERS[id]}:x"),
            ("a<#C0PLANS01|plans>b", "a#plansb"),
            ("<http://is.na|is.na>(x)", "is.na(x)"),
            ("<!here> &amp; <!channel>", "@here & @channel"),
        )
    )
    return Piece(f"`{mrkdwn}`", [_text(text, code=True)], apart=True)


def emoji(rng: random.Random) -> Piece:
    name, tone = rng.choice(_EMOJI), rng.choice((0, 0, 2, 6))
    mrkdwn = f":{name}:" + (f":skin-tone-{tone}:" if tone else "")
    return Piece(
        mrkdwn, [{"type": "emoji", "name": name} | ({"skin_tone": tone} if tone else {})], apart=True
    )


def group(rng: random.Random) -> Piece:
    return Piece("<!subteam^S0EXAMPLE1|@designers>", [_text("@designers")], apart=True)


INLINE: tuple[Callable[[random.Random], Piece], ...] = (
    word, word, word, word, styled, user, user, channel, everybody, bare, bare, labelled, labelled,
    labelled_with_code, linked_by_slack, shortened, mail, code, code_with_tokens, emoji, group,
)  # fmt: skip


def line(rng: random.Random) -> Piece:
    """Pieces next to each other, with a space or without."""
    mrkdwn, elements = "", list[Json]()
    before = Piece("", [], apart=False)
    for turn in range(rng.randint(1, 6)):
        piece = rng.choice(INLINE)(rng)
        is_apart = piece.apart or before.apart or _would_be_one(before, piece)
        space = " " if turn and (is_apart or rng.random() < 0.5) else ""
        mrkdwn += space + piece.mrkdwn
        elements += [_text(space), *piece.elements] if space else piece.elements
        before = piece
    return Piece(mrkdwn, elements)


def _would_be_one(before: Piece, after: Piece) -> bool:
    """Whether rich text would take two links for one, cut by its styles."""
    last = before.elements[-1] if before.elements else {}
    return "url" in last and last.get("url") == after.elements[0].get("url")


def text_message(rng: random.Random) -> Json:
    parts: list[str] = []
    for _ in range(rng.randint(1, 4)):
        roll = rng.random()
        if roll < 0.15:
            inner = "\n".join(escaped(rng.choice(_CODES)) for _ in range(rng.randint(1, 3)))
            tokens = rng.choice(
                ("", " <https://example.org/?a=1&amp;b=2>", " <@U0BOB0002>", "\n<http://is.na|is.na>")
            )
            parts.append(rng.choice(("```{}```", "```\n{}\n```", "```{}\n```")).format(inner + tokens))
        elif roll < 0.25:
            parts.append(f"&gt; {line(rng).mrkdwn}")
        else:
            parts.append(line(rng).mrkdwn)
    return {"text": _on_lines(parts, rng)}


def _on_lines(parts: list[str], rng: random.Random) -> str:
    """Fences may stand in the middle of a line."""
    text = parts[0]
    for before, after in pairwise(parts):
        is_fence = (before[:3] == "```") != (after[:3] == "```") and not (before + after).startswith("&gt;")
        free = is_fence and "&gt;" not in (after[:4], before[:4])
        text += (rng.choice(("\n", " ", "")) if free else "\n") + after
    return text


def blocks(rng: random.Random) -> list[Json]:
    elements: list[Json] = []
    for _ in range(rng.randint(1, 4)):
        sections = [
            {"type": "rich_text_section", "elements": line(rng).elements} for _ in range(rng.randint(1, 3))
        ]
        match rng.randrange(6):
            case 0:
                inner = [
                    _text("\n" * rng.randrange(2) + rng.choice(_CODES) + "\n"),
                    {"type": "user", "user_id": "U0EVE0003"},
                ]
                inner += [
                    _text(" "),
                    _link(rng.choice(_ADDRESSES), rng.choice(("", "is.na"))),
                    _text("\n" * rng.randrange(2)),
                ]
                elements.append({"type": "rich_text_preformatted", "elements": inner})
            case 1:
                style = rng.choice(("ordered", "bullet"))
                elements.append({"type": "rich_text_list", "style": style, "indent": 0, "elements": sections})
            case 2:
                elements.append({"type": "rich_text_quote", "elements": sections[0]["elements"]})
            case _:
                end = rng.choice((" ", "\n"))
                elements.append(
                    {"type": "rich_text_section", "elements": [*sections[0]["elements"], _text(end)]}
                )
    return [{"type": "rich_text", "elements": elements}]


def bot_message(rng: random.Random) -> Json:
    """A bot's text is the same as its blocks, or a few words of another kind."""
    said = line(rng)
    text = (
        said.mrkdwn
        if rng.random() < 0.5
        else rng.choice(("", "News", "A summary with many more letters than the blocks"))
    )
    section = {"type": "section", "text": {"type": "mrkdwn", "text": f"{said.mrkdwn} seen"}}
    rich = {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": said.elements}]}
    image = {
        "type": "image",
        "image_url": "https://example.org/i.png?a=1&amp;b=2",
        "alt_text": "i",
        "title": {"text": "Load"},
    }
    return {"text": text, "blocks": rng.choice(([rich], [rich], [section], [rich, image]))}


def messages(count: int, seed: int) -> Iterator[Json]:
    """Yield messages without authors and times: half of them text, others rich text, or of a bot and both."""
    rng = random.Random(seed)
    for number in range(count):
        match number % 6:
            case 0 | 1 | 2:
                yield text_message(rng)
            case 3 | 4:
                yield {"text": "", "blocks": blocks(rng)}
            case _:
                yield {**bot_message(rng), "subtype": "bot_message", "bot_id": BOT, "username": "Bot"}
