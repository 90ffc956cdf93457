"""Every kind of message beyond ordinary talk, and how often each one comes."""

import json
import random
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle
from string import Template

from testdata.messages import (
    THREAD_FORMS,
    Deal,
    Maker,
    Pair,
    Pools,
    Turn,
    featured,
    gone,
    rich,
    say,
    start_counted_thread,
    start_thread,
    start_thread_gone,
    talk,
)
from testdata.people import Json, Person, slack_id
from testdata.tables import (
    BOTS,
    DIRECT_NOTICES,
    FILE_MESSAGES,
    FILES,
    NOTICES,
    OLD_FILES,
    ORPHANS,
    PREVIEWS,
    ROOM_NOTICES,
    SLACKBOT,
    WRAPPERS,
    BotRow,
    Notice,
    OldFile,
)
from testdata.truth import File, Message


def _values(turn: Turn, author: Person) -> dict[str, str]:
    other, seconds = turn.other(author), turn.micros // 1_000_000
    return {
        "u": author.id,
        "n": author.username,
        "u2": other.id,
        "n2": other.username,
        "r": turn.room.name,
        "kind": "group" if turn.room.kind == "group" else "channel",
        **{f"s{more or ''}": str(seconds + more) for more in (0, 5, 600, 601)},
    }


def _notice(row: Notice, turn: Turn) -> Pair:
    author = turn.insider()
    fill = _filler(_values(turn, author))
    text = fill(row.text)
    shown = fill(row.shown) if row.shown is not None else "" if row.t else text
    element, line = say(turn, author, text, shown, fill(row.mentions).split(), [])
    element["subtype"] = fill(row.subtype)
    element.update(json.loads(fill(row.fields)))
    if row.by == SLACKBOT:
        line.author = SLACKBOT
    line.t = row.t
    return element, line


def _wrapper(subtype: str, fields: str, turn: Turn) -> tuple[Json, str]:
    fill = _filler(_values(turn, turn.insider()))
    element: Json = {"type": "message", "subtype": subtype, "ts": turn.ts}
    return {**element, **json.loads(fill(fields))}, subtype


def _file_id(turn: Turn, nth: int) -> str:
    later = turn.clock is not turn.room.segments[0].clock
    return slack_id("F", ((turn.room.number * 2 + later) << 26) + turn.place * 8 + nth, 10)


