"""Batches of messages: a part in several batches, several parts in one, and rejected messages."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from chatferry.archive import Archive, open_archive
from chatferry.convert import IdMap, MappedRoom, MappedUser
from chatferry.destinations import Packed, Rejection
from chatferry.destinations.memory import MemoryDestination
from chatferry.documents import decode
from chatferry.importers import IMPORTERS
from chatferry.pipeline.convert_parts import convert_parts
from chatferry.pipeline.results import PartResult, whole_parts
from chatferry.pipeline.write_batches import write_batches
from chatferry.records import Message, Outcome, Part, Problem
from chatferry.store.parts import NumberedPart

SLACK = IMPORTERS["slack"]
ONE_MESSAGE = 1  # a batch of this size is full at its first message
USERS = [{"id": "U1", "name": "ada"}]
CHANNELS = [
    {"id": name.upper(), "name": name, "creator": "U1", "members": ["U1"]} for name in ("c1", "c2", "c3")
]
KNOWN = IdMap(
    {"U1": MappedUser("u1", "ada"), "rocket.cat": MappedUser("rocket.cat", "rocket.cat")},
    {name: MappedRoom(f"room-{name}", name) for name in ("C1", "C2", "C3")},
)


class Picky(MemoryDestination):
    """Refuses messages with this text."""

    def insert(self, messages: Sequence[Packed]) -> list[Rejection]:
        bad = [index for index, one in enumerate(messages) if self.unpack(one)["msg"] == "bad"]
        super().insert([one for index, one in enumerate(messages) if index not in bad])
        return [Rejection(index, "it is bad") for index in bad]


def day(*texts: str, start: int = 0) -> list[dict[str, Any]]:
    times = range(start, start + len(texts))
    return [
        {"type": "message", "user": "U1", "text": text, "ts": f"16000{number:05}.000100"}
        for number, text in zip(times, texts, strict=True)
    ]


def results(days: dict[str, Any], size: int, destination: MemoryDestination) -> dict[int, PartResult]:
    """Return the result of each part of an export with these day files; every part comes once."""
    lists = {"users.json": USERS, "channels.json": CHANNELS}
    files = {name: msgspec.json.encode(content) for name, content in (lists | days).items()}
    archive = open_archive(files)
    parts = [part for part in SLACK.scan(archive) if isinstance(part, Part)]
    numbered = [NumberedPart(number, part) for number, part in enumerate(parts)]
    batches = convert_parts(numbered, KNOWN, SLACK, archive, destination.pack, size)
    found: dict[int, PartResult] = {}
    for done in whole_parts(write_batches(batches, destination, lambda: None)):
        for result in done:
            assert result.part.number not in found
            found[result.part.number] = result
    assert list(found) == list(range(len(parts)))
    return found


@pytest.mark.parametrize("size", [ONE_MESSAGE, 5000, 10**9])
def test_a_part_in_several_batches_is_finished_once(size: int) -> None:
    destination = MemoryDestination()
    found = results(
        {"c1/2020-09-13.json": day("a <@U9>", "b", "c"), "c2/2020-09-13.json": day("d")}, size, destination
    )
    assert [(result.users, result.rooms) for result in found.values()] == [
        ({"U1", "U9"}, {"C1"}),
        ({"U1"}, {"C2"}),
    ]
    assert found[0].messages == {Outcome.INSERTED: 3}
    assert found[1].messages == {Outcome.INSERTED: 1}
    assert len(list(destination.dump("rocketchat_message"))) == 4


@pytest.mark.parametrize("size", [ONE_MESSAGE, 10**9])
def test_a_rejected_message_counts_for_its_own_part(size: int) -> None:
    days = {
        "c1/2020-09-13.json": day("good", "bad"),
        "c2/2020-09-13.json": day("good", "good"),
        "c3/2020-09-13.json": day("bad", "good", "bad"),
    }
    found = results(days, size, Picky())
    assert [dict(result.messages) for result in found.values()] == [
        {Outcome.INSERTED: 1, Outcome.FAILED: 1},
        {Outcome.INSERTED: 2},
        {Outcome.INSERTED: 1, Outcome.FAILED: 2},
    ]
    said = [[(one.kind, one.file, one.position) for one in result.problems] for result in found.values()]
    assert said == [
        [("message-rejected", "c1/2020-09-13.json", "$[1]")],
        [],
        [
            ("message-rejected", "c3/2020-09-13.json", "$[0]"),
            ("message-rejected", "c3/2020-09-13.json", "$[2]"),
        ],
    ]


def test_the_files_of_a_refused_message_fail_with_it() -> None:
    file = {"id": "F1", "name": "a.txt", "url_private": "https://files.example.org/a.txt"}
    messages = day("bad", "good")
    for message, id in zip(messages, ("F1", "F2"), strict=True):
        message["files"] = [file | {"id": id}]
    result = results({"c1/2020-09-13.json": messages}, 10**9, Picky())[0]
    assert result.files == {Outcome.FAILED: 1}
    assert [pending.import_id for pending in result.pending] == ["F2"]


def test_the_first_of_two_messages_with_one_id_is_kept() -> None:
    def read(archive: Archive, part: Part) -> Iterator[Message | Problem]:
        for index, text in enumerate(("first", "second")):
            yield Message("m1", "C1", "U1", 1_600_000_000_000, (text,), "a.json", index)

    destination = MemoryDestination()
    part = NumberedPart(0, Part(channel="C1", messages=2))
    batches = convert_parts([part], KNOWN, replace(SLACK, read=read), open_archive({}), destination.pack)
    [[result]] = whole_parts(write_batches(batches, destination, lambda: None))
    assert result.messages == {Outcome.INSERTED: 1, Outcome.SKIPPED: 1}
    assert [(one.kind, one.position) for one in result.problems] == [("message-twice", "$[1]")]
    assert [one["msg"] for one in map(decode, destination.dump("rocketchat_message"))] == ["first"]


def test_a_second_time_changes_only_what_differs() -> None:
    destination = MemoryDestination()
    results({"c1/2020-09-13.json": day("a", "b", "c")}, 10**9, destination)
    again = results({"c1/2020-09-13.json": day("a", "B", "c", "d")}, 10**9, destination)[0]
    assert again.messages == {Outcome.UNCHANGED: 2, Outcome.UPDATED: 1, Outcome.INSERTED: 1}
