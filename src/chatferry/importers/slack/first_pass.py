"""The first pass over a conversation's messages: how many, by whom, and which threads lack a first message.

Memory: some numbers per thread and person in it, never a message; and some per message of a file that is
read in chunks.
"""

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from copy import copy

from msgspec import Struct
from msgspec.structs import astuple, replace

from chatferry.importers.reading.json_list import Broken, decode_raw
from chatferry.importers.reading.json_stream import Chunk
from chatferry.importers.slack.large_files import FileSection, LargeFile, Sizes, SortedTimes
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
from chatferry.problems import Position
from chatferry.records import ROCKET_CAT, Replies, User

_LENGTH = 17  # of Slack's `ts`: those of the years 2001 to 2286 sort as texts
_NO_NAME = re.compile(r"[^a-z0-9._-]+")


class Day(Struct, frozen=True):
    """A day file.

    after        the time of the last message before it (ms)
    duplicates   `ts` of messages that the day before holds too
    sections     of a file that is read in chunks
    span         `ts` of its first and last message, if these can be compared as texts
    people       listed users who posted something with an app that is not theirs
    """

    file: str
    elements: int
    after: int
    duplicates: tuple[str, ...] = ()
    sections: tuple[FileSection, ...] = ()
    span: tuple[str, str] | None = None
    people: tuple[str, ...] = ()


class Findings(Struct):
    """What is known after some day files of a conversation.

    unlisted_users   placeholders for people whom the export does not list
    bots             the users that bots write as
    pins             by the `ts` of the pinned message
    settled          authors of whom nothing more is to be learnt
    reacting         everybody who was seen to react
    roots            first messages of threads, by `ts`
    first_replies    the first reply to each first message
    replies          by first message and author: how many, and when the last one
    ids              of first messages and authors of replies, each once
    """

    authors: dict[str, None] = {}
    unlisted_users: dict[str, User] = {}
    bots: dict[str, str] = {}
    pins: dict[str, PinNote] = {}
    settled: set[str] = set()
    reacting: set[str] = set()
    roots: dict[str, Position] = {}
    first_replies: dict[str, Position] = {}
    replies: dict[tuple[str, str], tuple[int, int]] = {}
    ids: dict[str, str] = {}

    def copy(self) -> "Findings":
        return Findings(*[copy(value) for value in astuple(self)])

    @property
    def rootless(self) -> dict[str, Position]:
        """Threads without a first message so far, with the place of their first reply."""
        return {ts: place for ts, place in self.first_replies.items() if ts not in self.roots}

    def threads(self, roots: Mapping[str, Position]) -> dict[str, tuple[Position, tuple[Replies, ...]]]:
        """Return the place of the first message of each thread, and the replies to it.

        `roots` are the places of the messages that `rootless` named.
        """
        places = {**self.roots, **roots}
        threads: dict[str, list[Replies]] = {}
        for (root, author), (count, last) in self.replies.items():
            threads.setdefault(root, []).append(Replies(author, count, last))
        return {root: (places[root], tuple(replies)) for root, replies in threads.items()}


