"""Parts of a conversation's messages: some day files together, or a piece of a large one."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from chatferry.archive import Archive
from chatferry.importers.reading.json_list import Broken
from chatferry.importers.reading.json_stream import read_chunks
from chatferry.importers.slack.first_pass import Day, Place, Survey
from chatferry.importers.slack.large_files import Run, Sizes
from chatferry.importers.slack.lists import Conversation, read_elements
from chatferry.importers.slack.messages import Room, is_kept
from chatferry.importers.slack.schema import Envelope
from chatferry.records import Part


class Slice(Struct, frozen=True, kw_only=True):
    """A part's `data`: day files of one folder that follow each other, or a `run` of a large one."""

    room: Room
    files: tuple[str, ...]
    after: int = 0  # ms; the last message before this slice
    twins: tuple[str, ...] = ()  # `ts` in the first file that the slice before holds too
    missing_roots: dict[str, Place] = {}  # `ts` of threads without a first message, and a reply's place
    run: Run | None = None


class _Stretch(Struct, frozen=True):
    """What a part holds."""

    days: list[Day]
    run: Run | None = None

    @property
    def messages(self) -> int:
        if self.run is not None:
            return self.run.count + (self.run.lost is not None)
        return sum(day.elements for day in self.days)

    def may_hold(self, ts: str) -> bool:
        """Whether a message of this time may be here.

        A part is told of nothing else: then it is the same part when later messages come.
        """
        return any(day.span is None or day.span[0] <= ts <= day.span[1] for day in self.days)


def parts(archive: Archive, conversation: Conversation, survey: Survey, sizes: Sizes) -> Iterator[Part]:
    """The parts of a conversation's messages."""
    first_replies = survey.rootless
    roots = _unmarked_roots(archive, set(first_replies), survey.days, sizes) if first_replies else {}
    missing = {ts: place for ts, place in first_replies.items() if ts not in roots}
    threads = survey.threads({**missing, **roots})
    stretches = list(_stretches(survey.days, sizes.messages))
    lost = _dealt(sorted(missing.items()), stretches)
    hints = _dealt([(ts, place) for ts, (place, _) in threads.items()], stretches)
    pins = {**survey.pins, **conversation.pins}
    room = Room(
        channel=conversation.record.id,
        folder=conversation.folder,
        bots=survey.bots,
    )
    for number, stretch in enumerate(stretches):
        here = Slice(
            room=replace(
                room,
                people=tuple(dict.fromkeys(person for day in stretch.days for person in day.people)),
                threads={ts: threads[ts][1] for ts in hints.get(number, ())},
                pins={ts: note for ts, note in pins.items() if stretch.may_hold(ts)},
            ),
            files=tuple(day.file for day in stretch.days),
            after=stretch.days[0].after,
            twins=stretch.days[0].twins,
            missing_roots=lost.get(number, {}),
            run=stretch.run,
        )
        yield Part(
            channel=room.channel,
            messages=stretch.messages + len(here.missing_roots),
            data=msgspec.msgpack.encode(here),
        )


def _unmarked_roots(archive: Archive, wanted: set[str], days: list[Day], sizes: Sizes) -> dict[str, Place]:
    """Those of the wanted messages that exist after all; some exports do not mark them as roots."""
    dates = {
        (datetime.fromtimestamp(int(ts.partition(".")[0]), UTC) + timedelta(days=shift)).strftime("%Y-%m-%d")
        for ts in wanted
        for shift in (-1, 0, 1)  # a day file holds a day of the workspace's own time zone
    }
    found: dict[str, Place] = {}
    likely = [day for day in days if day.file[-15:-5] in dates]
    for day in [*likely, *(day for day in days if day.file[-15:-5] not in dates)]:
        if found.keys() == wanted:
            break
        for first, messages in _messages(archive, day, sizes):
            for index, message in enumerate(messages, first):
                if message and message.ts in wanted and is_kept(message):
                    found[message.ts] = Place(day.file, index)
    return found


def _messages(archive: Archive, day: Day, sizes: Sizes) -> Iterator[tuple[int, list[Envelope | None]]]:
    """A file's elements in lists, each with the number of its first."""
    if not day.runs:
        yield 0, read_elements(archive, day.file, Envelope)[0]
        return
    if any(run.count for run in day.runs):
        for chunk in read_chunks(archive, day.file, Envelope, sizes.chunk):
            if not isinstance(chunk, Broken):
                yield chunk.first, chunk.values


def _stretches(days: list[Day], messages: int) -> Iterator[_Stretch]:
    """Files together that hold about so many messages; those that have runs are divided."""
    group: list[Day] = []
    elements = 0
    for day in days:
        if day.runs:
            if group:
                yield _Stretch(group)
                group, elements = [], 0
            yield from (_Stretch([day], run) for run in day.runs)
            continue
        group.append(day)
        elements += day.elements
        if elements >= messages:
            yield _Stretch(group)
            group, elements = [], 0
    if group:
        yield _Stretch(group)


def _dealt(places: Iterable[tuple[str, Place]], stretches: list[_Stretch]) -> dict[int, dict[str, Place]]:
    """For each stretch, by its number, those places that are in it."""
    numbers: dict[str, int] = {}  # of a file's first stretch
    firsts: dict[str, list[int]] = {}  # the number of the first element of each of its stretches
    for number, stretch in enumerate(stretches):
        for day in stretch.days:
            numbers.setdefault(day.file, number)
            firsts.setdefault(day.file, []).append(stretch.run.first if stretch.run else 0)

    def number_of(file: str, index: int) -> int:
        return numbers[file] + bisect_right(firsts[file], index) - 1

    dealt: dict[int, dict[str, Place]] = {}
    for ts, place in places:
        number = number_of(place.file, place.index)
        run = stretches[number].run
        if run is not None and (twin := run.twins.get(place.index)) is not None:
            number = number_of(place.file, twin)  # the one of the two that is kept
        dealt.setdefault(number, {})[ts] = place
    return dealt
