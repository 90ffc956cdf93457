"""Slack's mrkdwn as Rocket.Chat's markdown.

Bold, italic and strike look the same in both; tokens in angle brackets, the three entities and code do not.
Format: https://docs.slack.dev/messaging/formatting-message-text.
"""

import re
from functools import lru_cache

from chatferry.importers.reading.markdown import Bare, Markdown, bare
from chatferry.importers.reading.texts import labelled
from chatferry.importers.slack.emoji import RENAMED, rocket_chat_name
from chatferry.importers.slack.schema import SLACKBOT
from chatferry.records import ROCKET_CAT, ChannelMention, GroupMention, Segment, Text, UserMention

# Code, a token, or an emoji. Each alternative begins with a plain character: only then is the search fast.
_TOKEN = re.compile(
    r"(`(?:``.*?```|[^`\n]+`)|<[^<>\n]+>|:[\w+-]{1,64}::skin-tone-[2-6](?:-[2-6])?:"
    r"|:(?:simple_smile|memo|piggy|uk):)",
    re.DOTALL,
)
_BRACKETS = re.compile(r"(<[^<>\n]+>)")  # all there is to find where there is neither code nor emoji
_ALIAS = re.compile("|".join((*(f":{name}:" for name in RENAMED), "::skin-tone-")))
_ALL, _HERE = GroupMention("all"), GroupMention("here")
_GROUPS = {"channel": _ALL, "everyone": _ALL, "group": _ALL, "here": _HERE}
_SHORT = 200  # characters of tokens that are kept in memory
_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:\S")
_FOUND = ("https://", "http://", "mailto:", "tel:")  # the addresses that Rocket.Chat finds without a label
_SHORTENED = "[...]"  # what Slack puts in the place of the middle of a long address
# A link to a file opens it without a log-in as long as its token is valid.
_SECRET = re.compile(r"(\?|&(?:amp;)?)(?:t|token)=xox[\w.%-]*(&(?:amp;)?)?")


def from_mrkdwn(text: str) -> Text:  # noqa: C901  # one loop over tokens, in the path of every message
    """Return a text whose tokens were read first, and whose entities were decoded after."""
    if "xox" in text:
        text = without_secrets(text)
    if "`" in text or (":" in text and _ALIAS.search(text) is not None):
        pieces = _TOKEN.split(text)  # text, token, text, token, ... text
        if "```" in text:
            _set_apart(pieces)
    elif "<" in text:
        pieces = _BRACKETS.split(text)
    else:
        return (decode_entities(text) if "&" in text else text,) if text else ()
    line = Markdown()
    words = line.words
    is_escaped = "&" in text
    is_token = False
    for piece in pieces:
        if not is_token:
            if piece:
                words(decode_entities(piece) if is_escaped else piece)
        elif piece[0] == "<":
            segment = _token(piece)
            if isinstance(segment, str):
                line.link(segment)
            elif isinstance(segment, Bare):
                line.bare(segment)
            else:
                line.mention(segment)
        elif piece[0] == ":":
            words(_short_emoji(piece[1:-1]))
        elif "<" in piece or piece[1] == "`":
            line.code(_code(piece))
        else:
            words(decode_entities(piece) if is_escaped else piece)
        is_token = not is_token
    return line.done()


def decode_entities(text: str) -> str:
    """Decode the three entities that Slack escapes; `&amp;lt;` is a literal `&lt;`."""
    if "&" not in text:
        return text
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def without_secrets(text: str) -> str:
    """Return a text without the tokens that let anybody open the files it links to."""
    if "xox" not in text:
        return text
    # What follows the token moves up to its place: ?t=...&a=1 becomes ?a=1.
    return _SECRET.sub(lambda match: match[1] if match[2] else "", text)


def emoji(name: str) -> str:
    """Return an emoji as Rocket.Chat writes it; `name` is Slack's, without colons."""
    return f":{rocket_chat_name(name)}:"


_short_emoji = lru_cache(maxsize=1024)(emoji)


def _token(token: str) -> Segment | Bare:
    """Return what a token says: `<@U1|ada>`, `<#C1|general>`, `<!here>`, `<https://x|label>`."""
    return _short_token(token) if len(token) <= _SHORT else _any_token(token)


