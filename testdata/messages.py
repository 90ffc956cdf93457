"""Messages in two forms, made one by one: the element of the day file, and the line of the truth.

A maker takes the turn (a room, a place in it, its time) and returns both; or why there is no line.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import cycle
from typing import NamedTuple

import msgspec
from msgspec import Raw

from testdata.clock import Clock, slack_ts
from testdata.people import TEAM, Json, Person
from testdata.phrases import Phrase, featured_phrases, rich_phrases, sentences
from testdata.truth import Message, Stamp
from testdata.world import Pin, Room, World

Pair = tuple[Json, Message]
Maker = Callable[["Turn"], tuple[Json, Message | str]]
Reaction = tuple[Raw, Raw]


_SENTENCES = 1024


class Pools:
    """What texts and reactions are drawn from: made once, used by every message."""

    def __init__(self, world: World) -> None:
        rng = random.Random(f"pools/{world.shape.seed}")
        self.sentences = sentences(rng, _SENTENCES)
        self.featured = featured_phrases(rng, world.names, min(1024, 64 + world.shape.messages // 20))
        self.rich = rich_phrases(rng, world.names)
        self.reactions = _reactions(rng, world.names.people)


class Deal:
    """What goes round over all rooms of an archive, so that a small one too holds some of everything."""

    def __init__(self, world: World, pools: Pools) -> None:
        self.world = world
        self.pools = pools
        self.people = world.elders
        self.featured: Iterator[Phrase] = cycle(pools.featured)
        self.reactions: Iterator[Reaction] = cycle(pools.reactions)
        self.wheels: dict[str, Iterator[Maker]] = {}
        self.replies = 0
        self.seen: dict[str, Person] = {}  # strangers who wrote


class Later(NamedTuple):
    """What a newer archive changes in the older messages: who edits when, and where threads go on."""

    edited: int
    clock: Clock
    planned: dict[int, Maker]
    free: Iterator[int]
    rng: random.Random


class Turn:
    """One message's place: where and when. Makers read it; only the writer moves it."""

    def __init__(self, room: Room, clock: Clock, seed: str, deal: Deal) -> None:
        self.room = room
        self.clock = clock
        self.deal = deal
        self.random = random.Random(seed).random
        self.features = deal.world.shape.features
        self.planned: dict[int, Maker] = {}
        self.later: Later | None = None
        self.threads = 0
        self._authors = room.authors
        self._sentences = deal.pools.sentences
        self._prefix = f"slack-{room.id}-"
        self.place, self.micros, self.ts, self.id = 0, 0, "", ""

    def move(self, place: int) -> None:
        self.place = place
        self.micros = self.clock.micros(place)
        digits = str(self.micros)
        self.ts = digits[:-6] + "." + digits[-6:]
        self.id = self.message_id(digits)

    def message_id(self, digits: str) -> str:
        return self._prefix + digits[:-6] + "-" + digits[-6:]

    def author(self) -> Person:
        chance, authors = self.random(), self._authors
        return authors[int(chance * chance * len(authors))]

    def insider(self) -> Person:
        """An author of whom users.json tells."""
        while not (author := self.author()).known:
            pass
        return author

    def other(self, author: Person) -> Person:
        people = self.deal.people
        index = int(self.random() * len(people))
        return people[index] if people[index] is not author else people[index - 1]

    def sentence(self) -> str:
        return self._sentences[int(self.random() * _SENTENCES)]


