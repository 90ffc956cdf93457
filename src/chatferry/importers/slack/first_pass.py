"""The first reading of a conversation's messages: how many, by whom, and what its threads lack.

Memory: some numbers per thread and person in it, never a message; and some per message of a file that is
read in pieces.
"""

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from copy import copy

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from chatferry.importers.reading.json_list import Broken
from chatferry.importers.reading.json_stream import Chunk
from chatferry.importers.slack.large_files import LongFile, Run, Sizes, Times
from chatferry.importers.slack.lists import shown_name
from chatferry.importers.slack.messages import PinNote, author_of, is_kept
from chatferry.importers.slack.ordering import NO_TIME
from chatferry.importers.slack.schema import (
    BotProfile,
    Envelope,
    Profile,
    SlackReaction,
    micros,
    millis,
    person,
)
from chatferry.records import ROCKET_CAT, Replies, User

_LENGTH = 17  # of Slack's `ts`: those of the years 2001 to 2286 sort as texts
_NO_NAME = re.compile(r"[^a-z0-9._-]+")


class Day(Struct, frozen=True):
    """A day file: its name, its elements, the time of the last message before it (ms), and the `ts` that the
    day before holds too. A file that is read in pieces has `runs`.

    `span` are the `ts` of its first and last message, where these can be compared as texts. `people` are
    listed, and posted something with an app that is not theirs.
    """

    file: str
    elements: int
    after: int
    twins: tuple[str, ...] = ()
    runs: tuple[Run, ...] = ()
    span: tuple[str, str] | None = None
    people: tuple[str, ...] = ()


class Place(Struct, frozen=True, array_like=True):
    """A message's file and its index there."""

    file: str
    index: int