class SlackFirstPass:
    """A first pass over a conversation's day files, in order. `known` are the users that the export lists."""

    def __init__(self, known: Container[str], bots: dict[str, str]) -> None:
        self.days: list[Day] = []
        self.findings = Findings()
        self._known = known
        self._all_bots = bots
        self._people: dict[str, None] = {}  # of the current file: listed users who posted with an app
        self._last = 0
        self._times: dict[str, None] = {}  # of the day before
        self._large: SortedTimes | None = None  # the same, if it was read in chunks

    def add(self, file: str, elements: Sequence[Envelope | None]) -> None:
        self._people = {}
        times = self._look_at(file, elements)
        if self._large is not None:
            duplicates = tuple(sorted(ts for ts in times if micros(ts) in self._large))
            self._large = None
        else:
            duplicates = tuple(sorted(times.keys() & self._times.keys()))
        people = tuple(self._people)
        self.days.append(Day(file, len(elements), self._last, duplicates, span=_span(times), people=people))
        self._times = times
        self._last = millis(max(times, default="")) or self._last

    def add_chunks(self, file: str, chunks: Iterable[Chunk[Envelope] | Broken], sizes: Sizes) -> None:
        """Add a large file chunk by chunk; count a damaged file as one lost element."""
        self._people = {}
        findings = self.findings.copy()
        large = LargeFile(sizes)
        doubtful: list[tuple[int, Envelope]] = []  # replies that may repeat earlier ones of the file
        for chunk in chunks:
            if isinstance(chunk, Chunk):
                self._look_at(file, chunk.values, chunk.first, large.highest, doubtful)
                large.add(chunk)
                continue
            if chunk.is_damage:  # then nothing that was read of the file can be trusted
                self.findings, self._people = findings, {}
                large, doubtful = LargeFile(sizes), []
            large.end(chunk)
        before: Container[int] = self._large or {micros(ts) or 0 for ts in self._times}
        sections = tuple(large.sections(self._last, before))
        duplicates = {index for section in sections for index in section.duplicates}
        for index, reply in doubtful:
            if index not in duplicates:
                self._reply(reply, file, index)
        self.days.append(Day(file, large.elements, self._last, sections=sections, people=tuple(self._people)))
        self._times, self._large = {}, large.times
        self._last = max(large.times.last // 1000, 0) or self._last

    def _look_at(
        self,
        file: str,
        elements: Sequence[Envelope | None],
        first: int = 0,
        highest: int = NO_TIME,
        doubtful: list[tuple[int, Envelope]] | None = None,
    ) -> dict[str, None]:
        """Note what a file's elements from number `first` on hold, and return the `ts` of messages.

        Replies that are not after `highest`, the latest time in the file so far, are left in `doubtful`.
        """
        times: dict[str, None] = {}
        settled = self.findings.settled
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
                self.findings.bots[message.edited.user] = self._all_bots[message.edited.user]
            if message.reactions is not None:
                self._reactions(message.reactions, file, index)
            if message.thread_ts is None or is_again:
                continue
            if message.thread_ts == ts:
                self.findings.roots.setdefault(ts, Position(file, index))
            elif doubtful is not None and (micros(ts) or 0) <= highest:
                doubtful.append((index, message))
            else:
                self._reply(message, file, index)
        return times

    def _author(self, message: Envelope, file: str, index: int) -> None:
        if message.bot_id in self._all_bots:
            self.findings.bots[message.bot_id] = self._all_bots[message.bot_id]
        user = message.user
        if user and message.bot_id and user in self._known and self._all_bots.get(message.bot_id) != user:
            self._people[user] = None
        author = author_of(message, self._all_bots)
        if not author or author in self.findings.settled:
            return
        self.findings.authors[author] = None
        if author == ROCKET_CAT or author in self._known:
            self.findings.settled.add(author)
            return
        before = self.findings.unlisted_users.get(author)
        found = unlisted_user(author, message, file, f"$[{index}]")
        if before is None:
            self.findings.unlisted_users[author] = found
        elif found.name != author.lower():  # this message says more of the person than the first
            self.findings.unlisted_users[author] = replace(found, file=before.file, position=before.position)
        if found.name != author.lower():
            self.findings.settled.add(author)

    def _reactions(self, reactions: Iterable[SlackReaction], file: str, index: int) -> None:
        """Keep placeholders for people who reacted and are not listed."""
        for reaction in reactions:
            for id in reaction.users:
                if id in self.findings.reacting:
                    continue
                self.findings.reacting.add(id)
                if id in self._all_bots:
                    self.findings.bots[id] = self._all_bots[id]
                elif id and id not in self._known and person(id) != ROCKET_CAT:
                    self.findings.unlisted_users.setdefault(id, nameless(id, file, f"$[{index}]"))

    def _reply(self, message: Envelope, file: str, index: int) -> None:
        root, ts = message.thread_ts or "", message.ts or ""
        # A reply that the day before holds too is left out.
        if ts in self._times or (self._large is not None and micros(ts) in self._large):
            return
        if root not in self.findings.first_replies:
            if micros(root) is None:
                return
            self.findings.first_replies[root] = Position(file, index)
        author = author_of(message, self._all_bots) or ROCKET_CAT
        key = self.findings.ids.setdefault(root, root), self.findings.ids.setdefault(author, author)
        count, last = self.findings.replies.get(key, (0, 0))
        self.findings.replies[key] = count + 1, max(last, millis(ts) or 0)

    def _pin(self, message: Envelope) -> None:
        if message.item is None or not message.item.ts:
            return
        if message.subtype == "pinned_item":
            self.findings.pins[message.item.ts] = PinNote(millis(message.ts) or 0, message.user or "")
        else:
            self.findings.pins.pop(message.item.ts, None)


def _span(times: Iterable[str]) -> tuple[str, str] | None:
    return (min(times), max(times)) if {*map(len, times)} == {_LENGTH} else None


def nameless(id: str, file: str, position: str) -> User:
    """Return a placeholder for a person or bot of whom only the id is known. Ids of bots begin with B."""
    return unlisted_user(id, Envelope(bot_id=id if id.startswith("B") else None), file, position)


def unlisted_user(id: str, message: Envelope, file: str, position: str) -> User:
    """Return a placeholder for an author whom the export does not list, from what the message says of it."""
    is_bot = id == message.bot_id
    profile: Profile = decode_raw(message.user_profile, Profile) or Profile()
    bot: BotProfile | None = decode_raw(message.bot_profile, BotProfile)
    bot_name = message.username or (bot.name if bot else "") or ""
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
