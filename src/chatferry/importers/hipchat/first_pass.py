"""The first reading of HipChat's histories: which messages there are, where, when and by whom.

Memory: some numbers for each message of the one file that is being read, never a message.
"""

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import pairwise

import msgspec
from msgspec import Struct

from chatferry.archive import Archive
from chatferry.importers.hipchat.messages import (
    OTHER,
    Folder,
    author_of,
    channel_of,
    message_id,
    names_in,
    unknown_event,
)
from chatferry.importers.hipchat.schema import Event, Named, Person, Said, import_id, micros
from chatferry.importers.reading.json_list import raw_elements
from chatferry.importers.reading.json_stream import Element, read_batches
from chatferry.importers.reading.timeline import placed
from chatferry.records import ROCKET_CAT, Part, User

PART_MESSAGES = 3000
PART_BYTES = 8 << 20
NO_TIME = -1

Claim = Callable[[str, str, int], bool]
"""Whether a message is to be read here, by its channel, its author and its mark."""


class Run(Struct, frozen=True, array_like=True):
    """Elements that follow each other: their bytes in the file, and the places of the first and how many."""

    start: int
    end: int
    first: int
    count: int


class Slice(Struct, frozen=True, kw_only=True):
    """A part's `data`: messages of one channel in one file.

    `moved` has the times (ms) of messages that would share one with another, by their places in the file;
    `twins` the places of those that stand there twice; `names` the ids behind @names.
    `broken` says why nothing can be read from the place `end` on.
    """

    folder: Folder
    channel: str
    runs: list[Run]
    moved: dict[int, int] = {}
    twins: list[int] = []
    names: dict[str, str] = {}
    broken: str = ""
    end: int = 0