def _file(turn: Turn, author: Person, name: str, nth: int) -> tuple[Json, File]:
    entry, shown = FILES[name]
    id = _file_id(turn, nth)
    values = {"f": id, "u": author.id, "s": str(turn.micros // 1_000_000)}
    return json.loads(Template(entry).substitute(values)), File(id, shown)


def _file_message(names: tuple[str, ...], turn: Turn) -> Pair:
    element, line = talk(turn, author := turn.author())
    if turn.place % 2:
        element["text"], line.text = "", ""
        element.pop("blocks", None)
    files = [_file(turn, author, name, nth) for nth, name in enumerate(names)]
    element |= {"files": [entry for entry, _ in files], "upload": True, "display_as_bot": False}
    line.files = [file for _, file in files]
    return element, line


def _old_file(row: OldFile, turn: Turn) -> Pair:
    author = turn.insider()
    fill = _filler({"u": author.id, "n": author.username, "f": _file_id(turn, 0)})
    element, line = say(turn, author, fill(row.text), fill(row.shown), [author.username], [])
    entry, file = _file(turn, author, row.file, 0)
    element |= {"subtype": row.subtype, "upload": row.subtype == "file_share", "file": entry}
    line.files = [file]
    return element, line


def _file_comment(turn: Turn) -> Pair:
    """The author and the words stand in `comment`; the file belongs to another message."""
    element, line = say(turn, turn.insider(), "somebody commented on a file", "nice <3", [], [])
    author = element.pop("user")
    comment = {
        "id": "Fc0OLD001",
        "created": turn.micros // 1_000_000,
        "user": author,
        "comment": "nice &lt;3",
    }
    element |= {"subtype": "file_comment", "is_intro": True, "comment": comment}
    element["file"] = {"id": _file_id(turn, 7)}
    return element, line


def _bot_message(row: BotRow, turn: Turn) -> Pair:
    bot = ORPHANS.get(row.who) or turn.deal.world.bot() or ORPHANS["B0ORPHAN01"]
    user = row.user and bot.known
    element, line = say(turn, bot, row.text, row.shown, [], []) if row.who else _nobody(turn, row)
    element.update(json.loads(Template(row.fields).substitute(b=bot.bot_id, s=turn.micros // 1_000_000)))
    if not user:
        element.pop("user", None)
    line.alias, line.attachments = row.alias, row.attachments
    return element, line


def _nobody(turn: Turn, row: BotRow) -> Pair:
    element: Json = {"type": "message", "text": row.text, "ts": turn.ts}
    return element, Message(turn.id, turn.room.id, SLACKBOT, turn.micros // 1000, row.shown)


def _preview(attachment: Json, turn: Turn) -> Pair:
    element, line = talk(turn)
    element["attachments"] = [attachment]
    line.attachments = 1
    return element, line


# --- how often ----------------------------------------------------------------------------------------------

_WHEEL = 2000
_FEW = 200  # so few messages in private or direct rooms cannot hold every kind: the public ones do


def wheel(deal: Deal, kind: str, places: int) -> "cycle[Maker]":
    """The kinds of message in their proportions, shuffled; a small archive has at least one of each."""
    if not deal.world.shape.features:
        return cycle(_plain_wheel())
    kinds = _kinds(deal.pools, kind, few=places < _FEW)
    size = max(sum(len(makers) for _, makers in kinds), min(_WHEEL, places * 6 // 10))
    spokes = [
        maker
        for rate, makers in kinds
        for maker in makers
        for _ in range(max(1, round(rate * size / len(makers))))
    ]
    spokes += [talk] * (size - len(spokes))
    random.Random(f"wheel/{deal.world.shape.seed}/{kind}").shuffle(spokes)
    return cycle(spokes)


def _plain_wheel() -> list[Maker]:
    """Words and threads alone."""
    return [partial(start_thread, ()), *[talk] * 22]


def _kinds(pools: Pools, kind: str, few: bool) -> list[tuple[float, Sequence[Maker]]]:
    direct = [partial(_notice, row) for row in DIRECT_NOTICES]
    room = [partial(_notice, row) for row in ROOM_NOTICES]
    if few and kind != "channel":
        some: list[Maker] = [
            partial(start_thread, ()),
            start_thread_gone,
            featured,
            partial(_file_message, ("image",)),
        ]
        return [(0.2, some), (0.2, room if kind == "group" else direct[:1])]
    room += [partial(_notice, row) for row in NOTICES]
    wrappers = [partial(_wrapper, subtype, fields) for subtype, fields in WRAPPERS.items()]
    threads = [partial(start_thread, missing) for missing in THREAD_FORMS.values()]
    old_files = [partial(_old_file, row) for row in OLD_FILES]
    bots = [partial(_bot_message, row) for row in BOTS]
    shared: list[tuple[float, Sequence[Maker]]] = [
        (0.042, [*threads, start_counted_thread, start_thread_gone]),
        (0.035, [*(partial(_file_message, names) for names in FILE_MESSAGES), *old_files, _file_comment]),
        (0.25, [featured] * 24),
        (0.03, [partial(rich, phrase) for phrase in pools.rich]),
        (0.015, [partial(_preview, attachment) for attachment in PREVIEWS]),
    ]
    if kind == "direct":
        return [*shared, (0.01, [*direct, *wrappers])]
    return [*shared, (0.072, bots), (0.03, [*direct, *wrappers, *room, gone])]


def _filler(values: dict[str, str]) -> Callable[[str], str]:
    return lambda text: Template(text).substitute(values)
