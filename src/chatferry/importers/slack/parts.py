"""Parts of a conversation's messages: some day files together, or a section of a large one."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

import msgspec
from msgspec import Struct

from chatferry.archive import Archive
from chatferry.importers.reading.json_list import Broken
from chatferry.importers.reading.json_stream import read_chunks
from chatferry.importers.slack.first_pass import Day, SlackFirstPass
from chatferry.importers.slack.large_files import FileSection, Sizes
from chatferry.importers.slack.lists import Conversation, read_elements
from chatferry.importers.slack.messages import PartContext, is_kept
from chatferry.importers.slack.schema import Envelope
from chatferry.problems import Position
from chatferry.records import Part


class SlackPartSpec(Struct, frozen=True, kw_only=True, rename={"duplicates": "twins", "section": "run"}):
    """A part's `data`: day files of one folder that follow each other, or a `section` of a large one.

    Two fields are stored under the names that earlier versions gave them.

    after           the time of the last message before the part (ms)
    duplicates      `ts` in the first file that the part before holds too
    missing_roots   `ts` of threads without a first message, with the place of a reply
    """

    room: PartContext
    files: tuple[str, ...]
    after: int = 0
    duplicates: tuple[str, ...] = ()
    missing_roots: dict[str, Position] = {}
    section: FileSection | None = None


class _Stretch(Struct, frozen=True):
    """What a part holds."""

    days: list[Day]
    section: FileSection | None = None

    @property
    def messages(self) -> int:
        if self.section is not None:
            return self.section.messages
        return sum(day.elements for day in self.days)

    def may_hold(self, ts: str) -> bool:
        """Return whether a message of this time may be in it.

        A part knows of no other messages: then it stays the same part when later messages come.
        """
        return any(day.span is None or day.span[0] <= ts <= day.span[1] for day in self.days)


def parts(
    archive: Archive, conversation: Conversation, first_pass: SlackFirstPass, sizes: Sizes
) -> Iterator[Part]:
    findings = first_pass.findings
    first_replies = findings.rootless
    roots = _unmarked_roots(archive, set(first_replies), first_pass.days, sizes) if first_replies else {}
    missing = {ts: place for ts, place in first_replies.items() if ts not in roots}
    threads = findings.threads({**missing, **roots})
    stretches = list(_stretches(first_pass.days, sizes.messages))
    lost = _dealt(sorted(missing.items()), stretches)
    hints = _dealt([(ts, place) for ts, (place, _) in threads.items()], stretches)
    pins = {**findings.pins, **conversation.pins}
    channel = conversation.record.id
    for number, stretch in enumerate(stretches):
        spec = SlackPartSpec(
            room=PartContext(
                channel=channel,
                folder=conversation.folder,
                bots=findings.bots,
                people=tuple(dict.fromkeys(person for day in stretch.days for person in day.people)),
                threads={ts: threads[ts][1] for ts in hints.get(number, ())},
                pins={ts: note for ts, note in pins.items() if stretch.may_hold(ts)},
            ),
            files=tuple(day.file for day in stretch.days),
            after=stretch.days[0].after,
            duplicates=stretch.days[0].duplicates,
            missing_roots=lost.get(number, {}),
            section=stretch.section,
        )
        yield Part(
            channel=channel,
            messages=stretch.messages + len(spec.missing_roots),
            data=msgspec.msgpack.encode(spec),
        )


def _unmarked_roots(archive: Archive, wanted: set[str], days: list[Day], sizes: Sizes) -> dict[str, Position]:
    """Return the places of first messages that exist after all: some exports do not mark them."""
    dates = {
        (datetime.fromtimestamp(int(ts.partition(".")[0]), UTC) + timedelta(days=shift)).strftime("%Y-%m-%d")
        for ts in wanted
        for shift in (-1, 0, 1)  # a day file holds a day of the workspace's own time zone
    }
    found: dict[str, Position] = {}
    likely = [day for day in days if day.file[-15:-5] in dates]
    for day in [*likely, *(day for day in days if day.file[-15:-5] not in dates)]:
        if found.keys() == wanted:
            break
        for first, messages in _messages(archive, day, sizes):
            for index, message in enumerate(messages, first):
                if message and message.ts in wanted and is_kept(message):
                    found[message.ts] = Position(day.file, index)
    return found


def _messages(archive: Archive, day: Day, sizes: Sizes) -> Iterator[tuple[int, list[Envelope | None]]]:
    """Yield a file's elements in lists, each with the number of its first."""
    if not day.sections:
        yield 0, read_elements(archive, day.file, Envelope)[0]
        return
    if any(section.count for section in day.sections):
        for chunk in read_chunks(archive, day.file, Envelope, sizes.chunk):
            if not isinstance(chunk, Broken):
                yield chunk.first, chunk.values


def _stretches(days: list[Day], messages: int) -> Iterator[_Stretch]:
    """Yield files that together hold about `messages` elements, and each section of a large file."""
    group: list[Day] = []
    elements = 0
    for day in days:
        if day.sections:
            if group:
                yield _Stretch(group)
                group, elements = [], 0
            yield from (_Stretch([day], section) for section in day.sections)
            continue
        group.append(day)
        elements += day.elements
        if elements >= messages:
            yield _Stretch(group)
            group, elements = [], 0
    if group:
        yield _Stretch(group)


def _dealt(
    places: Iterable[tuple[str, Position]], stretches: list[_Stretch]
) -> dict[int, dict[str, Position]]:
    """Return the places in each stretch, by the number of the stretch."""
    numbers: dict[str, int] = {}  # of a file's first stretch
    firsts: dict[str, list[int]] = {}  # the number of the first element of each of its stretches
    for number, stretch in enumerate(stretches):
        for day in stretch.days:
            numbers.setdefault(day.file, number)
            firsts.setdefault(day.file, []).append(stretch.section.first if stretch.section else 0)

    def number_of(file: str, index: int) -> int:
        return numbers[file] + bisect_right(firsts[file], index) - 1

    dealt: dict[int, dict[str, Position]] = {}
    for ts, place in places:
        number = number_of(place.file, place.index)
        section = stretches[number].section
        if section is not None and (kept := section.duplicates.get(place.index)) is not None:
            number = number_of(place.file, kept)
        dealt.setdefault(number, {})[ts] = place
    return dealt