@lru_cache(maxsize=4096)  # the same people and channels are named again and again
def _short_token(token: str) -> Segment | Bare:
    return _any_token(token)


def _any_token(token: str) -> Segment | Bare:
    target, _, label = token[1:-1].partition("|")
    kind = target[:1]
    if len(target) < 2:
        return decode_entities(token)
    label = decode_entities(label)
    if kind == "@":
        id = target[1:]
        return UserMention(ROCKET_CAT if id == SLACKBOT else id, label.removeprefix("@"))
    if kind == "#":
        return ChannelMention(target[1:], label.removeprefix("#"))
    if kind == "!":
        return _command(target[1:], label)
    if _URL.match(target):
        return address(decode_entities(target), label)
    return decode_entities(token)


def _command(command: str, label: str) -> Segment:
    if command in _GROUPS:
        return _GROUPS[command]
    name, _, argument = command.partition("^")
    if name in _GROUPS:
        return _GROUPS[name]
    if name == "subteam":
        return f"@{label.removeprefix('@') or argument}"
    return label or f"!{command}"


def group(name: str) -> Segment:
    """Return the mention of everybody, or of everybody who is there; other names stay text."""
    return _GROUPS.get(name) or f"@{name}"


# ---------------------------------------------------------------- links


def address(url: str, label: str) -> str | Bare:
    """Return a link whose label Slack may have made of the address itself."""
    seen = url.removeprefix("mailto:").removeprefix("tel:")
    if label.strip() in ("", url, seen) or _is_shortened(label, url):
        return bare(url, seen) if url.startswith(_FOUND) else labelled(url, seen)
    return labelled(url, label)


def _is_shortened(label: str, url: str) -> bool:
    """Return whether a label is an address without its middle: `https://x.org/a[...]z`."""
    head, dots, tail = label.strip().partition(_SHORTENED)
    if not dots or not head:
        return False
    return url.endswith(tail) and url.startswith((head, f"https://{head}", f"http://{head}"))


# ---------------------------------------------------------------- code


def _set_apart(pieces: list[str]) -> None:
    """Give fences of code lines of their own: Rocket.Chat knows no other fences, Slack shows all so."""
    last = len(pieces) - 1
    for place in range(1, last, 2):
        if pieces[place][:3] != "```" or not pieces[place][3:-3].strip():
            continue
        before, after = pieces[place - 1].rstrip(" "), pieces[place + 1].lstrip(" ")
        if before[-1:] != "\n" and (before or place > 1):
            before += "\n"
        if after[:1] != "\n" and (after or place + 1 < last):
            after = f"\n{after}"
        pieces[place - 1], pieces[place + 1] = before, after


def _code(token: str) -> Text:
    """Return code, in which Slack shows people, channels and addresses as everywhere, but links nothing."""
    inner = token.strip("`")
    if token[:3] != "```":
        return _in_code(token) if "<" in token else (decode_entities(token),)
    if not inner.strip():
        return (token,)
    return ("```\n", *_in_code(token[3:-3].strip("\n")), "\n```")


def _in_code(code: str) -> Text:
    pieces = _BRACKETS.split(code)
    shown = [_shown(piece) if place % 2 else decode_entities(piece) for place, piece in enumerate(pieces)]
    return tuple([piece for piece in shown if piece])


def _shown(token: str) -> Segment:
    """Return what Slack shows of a token in code."""
    segment = _token(token)
    target, _, label = token[1:-1].partition("|")
    if isinstance(segment, UserMention | ChannelMention):
        return segment
    if isinstance(segment, GroupMention):
        return f"@{target[1:].partition('^')[0]}"
    if target[:1] != "!" and _URL.match(target):
        return in_code(decode_entities(target), decode_entities(label))
    return segment if isinstance(segment, str) else segment.shown


def in_code(url: str, label: str) -> str:
    """Return what Slack shows of a link in code."""
    return (
        url.removeprefix("mailto:").removeprefix("tel:") if _is_shortened(label, url) or not label else label
    )
