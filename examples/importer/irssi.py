"""Logs of the IRC client irssi, a file per channel: a small importer to begin a new format from.

    --- Log opened Mon Sep 14 12:30:00 2020
    12:30 -!- ada [ada@example.org] has joined #general
    12:30 <@ada> Hello
    12:31  * bob waves
    --- Day changed Tue Sep 15 2020

A log has no time zone: its times are taken for UTC. Logs of two people are left out: none says whose it is.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice

import msgspec
from msgspec import Struct

from chatferry.archive import Archive
from chatferry.errors import ArchiveError
from chatferry.ids import derived_hex
from chatferry.importers.importer import Importer
from chatferry.importers.reading.texts import delimited
from chatferry.importers.reading.timeline import placed
from chatferry.importers.reading.unlisted import UNLISTED_ROOM, not_listed
from chatferry.problems import problem
from chatferry.records import Channel, Message, Part, Problem, User

MOST = 3000  # records of a part
LONGEST = 1 << 16  # bytes of a line that are read at once; IRC sends 512 at most
_DAY = re.compile(r"--- (?:Log opened|Day changed) \w{3} (\w{3}) (\d\d) (?:[\d:]{8} )?(\d{4})")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_STATUS = re.compile(r"---|\d\d:\d\d -!-|\s*$")  # joins, topics, the log itself: no messages
_MESSAGE = re.compile(r"([01]\d|2[0-3]):([0-5]\d) (?:<[ @%+~&]?([^\s>]+)>| \* (\S+)) ?(.*)")


class Place(Struct, array_like=True):
    """A place in a log, and what the lines before it say. Times are in milliseconds, -1 if unknown."""

    file: str
    channel: str  # import id: "libera/#general"
    start: int = 0  # the byte at which the next line begins
    line: int = 1  # the number of that line
    day: int = -1  # midnight of its day
    after: int = -1  # the time of the message before it


def matches(archive: Archive) -> bool:
    """Return whether the archive holds logs of channels, and the first begins as irssi begins them."""
    logs = [name for name in archive.names() if _is_channel(name)]
    try:
        return bool(logs) and archive.open(logs[0]).read(15) == b"--- Log opened "
    except ArchiveError:
        return False


def _is_channel(name: str) -> bool:
    return name.rpartition("/")[2].startswith("#") and name.endswith(".log")


def scan(archive: Archive) -> Iterator[User | Channel | Part | Problem]:
    """Yield users, channels and the parts of their messages; see `Importer.scan`."""
    people: dict[str, Message] = {}
    for file in archive.names():
        if not _is_channel(file):
            yield problem("file-not-imported", "it is no log of a channel, such as #general.log", file=file)
            continue
        # Network and channel, whichever folders were zipped: all of them, or one network's alone.
        id = "/".join(f"{archive.wrapping}/{file}".removesuffix(".log").split("/")[-2:])
        try:
            authors, parts = _first_pass(archive, Place(file, id))
        except ArchiveError as error:
            yield problem("file-not-readable", str(error), file=file)
            continue
        name = id.rpartition("#")[2]
        yield Channel(id=id, type="p", name=name, members=tuple(authors), listed=False, file=file)
        yield problem("unknown-folder", f"a log does not list members; {UNLISTED_ROOM}", file=file)
        yield from parts
        people = authors | people
    for name, first in people.items():
        where = str(first.position)
        yield User(id=name, username=name, deleted=True, placeholder=True, file=first.file, position=where)
    notes = [problem("user-not-listed", "", file=one.file, position=one.position) for one in people.values()]
    yield from not_listed(notes, False, "an account of exactly this name, or else an inactive placeholder,")


def _first_pass(archive: Archive, place: Place) -> tuple[dict[str, Message], list[Part]]:
    """Return the first message of each author, and the parts. Nothing is imported of a damaged log."""
    authors: dict[str, Message] = {}
    parts: list[Part] = []
    records = _records(archive, place)
    while True:
        data, count = msgspec.msgpack.encode(place), 0
        for count, record in enumerate(islice(records, MOST), 1):  # noqa: B007  # the count is read after the loop
            if isinstance(record, Message):
                authors.setdefault(record.author, record)
        if not count:
            return authors, parts
        parts.append(Part(channel=place.channel, messages=count, data=data))


def read(archive: Archive, part: Part) -> Iterator[Message | Problem]:
    """Yield the messages of a part; see `Importer.read`."""
    return islice(_records(archive, msgspec.msgpack.decode(part.data, type=Place)), part.messages)


def _records(archive: Archive, place: Place) -> Iterator[Message | Problem]:
    """Yield the records from a place on, and move the place behind each."""
    with archive.open(place.file, place.start) as stream:
        while line := stream.readline(LONGEST):
            text = line.decode(errors="backslashreplace")  # irssi logs bytes as they come
            record = _record(text.rstrip("\r\n"), place)
            place.start, place.line = place.start + len(line), place.line + line.endswith(b"\n")
            if record is not None:
                yield record


def _record(text: str, place: Place) -> Message | Problem | None:
    """Return the message in a line, why it is lost, or None for a line without any."""
    file, position = place.file, f"line {place.line}"
    if found := _DAY.match(text):
        place.day = _midnight(*found.groups())
    if _STATUS.match(text):
        return None
    if not (found := _MESSAGE.match(text)):
        return problem("message-not-readable", "the line is no message", file=file, position=position)
    if place.day < 0:
        return problem("message-without-time", "no line above says the day", file=file, position=position)
    hour, minute, speaker, actor, words = found.groups()
    place.after = placed(place.day + (int(hour) * 60 + int(minute)) * 60_000, place.after)
    return Message(
        id=derived_hex("irssi", place.channel, str(place.line)),  # stays: a log only grows
        channel=place.channel,
        author=(speaker or actor).casefold(),  # IRC takes "Ada" and "ada" for one person
        ts=place.after,
        text=(words if speaker else delimited(words, "_"),),
        file=file,
        position=position,
    )


def _midnight(month: str, day: str, year: str) -> int:
    try:
        return int(datetime(int(year), _MONTHS.index(month) + 1, int(day), tzinfo=UTC).timestamp()) * 1000
    except ValueError:  # no day of any calendar
        return -1


IMPORTER = Importer("irssi", "irssi", "a folder with logs of irssi", matches, scan, read)
