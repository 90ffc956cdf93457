"""Private conversations of a HipChat export: the histories of both people hold each of them."""

from collections.abc import Iterator
from functools import partial

from msgspec import Struct

from chatferry.importers.hipchat.first_pass import HipChatFirstPass, Reading, parts
from chatferry.importers.hipchat.messages import History, members_of
from chatferry.problems import problem
from chatferry.records import Channel, Part, Problem


class _AuthorStream(Struct):
    """The messages of one author in a conversation.

    file        the history that they are read from
    id_hashes   the sum of the hashes of their ids
    """

    file: str
    count: int = 0
    id_hashes: int = 0

    def add(self, id_hash: int) -> None:
        self.count += 1
        self.id_hashes = (self.id_hashes + id_hash) & 0xFFFF_FFFF_FFFF_FFFF


class Private:
    """A reader of private conversations, which the histories of both people hold.

    The messages of each author are read from the first history; from the second only what is missing.
    """

    def __init__(self, first_pass: HipChatFirstPass) -> None:
        self._first_pass = first_pass
        self._first: dict[tuple[str, str], _AuthorStream] = {}
        self._copies: dict[tuple[str, str], dict[str, _AuthorStream]] = {}
        self._channels: dict[str, None] = {}

    def scan(self, histories: list[History]) -> Iterator[Channel | Part | Problem]:
        for history in histories:
            yield from self._channels_of(self._first_pass.read(history, partial(self._claim, history.file)))
        by_file = {history.file: history for history in histories}
        for file, streams in self._differing().items():
            firsts = [by_file[first] for first in {self._first[key].file: None for key in streams}]
            lacking = partial(_take_new, streams, self._id_hashes(firsts, streams))
            yield from self._channels_of(self._first_pass.read(by_file[file], lacking), extra=True)

    def _claim(self, file: str, channel: str, author: str, id_hash: int) -> bool:
        key = (channel, author)
        stream = self._first.setdefault(key, _AuthorStream(file))
        if stream.file != file:
            stream = self._copies.setdefault(key, {}).setdefault(file, _AuthorStream(file))
        stream.add(id_hash)
        return stream is self._first[key]

    def _channels_of(self, reading: Reading, extra: bool = False) -> Iterator[Channel | Part | Problem]:
        for channel, messages in reading.channels.items():
            if channel not in self._channels:
                self._channels[channel] = None
                yield Channel(
                    id=channel,
                    type="d",
                    members=members_of(channel),
                    created=messages.began,
                    file=reading.history.file,
                )
            yield from parts(reading, channel, messages)
        if not extra and (reading.unassigned.numbers or reading.broken):
            yield from self._unassigned(reading)

    def _unassigned(self, reading: Reading) -> Iterator[Part | Problem]:
        """Yield what cannot be read of a history with one of its owner's conversations."""
        file, owner = reading.history.file, reading.history.id
        channel = next((channel for channel in self._channels if owner in members_of(channel)), "")
        if not channel:
            reason = reading.broken or "none of its elements can be read"
            yield problem("file-not-readable", reason, file=file)
        yield from parts(reading, channel, reading.unassigned, with_rest=True)

    def _differing(self) -> dict[str, set[tuple[str, str]]]:
        """Return the second histories that differ from the first, each with the streams that differ."""
        differing: dict[str, set[tuple[str, str]]] = {}
        for key, copies in self._copies.items():
            first = self._first[key]
            for file, copy in copies.items():
                if (copy.count, copy.id_hashes) != (first.count, first.id_hashes):
                    differing.setdefault(file, set()).add(key)
        return differing

    def _id_hashes(self, histories: list[History], streams: set[tuple[str, str]]) -> set[int]:
        """Return the id hashes of the messages of some streams in some histories."""
        id_hashes: set[int] = set()

        def collect(channel: str, author: str, id_hash: int) -> bool:
            if (channel, author) in streams:
                id_hashes.add(id_hash)
            return False

        for history in histories:
            self._first_pass.read(history, collect)
        return id_hashes


def _take_new(
    streams: set[tuple[str, str]], id_hashes: set[int], channel: str, author: str, id_hash: int
) -> bool:
    """Claim a message of these streams once."""
    is_new = (channel, author) in streams and id_hash not in id_hashes
    id_hashes.add(id_hash)
    return is_new