class Survey:
    """Takes a conversation's day files in order. `known` are the users that the export lists."""

    def __init__(self, known: Container[str], bots: dict[str, str]) -> None:
        self.days: list[Day] = []
        self.authors: dict[str, None] = {}
        self.strangers: dict[str, User] = {}
        self.bots: dict[str, str] = {}
        self._people: dict[str, None] = {}  # of the file at hand: who are listed and posted with an app
        self.pins: dict[str, PinNote] = {}
        self._known = known
        self._all_bots = bots
        self._last = 0
        self._times: dict[str, None] = {}  # of the day before
        self._long: Times | None = None  # these, if it was read in pieces
        self._settled: set[str] = set()  # authors of whom nothing more is to be learnt
        self._reacting: set[str] = set()  # everybody who was seen to react
        self._roots: dict[str, Place] = {}
        self._replies: dict[tuple[str, str], tuple[int, int]] = {}  # by root and author: how many, the last
        self._first_reply: dict[str, Place] = {}
        self._ids: dict[str, str] = {}  # of roots and authors of replies, each once

    def add(self, file: str, elements: Sequence[Envelope | None]) -> None:
        self._people = {}
        times = self._look_at(file, elements)
        if self._long is not None:
            twins = tuple(sorted(ts for ts in times if micros(ts) in self._long))
            self._long = None
        else:
            twins = tuple(sorted(times.keys() & self._times.keys()))
        people = tuple(self._people)
        self.days.append(Day(file, len(elements), self._last, twins, span=_span(times), people=people))
        self._times = times
        self._last = millis(max(times, default="")) or self._last

    def add_chunks(self, file: str, found: Iterable[Chunk[Envelope] | Broken], sizes: Sizes) -> None:
        """Take a file of which nothing but a piece is ever held. A damaged one is one lost element."""
        self._people = {}
        before_it = {name: copy(value) for name, value in vars(self).items()}
        long = LongFile(sizes)
        doubtful: list[tuple[int, Envelope]] = []  # replies that may repeat earlier ones of the file
        for chunk in found:
            if isinstance(chunk, Chunk):
                self._look_at(file, chunk.values, chunk.first, long.highest, doubtful)
                long.add(chunk)
                continue
            if chunk.is_damage:  # then nothing that was read of the file can be trusted
                vars(self).update(before_it)
                long, doubtful = LongFile(sizes), []
            long.end(chunk)
        before: Container[int] = self._long or {micros(ts) or 0 for ts in self._times}
        runs = tuple(long.runs(self._last, before))
        twins = {index for run in runs for index in run.twins}
        for index, reply in doubtful:
            if index not in twins:
                self._reply(reply, file, index)
        self.days.append(Day(file, long.elements, self._last, runs=runs, people=tuple(self._people)))
        self._times, self._long = {}, long.times
        self._last = max(long.times.last // 1000, 0) or self._last

    def _look_at(
        self,
        file: str,
        elements: Sequence[Envelope | None],
        first: int = 0,
        highest: int = NO_TIME,
        doubtful: list[tuple[int, Envelope]] | None = None,
    ) -> dict[str, None]:
        """Take note of a file's elements from number `first` on; the `ts` of messages.

        Replies that are not after `highest`, the last time in the file so far, are left in `doubtful`.
        """
        times: dict[str, None] = {}
        settled = self._settled
        for index, message in enumerate(elements, first):
            if message is None or not is_kept(message):
                continue
            ts = message.ts
            if ts is None or (len(ts) != 17 and micros(ts) is None):
                continue
            is_again = ts in times
            times[ts] = None
            if message.user not in settled or message.subtype is not None or message.bot_id is not None:
                self._author(message, file, index)
                if message.subtype in ("pinned_item", "unpinned_item"):
                    self._pin(message)
            if message.edited is not None and message.edited.user in self._all_bots:
                self.bots[message.edited.user] = self._all_bots[message.edited.user]
            if message.reactions is not None:
                self._reactions(message.reactions, file, index)
            if message.thread_ts is None or is_again:
                continue
            if message.thread_ts == ts:
                self._roots.setdefault(ts, Place(file, index))
            elif doubtful is not None and (micros(ts) or 0) <= highest:
                doubtful.append((index, message))
            else:
                self._reply(message, file, index)
        return times

    @property
    def rootless(self) -> dict[str, Place]:
        """Threads whose first message was not seen to open one, with the place of their first reply."""
        return {ts: place for ts, place in self._first_reply.items() if ts not in self._roots}

    def threads(self, roots: Mapping[str, Place]) -> dict[str, tuple[Place, tuple[Replies, ...]]]:
        """Return the replies of each thread, and where its first message stands.

        `roots` are the places of those that `rootless` named.
        """
        places = {**self._roots, **roots}
        threads: dict[str, list[Replies]] = {}
        for (root, author), (count, last) in self._replies.items():
            threads.setdefault(root, []).append(Replies(author, count, last))
        return {root: (places[root], tuple(replies)) for root, replies in threads.items()}

    def _author(self, message: Envelope, file: str, index: int) -> None:
        if message.bot_id in self._all_bots:
            self.bots[message.bot_id] = self._all_bots[message.bot_id]
        user = message.user
        if user and message.bot_id and user in self._known and self._all_bots.get(message.bot_id) != user:
            self._people[user] = None
        author = author_of(message, self._all_bots)
        if not author or author in self._settled:
            return
        self.authors[author] = None
        if author == ROCKET_CAT or author in self._known:
            self._settled.add(author)
            return
        before = self.strangers.get(author)
        found = stranger(author, message, file, f"$[{index}]")
        if before is None:
            self.strangers[author] = found
        elif found.name != author.lower():  # this message says more of him than the first
            self.strangers[author] = replace(found, file=before.file, position=before.position)
        if found.name != author.lower():
            self._settled.add(author)

    def _reactions(self, reactions: Iterable[SlackReaction], file: str, index: int) -> None:
        """Take note of people who reacted and whom no list names."""
        for reaction in reactions:
            for id in reaction.users:
                if id in self._reacting:
                    continue
                self._reacting.add(id)
                if id in self._all_bots:
                    self.bots[id] = self._all_bots[id]
                elif id and id not in self._known and person(id) != ROCKET_CAT:
                    self.strangers.setdefault(id, nameless(id, file, f"$[{index}]"))

    def _reply(self, message: Envelope, file: str, index: int) -> None:
        root, ts = message.thread_ts or "", message.ts or ""
        # A reply that the day before holds too is left out.
        if ts in self._times or (self._long is not None and micros(ts) in self._long):
            return
        if root not in self._first_reply:
            if micros(root) is None:
                return
            self._first_reply[root] = Place(file, index)
        author = author_of(message, self._all_bots) or ROCKET_CAT
        key = self._ids.setdefault(root, root), self._ids.setdefault(author, author)
        count, last = self._replies.get(key, (0, 0))
        self._replies[key] = count + 1, max(last, millis(ts) or 0)

    def _pin(self, message: Envelope) -> None:
        if message.item is None or not message.item.ts:
            return
        if message.subtype == "pinned_item":
            self.pins[message.item.ts] = PinNote(millis(message.ts) or 0, message.user or "")
        else:
            self.pins.pop(message.item.ts, None)


def _span(times: Iterable[str]) -> tuple[str, str] | None:
    return (min(times), max(times)) if {*map(len, times)} == {_LENGTH} else None


def nameless(id: str, file: str, position: str) -> User:
    """Return a placeholder for somebody of whom nothing but the id is known. Those of bots begin with B."""
    is_bot = id.startswith("B")
    return User(
        id=id,
        username=id.lower(),
        name=id.lower(),
        type="bot" if is_bot else "user",
        roles=("bot",) if is_bot else (),
        deleted=True,
        placeholder=True,
        file=file,
        position=position,
    )


def stranger(id: str, message: Envelope, file: str, position: str) -> User:
    """A placeholder for an author whom the export does not list, from what the message says of it."""
    is_bot = id == message.bot_id
    profile = _profile(message)
    bot_name = message.username or _bot_name(message)
    if is_bot:
        username, name = _NO_NAME.sub("-", bot_name.lower()).strip("-"), bot_name
    else:
        username, name = profile.name or "", shown_name(profile)
    return User(
        id=id,
        username=username or id.lower(),
        name=name or username or id.lower(),
        type="bot" if is_bot else "user",
        roles=("bot",) if is_bot else (),
        deleted=True,
        avatar_url=profile.image_72 or "",
        placeholder=True,
        file=file,
        position=position,
    )


def _profile(message: Envelope) -> Profile:
    try:
        return msgspec.json.decode(message.user_profile, type=Profile | None) or Profile()
    except (msgspec.DecodeError, ValueError, RecursionError):
        return Profile()


def _bot_name(message: Envelope) -> str:
    try:
        bot = msgspec.json.decode(message.bot_profile, type=BotProfile | None)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return ""
    return (bot.name if bot else "") or ""
