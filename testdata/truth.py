"""The truth manifest: a JSON line for each record that a perfect importer makes, in no importer's terms."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType


class Stamp(Struct, frozen=True):
    """When something was done to a message, and by whom (nobody knows: None)."""

    at: int
    by: str | None


class File(Struct, frozen=True):
    id: str
    name: str


class User(Struct, tag_field="kind", tag="user"):
    id: str
    username: str
    name: str
    email: str | None = None
    type: Literal["user", "bot"] = "user"
    active: bool = True
    placeholder: bool = False
    merged_into: str | UnsetType = UNSET  # a second account of one person: the id that it becomes part of


class Room(Struct, tag_field="kind", tag="room"):
    id: str
    type: Literal["c", "p", "d"]
    name: str | None
    members: list[str]
    topic: str
    description: str
    archived: bool
    created: int


_NOTHING = Raw(b"{}")


class Message(Struct, tag_field="kind", tag="message", gc=False):
    id: str
    room: str
    author: str
    ts: int
    text: str = ""
    t: str = ""
    alias: str = ""
    thread: str = ""
    in_channel: bool = False
    reply_count: int = 0
    repliers: Sequence[str] = ()
    last_reply: int = 0
    reactions: dict[str, list[str]] | Raw = _NOTHING
    pinned: Stamp | None = None
    edited: Stamp | None = None
    mentions: Sequence[str] = ()
    channels: Sequence[str] = ()
    files: Sequence[File] = ()
    attachments: int = 0
    placeholder: bool | UnsetType = UNSET  # a root that no element of the archive tells of
    optional: bool | UnsetType = UNSET  # may be kept or lost: both are right


class Skipped(Struct, tag_field="kind", tag="skipped"):
    file: str
    position: str
    why: str


class Fault(Struct, tag_field="kind", tag="fault"):
    name: str
    file: str
    position: str
    record: Literal["user", "channel", "message", "file", "archive"]
    expect: Literal["as-is", "substituted", "lost", "optional", "partial", "refused"]
    fields: list[str] | UnsetType = UNSET  # for "partial": what the message lines still promise


class Totals(Struct, tag_field="kind", tag="totals"):
    users: int = 0
    rooms: int = 0
    messages: int = 0
    files: int = 0
    elements: int = 0
    skipped: int = 0
    placeholders: int = 0
    optional: int = 0


Line = User | Room | Message | Skipped | Fault

_FLUSH = 1 << 18


class Manifest:
    """Writes the lines as they come, and counts them. Without a path it only counts."""

    def __init__(self, path: Path | None) -> None:
        self._file = path.open("wb") if path else None
        self._buffer = bytearray()
        self._encode = msgspec.json.Encoder().encode_into
        self.totals = Totals()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is None:
            return
        if error is None:
            self._put(self.totals)
            self._file.write(self._buffer)
        self._file.close()

    def message(self, line: Message) -> None:
        totals = self.totals
        if line.placeholder is True:
            totals.placeholders += 1
        elif line.optional is True:
            totals.optional += 1
        else:
            totals.messages += 1
            totals.files += len(line.files)
        self._put(line)

    def user(self, line: User) -> None:
        self.totals.users += 1
        self._put(line)

    def room(self, line: Room) -> None:
        self.totals.rooms += 1
        self._put(line)

    def skipped(self, line: Skipped) -> None:
        self.totals.skipped += 1
        self._put(line)

    def fault(self, line: Fault) -> None:
        self._put(line)

    def _put(self, line: Line | Totals) -> None:
        if self._file is None:
            return
        buffer = self._buffer
        self._encode(line, buffer, -1)
        buffer += b"\n"
        if len(buffer) > _FLUSH:
            self._file.write(buffer)
            buffer.clear()