class Found:
    """Messages of one channel in one file."""

    def __init__(self) -> None:
        self.places = array("q")
        self.starts = array("q")
        self.ends = array("q")
        self.times = array("q")
        self.marks = array("Q")

    @property
    def began(self) -> int | None:
        """The time of the first message (ms)."""
        return min((time // 1000 for time in self.times if time != NO_TIME), default=None)

    def add(self, place: int, element: Element, time: int, mark: int) -> None:
        self.places.append(place)
        self.starts.append(element.start)
        self.ends.append(element.start + len(element.data))
        self.times.append(time)
        self.marks.append(mark)


class Reading:
    """What is found in one file. `adrift` are elements of a user's history of which no channel is known."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.channels: dict[str, Found] = {}
        self.authors: dict[str, None] = {}
        self.adrift = Found()
        self.names: dict[str, str] = {}
        self.broken = ""
        self.end = 0

    def found(self, channel: str) -> Found:
        found = self.channels.get(channel)
        if found is None:
            found = self.channels[channel] = Found()
        return found


class Survey:
    """Reads histories one after the other. `users` are those that the export lists, by their ids; `names`
    their ids by @name, in lower case."""

    def __init__(self, archive: Archive, users: Mapping[str, object], names: Mapping[str, str]) -> None:
        self.strangers: dict[str, User] = {}
        self._archive = archive
        self._users = users
        self._names = names

    def read(self, folder: Folder, claim: Claim = lambda channel, author, mark: True) -> Reading:
        reading = Reading(folder)
        for batch in read_batches(self._archive, folder.file, Event):
            for place, (element, event) in enumerate(
                zip(batch.places, batch.values, strict=True), batch.first
            ):
                self._take(reading, place, element, event, claim)
            reading.end = batch.first + len(batch.values)
            reading.broken = batch.broken
        return reading

    def _take(
        self, reading: Reading, place: int, element: Element, event: Event | None, claim: Claim
    ) -> None:
        folder = reading.folder
        told = event.told if event else None
        if event is not None and told is None:
            value = next(iter(raw_elements(b"[%s]" % element.data)), None)
            said = unknown_event(value, place)[1]
            told = (OTHER, said) if said else None
        if told is None:
            lost = reading.found(folder.id) if folder.is_room else reading.adrift
            lost.add(place, element, NO_TIME, 0)
            return
        kind, said = told
        channel = channel_of(folder, kind, said)
        mark = _mark(message_id(folder, channel, kind, said))
        author = author_of(kind, said)
        if not claim(channel, author, mark):
            return
        time = micros(said.timestamp)
        reading.found(channel).add(place, element, NO_TIME if time is None else time, mark)
        if kind != "guest":
            self._meet(reading, said, author, place)

    def _meet(self, reading: Reading, said: Said, author: str, place: int) -> None:
        """Take note of the people in a message."""
        if author:
            reading.authors[author] = None
            self._note(said.sender, author, reading.folder.file, place)
        receiver = import_id(said.receiver)
        if receiver or not reading.folder.is_room:
            self._note(said.receiver, receiver or reading.folder.id, reading.folder.file, place)
        if said.message and "@" in said.message:
            for name in names_in(said.message):
                if name in self._names:
                    reading.names[name] = self._names[name]

    def _note(self, named: Named | None, id: str, file: str, place: int) -> None:
        """A placeholder for somebody whom the export does not list, from what the messages say of him."""
        if id in self._users or id == ROCKET_CAT:
            return
        person = named if isinstance(named, Person) else Person()
        before = self.strangers.get(id)
        if before is None or (person.name and before.name in (_nameless(id), before.username)):
            self.strangers[id] = User(
                id=id,
                username=person.mention_name or ("" if person.name else f"user-{id}"),
                name=person.name or person.mention_name or _nameless(id),
                deleted=True,
                placeholder=True,
                file=before.file if before else file,
                position=before.position if before else f"$[{place}]",
            )


def _nameless(id: str) -> str:
    return f"User {id}"


def _mark(id: str) -> int:
    """A number that differs for different messages."""
    return int.from_bytes(blake2b(id.encode("utf-8", "surrogatepass"), digest_size=8).digest())


# ---------------------------------------------------------------- parts


def parts(reading: Reading, channel: str, found: Found, with_rest: bool = False) -> Iterator[Part]:
    """The parts of what was found of a channel. `with_rest`: the last says why the file breaks off."""
    moved, twins = _placed(found)
    total = len(found.places)
    broken = reading.broken if with_rest else ""
    starts = list(_starts(found)) or [0] * bool(broken)
    for start, stop in pairwise([*starts, total] if starts else ()):
        places = found.places[start:stop]
        is_last = stop == total
        here = Slice(
            folder=reading.folder,
            channel=channel,
            runs=list(_runs(found, start, start + len(places))),
            moved={place: moved[place] for place in places if place in moved},
            twins=[place for place in places if place in twins],
            names=reading.names,
            broken=broken if is_last else "",
            end=reading.end,
        )
        messages = len(places) + bool(here.broken)
        yield Part(channel=channel, messages=messages, data=msgspec.msgpack.encode(here))


def _starts(found: Found) -> Iterator[int]:
    """Where parts begin."""
    first = size = 0
    for n in range(len(found.places)):
        if n == 0 or n - first >= PART_MESSAGES or size >= PART_BYTES:
            yield n
            first, size = n, 0
        size += found.ends[n] - found.starts[n]


def _runs(found: Found, start: int, stop: int) -> Iterator[Run]:
    first = start
    for n in range(start, stop):
        if n + 1 == stop or found.places[n + 1] != found.places[n] + 1:
            yield Run(found.starts[first], found.ends[n], found.places[first], n + 1 - first)
            first = n + 1


def _placed(found: Found) -> tuple[dict[int, int], set[int]]:
    """The milliseconds of messages that cannot have their own, and the places of messages that come twice."""
    twins = set(_twins(found))
    moved: dict[int, int] = {}
    after = -1
    for n in _in_order(found.times):
        time, place = found.times[n], found.places[n]
        if time == NO_TIME or place in twins:
            continue
        after = placed(time // 1000, after)
        if after != time // 1000:
            moved[place] = after
    return moved, twins


def _twins(found: Found) -> Iterator[int]:
    seen: set[int] = set()
    for place, time, mark in zip(found.places, found.times, found.marks, strict=True):
        if time != NO_TIME and mark in seen:
            yield place
        elif time != NO_TIME:
            seen.add(mark)


def _in_order(times: Sequence[int]) -> Sequence[int]:
    """The order in which messages were said. Histories run from old to new or from new to old; where times
    are equal, that is what counts."""
    if not _falls(times):
        order: Sequence[int] = range(len(times))
    else:
        order = range(len(times) - 1, -1, -1)
    is_sorted = all(times[order[n]] <= times[order[n + 1]] for n in range(len(times) - 1))
    return order if is_sorted else sorted(order, key=times.__getitem__)


def _falls(times: Sequence[int]) -> bool:
    known = [time for time in (*times[:1], *times[-1:]) if time != NO_TIME]
    return len(known) == 2 and known[0] > known[1]