def say(turn: Turn, author: Person, text: str, shown: str, mentions: list[str], channels: list[str]) -> Pair:
    element: Json = {"type": "message", "user": author.id, "text": text, "ts": turn.ts}
    if not author.known:
        turn.deal.seen[author.id] = author
        if not author.bot_id:
            element["user_profile"] = author.profile
    line = Message(turn.id, turn.room.id, author.username, turn.micros // 1000, shown)
    line.mentions, line.channels = mentions, channels
    return element, line


# --- ordinary messages --------------------------------------------------------------------------------------


def talk(turn: Turn, author: Person | None = None) -> Pair:
    text = f"{turn.sentence()} {turn.sentence()}"
    author = author or turn.author()
    element, line = say(turn, author, text, text, [], [])
    if turn.features:
        _type_in(turn, element, line)
        _dress(turn, element, line, author)
    if turn.later and turn.place % 31 == 7 and author.known:
        _revise(turn.later, turn, element, line, author)
    return element, line


def featured(turn: Turn) -> Pair:
    phrase, end, author = next(turn.deal.featured), turn.sentence(), turn.author()
    element, line = say(
        turn, author, phrase.slack + end, phrase.expected + end, phrase.mentions, phrase.channels
    )
    _type_in(turn, element, line)
    _dress(turn, element, line, author)
    return element, line


def rich(phrase: Phrase, turn: Turn) -> Pair:
    author = turn.author()
    element, line = say(turn, author, "", phrase.expected, phrase.mentions, phrase.channels)
    element["blocks"] = phrase.blocks
    _dress(turn, element, line, author)
    return element, line


def _type_in(turn: Turn, element: Json, line: Message) -> None:
    """Since 2019 what people type has blocks, too; one message in six is older, or written by a program."""
    if turn.place % 6:
        element["blocks"] = _blocks(line.text)


def _blocks(text: str) -> list[Json]:
    words = {"type": "rich_text_section", "elements": [{"type": "text", "text": text}]}
    return [{"type": "rich_text", "block_id": "b1", "elements": [words]}]


def _dress(turn: Turn, element: Json, line: Message, author: Person) -> None:
    """What comes with an ordinary message: ids, the author's profile, reactions, an edit."""
    element["client_msg_id"] = f"{turn.room.number:08x}-0000-4000-8000-{turn.place:012x}"
    element["team"] = element["user_team"] = element["source_team"] = TEAM
    if turn.place % 6:
        element["user_profile"] = author.profile
    chance = turn.random()
    if chance < 0.12:
        element["reactions"], line.reactions = next(turn.deal.reactions)
    if 0.11 < chance < 0.147 and author.known:
        at = turn.micros // 1_000_000 + 60
        element["edited"] = {"user": author.id, "ts": f"{at}.000000"}
        line.edited = Stamp(at * 1000, author.username)


def _revise(later: Later, turn: Turn, element: Json, line: Message, author: Person) -> None:
    """Somebody changed the text after the older archive was made."""
    text = f"{line.text} (revised &amp; checked)"
    element["text"], line.text = text, f"{line.text} (revised & checked)"
    element.pop("blocks", None)
    element["edited"] = {"user": author.id, "ts": slack_ts(later.edited + turn.place)}
    line.edited = Stamp((later.edited + turn.place) // 1000, author.username)


_EMOJI = (
    ("+1",),
    ("+1::skin-tone-3", "heart"),
    ("party-parrot",),
    ("eyes", "white_check_mark", "tada"),
    ("thumbsup_all", "100"),
    ("wave::skin-tone-6", "+1", "+1::skin-tone-2"),
    ("flag-de",),
    ("man-shrugging::skin-tone-4",),
)
_WITH_TONES = {
    "+1::skin-tone-2": "+1_tone1",
    "+1::skin-tone-3": "+1_tone2",
    "man-shrugging::skin-tone-4": "man_shrugging_tone3",
    "wave::skin-tone-6": "wave_tone5",
}


def _reactions(rng: random.Random, people: Sequence[tuple[str, str]]) -> list[Reaction]:
    return [_reaction(rng, _EMOJI[turn % len(_EMOJI)], people, turn) for turn in range(256)]


def _reaction(
    rng: random.Random, names: Sequence[str], people: Sequence[tuple[str, str]], turn: int
) -> Reaction:
    entries: list[Json] = []
    shown: dict[str, list[str]] = {}
    for name in names:
        users = rng.sample(people, min(len(people), 1 + int(rng.random() ** 2 * 6)))
        more = 7 if turn % 5 == 1 else 0  # Slack counts more people than it names when they are many
        entries.append({"name": name, "users": [id for id, _ in users], "count": len(users) + more})
        shown[f":{_WITH_TONES.get(name, name)}:"] = [username for _, username in users]
    return Raw(msgspec.json.encode(entries)), Raw(msgspec.json.encode(shown))


# --- threads ------------------------------------------------------------------------------------------------


class Thread:
    """A thread as it was meant: its replies are known before the first of them is written."""

    def __init__(self, turn: Turn, author: str, text: str) -> None:
        self.ts, self.id, self.author, self.text = turn.ts, turn.id, author, text
        self.replies: list[tuple[int, Person]] = []


THREAD_FORMS: dict[str, tuple[str, ...]] = {  # what the root does not tell
    "full": (),
    "newer": ("replies",),
    "without latest_reply": ("latest_reply",),
    "without latest_reply, newer": ("latest_reply", "replies"),
    "without reply_users": ("reply_users", "reply_users_count"),
    "bare": ("replies", "reply_users", "reply_users_count", "latest_reply"),
    "without reply_count": ("reply_count", "replies"),
}


def start_thread(missing: tuple[str, ...], turn: Turn) -> Pair:
    author = turn.author()
    element, line = talk(turn, author)
    thread = Thread(turn, author.id, str(element["text"]))
    return _threaded(turn, thread, missing, element, line)


def start_counted_thread(turn: Turn) -> Pair:
    """Slack counts replies that were deleted since, which nobody can read any more."""
    element, line = start_thread(("replies",), turn)
    if line.reply_count:
        element["reply_count"] = line.reply_count + 2
    return element, line


def start_thread_gone(turn: Turn) -> Pair:
    """The root was deleted, the replies were not."""
    element, line = gone(turn)
    return _threaded(turn, Thread(turn, "USLACKBOT", str(element["text"])), ("replies",), element, line)


def gone(turn: Turn) -> Pair:
    text = "This message was deleted."
    element: Json = {"type": "message", "subtype": "tombstone", "user": "USLACKBOT", "text": text}
    element |= {"hidden": True, "ts": turn.ts}
    return element, Message(turn.id, turn.room.id, "rocket.cat", turn.micros // 1000, t="rm")


def _threaded(turn: Turn, thread: Thread, missing: tuple[str, ...], element: Json, line: Message) -> Pair:
    _plan_replies(turn, thread)
    if thread.replies:
        fields, shown = _thread_fields(thread, missing)
        element.update(fields)
        line.repliers, line.reply_count, line.last_reply = (
            shown,
            len(thread.replies),
            thread.replies[-1][0] // 1000,
        )
    return element, line


def _plan_replies(turn: Turn, thread: Thread) -> None:
    place, chance = turn.place, turn.random
    for _ in range(1 + int(chance() ** 2 * 10)):
        place += 1 + int(chance() ** 6 * 150)  # most come soon, some on another day
        while place in turn.planned:
            place += 1
        if place >= turn.clock.size:
            break
        author = turn.author()
        turn.planned[place] = partial(_reply, thread, author)
        thread.replies.append((turn.clock.micros(place), author))
    turn.threads += 1
    if turn.later and turn.threads % 5 == 1 and thread.replies:
        _plan_late_reply(turn, turn.later, thread)


def _plan_late_reply(turn: Turn, later: Later, thread: Thread) -> None:
    place = next(later.free, None)
    if place is not None:
        author = later.rng.choice(turn.room.authors)
        later.planned[place] = partial(_reply, thread, author)
        thread.replies.append((later.clock.micros(place), author))


def _thread_fields(thread: Thread, missing: tuple[str, ...]) -> tuple[Json, list[str]]:
    everybody = list({person.id: person for _, person in thread.replies}.values())
    people = everybody[:5]  # Slack names five at most
    fields: Json = {
        "thread_ts": thread.ts, "reply_count": len(thread.replies), "reply_users_count": len(people),
        "latest_reply": slack_ts(thread.replies[-1][0]), "reply_users": [person.id for person in people],
        "replies": [{"user": person.id, "ts": slack_ts(micros)} for micros, person in thread.replies],
        "is_locked": False, "subscribed": False,
    }  # fmt: skip
    for field in missing:
        del fields[field]
    return fields, [person.username for person in everybody]


def _reply(thread: Thread, author: Person, turn: Turn) -> Pair:
    element, line = talk(turn, author)
    element["thread_ts"], line.thread = thread.ts, thread.id
    element["parent_user_id"] = thread.author
    turn.deal.replies += 1
    if turn.features and turn.deal.replies % 20 == 3:
        element["subtype"], line.in_channel = "thread_broadcast", True
        element["root"] = {"user": thread.author, "type": "message", "ts": thread.ts, "text": thread.text,
                           "thread_ts": thread.ts, "reply_count": len(thread.replies)}  # fmt: skip
    return element, line


# --- pins ---------------------------------------------------------------------------------------------------


def plan_pins(turn: Turn) -> None:
    for pin in turn.room.pins:
        turn.planned[pin.place] = partial(_pinned, pin)
        if pin.how != "message":
            turn.planned[pin.note] = partial(_pin_note, pin)


def _pinned(pin: Pin, turn: Turn) -> Pair:
    element, line = talk(turn)
    if pin.how != "channel":
        element["pinned_to"] = [turn.room.id]
    if pin.how == "message":
        line.pinned = Stamp(line.ts, None)
    else:
        line.pinned = Stamp(turn.clock.micros(pin.note) // 1_000_000 * 1000, pin.by.username)
    return element, line


def _pin_note(pin: Pin, turn: Turn) -> Pair:
    element, line = say(turn, pin.by, f"<@{pin.by.id}> pinned a message to this channel.", "", [], [])
    item = {"type": "message", "channel": turn.room.id, "ts": slack_ts(turn.clock.micros(pin.place))}
    element |= {"subtype": "pinned_item", "item_type": "C", "item": item}
    line.t = "message_pinned"
    return element, line
