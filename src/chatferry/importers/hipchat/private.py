"""Private conversations of a HipChat export: each stands in the histories of both its people."""

from collections.abc import Iterator
from functools import partial

from msgspec import Struct

from chatferry.importers.hipchat.first_pass import Reading, Survey, parts
from chatferry.importers.hipchat.messages import Folder, members_of
from chatferry.problems import problem
from chatferry.records import Channel, Part, Problem


class _Stream(Struct):
    """What somebody wrote in a conversation: the history that it is read from, and what it amounts to."""

    file: str
    count: int = 0
    marks: int = 0

    def add(self, mark: int) -> None:
        self.count += 1
        self.marks = (self.marks + mark) & 0xFFFF_FFFF_FFFF_FFFF


class Private:
    """Conversations of two stand in the histories of both. What each of them wrote is read from the history
    that is found first, and from the other only what that one lacks."""

    def __init__(self, survey: Survey) -> None:
        self._survey = survey
        self._first: dict[tuple[str, str], _Stream] = {}
        self._copies: dict[tuple[str, str], dict[str, _Stream]] = {}
        self._channels: dict[str, None] = {}

    def scan(self, folders: list[Folder]) -> Iterator[Channel | Part | Problem]:
        for folder in folders:
            yield from self._found(self._survey.read(folder, partial(self._claim, folder.file)))
        by_file = {folder.file: folder for folder in folders}
        for file, streams in self._differing().items():
            firsts = [by_file[first] for first in {self._first[key].file: None for key in streams}]
            lacking = partial(_take_new, streams, self._marks(firsts, streams))
            yield from self._found(self._survey.read(by_file[file], lacking), extra=True)

    def _claim(self, file: str, channel: str, author: str, mark: int) -> bool:
        key = (channel, author)
        stream = self._first.setdefault(key, _Stream(file))
        if stream.file != file:
            stream = self._copies.setdefault(key, {}).setdefault(file, _Stream(file))
        stream.add(mark)
        return stream is self._first[key]

    def _found(self, reading: Reading, extra: bool = False) -> Iterator[Channel | Part | Problem]:
        for channel, found in reading.channels.items():
            if channel not in self._channels:
                self._channels[channel] = None
                yield Channel(
                    id=channel,
                    type="d",
                    members=members_of(channel),
                    created=found.began,
                    file=reading.folder.file,
                )
            yield from parts(reading, channel, found)
        if not extra and (reading.adrift.places or reading.broken):
            yield from self._adrift(reading)

    def _adrift(self, reading: Reading) -> Iterator[Part | Problem]:
        """What cannot be read of a history counts with one of its owner's conversations."""
        file, owner = reading.folder.file, reading.folder.id
        channel = next((channel for channel in self._channels if owner in members_of(channel)), "")
        if not channel:
            reason = reading.broken or "none of its elements can be read"
            yield problem("file-not-readable", reason, file=file)
        yield from parts(reading, channel, reading.adrift, with_rest=True)

    def _differing(self) -> dict[str, set[tuple[str, str]]]:
        """The histories that are no copies of what was read, and of which streams that is true."""
        differing: dict[str, set[tuple[str, str]]] = {}
        for key, copies in self._copies.items():
            first = self._first[key]
            for file, copy in copies.items():
                if (copy.count, copy.marks) != (first.count, first.marks):
                    differing.setdefault(file, set()).add(key)
        return differing

    def _marks(self, folders: list[Folder], streams: set[tuple[str, str]]) -> set[int]:
        """The marks of the messages of some streams in some histories."""
        marks: set[int] = set()

        def collect(channel: str, author: str, mark: int) -> bool:
            if (channel, author) in streams:
                marks.add(mark)
            return False

        for folder in folders:
            self._survey.read(folder, collect)
        return marks


def _take_new(streams: set[tuple[str, str]], marks: set[int], channel: str, author: str, mark: int) -> bool:
    """Claim a message of these streams once."""
    is_new = (channel, author) in streams and mark not in marks
    marks.add(mark)
    return is_new
