"""The first pass over HipChat's histories: which messages there are, where, when and by whom.

Memory: some numbers for each message of the one file that is being read, never a message.
"""

from array import array
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import pairwise

import msgspec

from chatferry.archive import Archive
from chatferry.importers.hipchat.messages import (
    OTHER,
    HipChatPartSpec,
    History,
    author_of,
    channel_of,
    message_id,
    names_in,
    unknown_event,
)
from chatferry.importers.hipchat.schema import Event, Named, Payload, Person, import_id, micros
from chatferry.importers.reading.json_list import Broken, raw_elements
from chatferry.importers.reading.json_stream import Element, ElementRange, read_chunks
from chatferry.importers.reading.timeline import placed
from chatferry.records import ROCKET_CAT, Part, User

PART_MESSAGES = 3000
PART_BYTES = 8 << 20
NO_TIME = -1

Claim = Callable[[str, str, int], bool]
"""Whether a message is to be read here, by its channel, its author and the hash of its id."""


class ChannelMessages:
    """Messages of one channel in one file, in the file's order.

    numbers       their places in the JSON list
    starts, ends  their bytes
    times         in microseconds; NO_TIME for none
    """

    def __init__(self) -> None:
        self.numbers = array("q")
        self.starts = array("q")
        self.ends = array("q")
        self.times = array("q")
        self.id_hashes = array("Q")

    @property
    def began(self) -> int | None:
        """The earliest time (ms)."""
        return min((time // 1000 for time in self.times if time != NO_TIME), default=None)

    def add(self, number: int, element: Element, time: int, id_hash: int) -> None:
        self.numbers.append(number)
        self.starts.append(element.start)
        self.ends.append(element.start + len(element.data))
        self.times.append(time)
        self.id_hashes.append(id_hash)


class Reading:
    """The messages of a history, by channel.

    unassigned   elements of a user's history whose channel is unknown
    names        the ids behind the @names in texts
    broken       why nothing can be read from number `end` on
    """

    def __init__(self, history: History) -> None:
        self.history = history
        self.channels: dict[str, ChannelMessages] = defaultdict(ChannelMessages)
        self.authors: dict[str, None] = {}
        self.unassigned = ChannelMessages()
        self.names: dict[str, str] = {}
        self.broken = ""
        self.end = 0


class HipChatFirstPass:
    """A first pass over histories. `unlisted_users` are placeholders for people on no list."""

    def __init__(self, archive: Archive, users: Mapping[str, object], names: Mapping[str, str]) -> None:
        """Take the listed users by id, and ids of users by @name in lower case."""
        self.unlisted_users: dict[str, User] = {}
        self._archive = archive
        self._users = users
        self._names = names

    def read(self, history: History, claim: Claim = lambda channel, author, id_hash: True) -> Reading:
        """Read a history. Messages that are not claimed are left out."""
        reading = Reading(history)
        for chunk in read_chunks(self._archive, history.file, Event, in_bytes=True):
            if isinstance(chunk, Broken):
                reading.broken = chunk.reason
                break
            for number, (element, event) in enumerate(
                zip(chunk.elements(), chunk.values, strict=True), chunk.first
            ):
                self._take(reading, number, element, event, claim)
            reading.end = chunk.first + len(chunk.values)
        return reading

    def _take(
        self, reading: Reading, number: int, element: Element, event: Event | None, claim: Claim
    ) -> None:
        history = reading.history
        known = event.payload if event else None
        if event is not None and known is None:
            value = next(iter(raw_elements(b"[%s]" % element.data)), None)
            unknown = unknown_event(value, number)[1]
            known = (OTHER, unknown) if unknown else None
        if known is None:
            lost = reading.channels[history.id] if history.is_room else reading.unassigned
            lost.add(number, element, NO_TIME, 0)
            return
        kind, payload = known
        channel = channel_of(history, kind, payload)
        id_hash = _id_hash(message_id(history, channel, kind, payload))
        author = author_of(kind, payload)
        if not claim(channel, author, id_hash):
            return
        time = micros(payload.timestamp)
        reading.channels[channel].add(number, element, NO_TIME if time is None else time, id_hash)
        if kind != "guest":
            self._meet(reading, payload, author, number)

    def _meet(self, reading: Reading, payload: Payload, author: str, number: int) -> None:
        """Take note of the people in a message."""
        if author:
            reading.authors[author] = None
            self._note(payload.sender, author, reading.history.file, number)
        receiver = import_id(payload.receiver)
        if receiver or not reading.history.is_room:
            self._note(payload.receiver, receiver or reading.history.id, reading.history.file, number)
        if payload.message and "@" in payload.message:
            for name in names_in(payload.message):
                if name in self._names:
                    reading.names[name] = self._names[name]

    def _note(self, named: Named | None, id: str, file: str, number: int) -> None:
        """Keep a placeholder for a person whom the export does not list, as messages name the person."""
        if id in self._users or id == ROCKET_CAT:
            return
        person = named if isinstance(named, Person) else Person()
        before = self.unlisted_users.get(id)
        if before is None or (person.name and before.name in (_nameless(id), before.username)):
            self.unlisted_users[id] = User(
                id=id,
                username=person.mention_name or ("" if person.name else f"user-{id}"),
                name=person.name or person.mention_name or _nameless(id),
                deleted=True,
                placeholder=True,
                file=before.file if before else file,
                position=before.position if before else f"$[{number}]",
            )


def _nameless(id: str) -> str:
    return f"User {id}"


def _id_hash(id: str) -> int:
    """Return a hash of a message's id, in eight bytes."""
    return int.from_bytes(blake2b(id.encode("utf-8", "surrogatepass"), digest_size=8).digest())


# ---------------------------------------------------------------- parts


def parts(
    reading: Reading, channel: str, messages: ChannelMessages, with_rest: bool = False
) -> Iterator[Part]:
    """Yield the parts of a channel's messages. `with_rest`: the last says why the file breaks off."""
    moved, duplicates = _placed(messages)
    total = len(messages.numbers)
    broken = reading.broken if with_rest else ""
    starts = list(_starts(messages)) or [0] * bool(broken)
    for start, stop in pairwise([*starts, total] if starts else ()):
        numbers = messages.numbers[start:stop]
        is_last = stop == total
        spec = HipChatPartSpec(
            history=reading.history,
            channel=channel,
            ranges=list(_ranges(messages, start, start + len(numbers))),
            moved={number: moved[number] for number in numbers if number in moved},
            duplicates=[number for number in numbers if number in duplicates],
            names=reading.names,
            broken=broken if is_last else "",
            end=reading.end,
        )
        count = len(numbers) + bool(spec.broken)
        yield Part(channel=channel, messages=count, data=msgspec.msgpack.encode(spec))


def _starts(messages: ChannelMessages) -> Iterator[int]:
    """Yield the indexes at which parts begin."""
    first = size = 0
    for n in range(len(messages.numbers)):
        if n == 0 or n - first >= PART_MESSAGES or size >= PART_BYTES:
            yield n
            first, size = n, 0
        size += messages.ends[n] - messages.starts[n]


def _ranges(messages: ChannelMessages, start: int, stop: int) -> Iterator[ElementRange]:
    first = start
    for n in range(start, stop):
        if n + 1 == stop or messages.numbers[n + 1] != messages.numbers[n] + 1:
            yield ElementRange(
                messages.starts[first], messages.ends[n], messages.numbers[first], n + 1 - first
            )
            first = n + 1


def _placed(messages: ChannelMessages) -> tuple[dict[int, int], set[int]]:
    """Return the milliseconds of messages that cannot have their own, and the numbers of duplicates."""
    duplicates = set(_duplicates(messages))
    moved: dict[int, int] = {}
    after = -1
    for n in _in_order(messages.times):
        time, number = messages.times[n], messages.numbers[n]
        if time == NO_TIME or number in duplicates:
            continue
        after = placed(time // 1000, after)
        if after != time // 1000:
            moved[number] = after
    return moved, duplicates


def _duplicates(messages: ChannelMessages) -> Iterator[int]:
    seen: set[int] = set()
    for number, time, id_hash in zip(messages.numbers, messages.times, messages.id_hashes, strict=True):
        if time != NO_TIME and id_hash in seen:
            yield number
        elif time != NO_TIME:
            seen.add(id_hash)


def _in_order(times: Sequence[int]) -> Sequence[int]:
    """Return the indexes of messages in order of time.

    Histories run from old to new or from new to old: messages of one time keep that order.
    """
    order = range(len(times))
    ends = [time for time in (*times[:1], *times[-1:]) if time != NO_TIME]
    if len(ends) == 2 and ends[0] > ends[1]:
        order = order[::-1]
    is_sorted = all(times[order[n]] <= times[order[n + 1]] for n in range(len(times) - 1))
    return order if is_sorted else sorted(order, key=times.__getitem__)
