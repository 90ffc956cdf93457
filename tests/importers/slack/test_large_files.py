"""A day file read in pieces gives the same messages as one read at once."""

import json
import random
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatferry.archive import Archive, open_archive
from chatferry.importers.reading import json_stream
from chatferry.importers.slack import export as slack
from chatferry.importers.slack.large_files import Sizes
from chatferry.importers.slack.parts import SlackPartSpec
from chatferry.records import Message, Part, Problem
from testdata.slack_export import FAULTS, Shape, write_export
from tests.support.golden import write
from tests.support.importing import write_folder
from tests.support.paths import CASES
from tests.support.slack import ALICE, DAY, HELLO, PLANS

# Every file is a part of its own, divided or not: then the files next to it count for both alike.
WHOLE = Sizes(whole=1 << 40, messages=1)


def in_pieces(piece: int, messages: int = 1) -> Sizes:
    return Sizes(whole=0, chunk=piece, messages=messages)


def scanned(archive: Archive, sizes: Sizes) -> tuple[list[Any], list[Part]]:
    found = list(slack.scan(archive, sizes))
    return [one for one in found if not isinstance(one, Part)], [
        one for one in found if isinstance(one, Part)
    ]


def read(archive: Archive, parts: list[Part]) -> tuple[list[Message], list[Problem]]:
    messages, problems = [], []
    for part in parts:
        records = [*slack.read(archive, part)]
        told = [one for one in records if isinstance(one, Message)]
        ended = [one for one in records if isinstance(one, Problem) and one.effect.value != "noted"]
        assert len(told) + sum(one.count for one in ended if one.record == "message") == part.messages
        messages += told
        problems += [one for one in records if isinstance(one, Problem)]
    return messages, problems


def everything(archive: Archive, sizes: Sizes) -> dict[str, Any]:
    others, parts = scanned(archive, sizes)
    messages, problems = read(archive, parts)
    return {
        "others": others,
        "messages": sorted(messages, key=str),
        "problems": sorted(problems, key=str),
        "count": sum(part.messages for part in parts),
    }


SLACK_CASES = sorted(path.name for path in (CASES / "slack").iterdir())


@pytest.mark.parametrize("name", SLACK_CASES)
def test_golden_cases_in_pieces(name: str, tmp_path: Path) -> None:
    with open_archive(write(CASES / "slack" / name / "archive.json", tmp_path / "export")) as archive:
        whole = everything(archive, WHOLE)
        for piece in (1, 150, 100_000):
            assert everything(archive, in_pieces(piece)) == whole
            assert everything(archive, in_pieces(piece, messages=3000)) == whole


@pytest.mark.parametrize("fault", [None, *sorted(FAULTS)])
def test_a_generated_export_in_pieces(fault: str | None, tmp_path: Path) -> None:
    shape = Shape(users=12, channels=6, messages=600, seed=3, days=2, layout="corporate")
    write_export(tmp_path / "export.zip", shape, faults=[fault] if fault else [])
    with open_archive(tmp_path / "export.zip") as archive:
        if fault == "txt-export":
            return
        whole = everything(archive, WHOLE)
        assert everything(archive, in_pieces(3000, messages=20)) == whole
        assert everything(archive, in_pieces(700)) == whole


# ---------------------------------------------------------------- anything that a day file may hold

TIMES = st.integers(0, 12).map(lambda n: f"16000002{n // 4:02d}.000{n % 4}00")
ODD_TIMES = st.sampled_from([None, 5, "", "soon", "1600000299.5", "1600000298", "99999999999"])
AUTHORS = st.sampled_from([None, "U0ALICE01", "U0NOBODY1", "U0NOBODY2"])
NESTED = st.recursive(
    st.integers() | st.text('a"}]{[,\\\né'),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab}{", max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)
MESSAGES = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["message", "message", "message", None, "event"]),
        "ts": TIMES | TIMES | ODD_TIMES,
    },
    optional={
        "text": st.text('a"}]{[,\\é', max_size=12) | st.just(5) | st.just("nul\0"),
        "user": AUTHORS,
        "subtype": st.sampled_from(["message_changed", "pinned_item", "channel_join", "bot_message"]),
        "item": st.fixed_dictionaries({"ts": TIMES}),
        "thread_ts": TIMES,
        "reply_count": st.integers(0, 3),
        "reactions": st.lists(st.fixed_dictionaries({"name": st.text(max_size=2)}), max_size=3),
        "unknown": NESTED,
    },
)
ELEMENTS = MESSAGES | MESSAGES | MESSAGES | MESSAGES | NESTED | st.none()
ENDS = st.sampled_from(["", "", "", "", " \n", "x", " ]", "[", "cut"])
SEPARATORS = st.sampled_from([",", ", ", ",\n", "\n  ,\t", " "])


def str_time(element: Any) -> str:
    return str(element.get("ts")) if isinstance(element, dict) else ""


@st.composite
def day_files(draw: st.DrawFn) -> str:
    elements = draw(st.lists(ELEMENTS, max_size=25))
    if draw(st.booleans()):
        elements.sort(
            key=lambda one: str(one.get("ts")) if isinstance(one, dict) else "", reverse=draw(st.booleans())
        )
    separator = draw(SEPARATORS) if draw(st.integers(0, 4)) == 0 else ", "
    indent = draw(st.sampled_from([None, None, 2]))
    text = separator.join(
        json.dumps(one, ensure_ascii=draw(st.booleans()), indent=indent) for one in elements
    )
    end = draw(ENDS)
    text = draw(st.sampled_from(["", "", "\ufeff", " "])) + f"[{text}]" + ("" if end == "cut" else end)
    return text[: draw(st.integers(0, len(text)))] if end == "cut" else text


@settings(deadline=None)
@given(st.lists(day_files(), min_size=1, max_size=3), st.data())
def test_any_day_files_in_pieces(days: list[str], draw: Any) -> None:
    files = {f"plans/2020-09-{13 + n}.json": day for n, day in enumerate(days)}
    lists = {"users.json": json.dumps([ALICE]), "channels.json": json.dumps([PLANS])}
    with open_archive({**lists, **files}) as archive, pytest.MonkeyPatch.context() as patch:
        whole = everything(archive, WHOLE)
        patch.setattr(json_stream, "WINDOW", draw.draw(st.integers(1, 300)))
        long = min(map(len, days)) if draw.draw(st.booleans()) else 0  # then the shortest one is not divided
        sizes = Sizes(
            whole=long, chunk=draw.draw(st.integers(1, 600)), messages=draw.draw(st.integers(1, 9)), bytes=900
        )
        assert everything(archive, sizes) == whole


# ---------------------------------------------------------------- large files

MIB = 1 << 20
LONG = Sizes(whole=MIB, messages=3000)


def said(number: int, **more: Any) -> dict[str, Any]:
    at = 1600000200_000100 + number * 400  # two or three share a millisecond
    return {**HELLO, "text": f"{number} {'word ' * 80}", "ts": f"{at // 10**6}.{at % 10**6:06}", **more}


def export(*days: list[dict[str, Any]]) -> dict[str, bytes]:
    files = {f"plans/2020-09-{13 + n}.json": json.dumps(day).encode() for n, day in enumerate(days)}
    return {
        "users.json": json.dumps([ALICE]).encode(),
        "channels.json": json.dumps([PLANS]).encode(),
        **files,
    }


def zipped(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as out:
        for name, data in files.items():
            out.writestr(name, data)
    return path


def test_a_large_file_makes_parts_of_about_so_many_messages() -> None:
    with open_archive(export([said(n) for n in range(10_000)], [said(10_000)])) as archive:
        _, parts = scanned(archive, LONG)
        assert [part.messages for part in parts[3:]] == [10_000 - sum(part.messages for part in parts[:3]), 1]
        assert all(3000 <= part.messages < 3300 for part in parts[:3])
        assert read(archive, parts) == read(archive, scanned(archive, WHOLE)[1])


def test_parts_of_long_messages_are_bounded_too() -> None:
    with open_archive(export([said(n, text="x" * 100_000) for n in range(250)])) as archive:
        _, parts = scanned(archive, LONG)
        assert [part.messages for part in parts] == [84, 84, 82]
        assert everything(archive, LONG) == everything(archive, WHOLE)


@pytest.mark.parametrize("order", ["newest first", "shuffled"])
def test_a_large_file_in_another_order(order: str) -> None:
    messages = [said(n, thread_ts=said(n // 50 * 50)["ts"]) for n in range(9000)]
    if order == "shuffled":
        random.Random(1).shuffle(messages)
    else:
        messages.reverse()
    with open_archive(export(messages)) as archive:
        assert everything(archive, LONG) == everything(archive, WHOLE)


def test_a_thread_is_told_of_in_the_part_of_its_first_message() -> None:
    """Otherwise each of hundreds of parts would hold all threads."""
    replies = [said(n, thread_ts=said(n - 4000)["ts"]) for n in range(4000, 8000)]
    with open_archive(export([said(n) for n in range(4000)] + replies)) as archive:
        _, parts = scanned(archive, LONG)
        told = [len(msgspec.msgpack.decode(part.data, type=SlackPartSpec).room.threads) for part in parts]
        assert sum(told) == 4000
        assert told[0] == parts[0].messages
        assert told[-1] == 0


def test_a_first_message_that_comes_twice_describes_its_thread_once() -> None:
    root = said(0, thread_ts=said(0)["ts"])
    messages = [root, said(1, thread_ts=root["ts"]), *(said(n) for n in range(2, 8000)), root]
    with open_archive(export(messages)) as archive:
        found = everything(archive, LONG)
        assert found == everything(archive, WHOLE)
    assert [[one.count for one in message.replies] for message in found["messages"] if message.replies] == [
        [1]
    ]


def test_messages_that_two_large_files_hold() -> None:
    first, second = [said(n) for n in range(4000)], [said(n) for n in range(3900, 8000)]
    with open_archive(export(first, second, [said(7999), said(8000)])) as archive:
        found = everything(archive, LONG)
        assert found == everything(archive, WHOLE)
    assert len(found["messages"]) == 8001
    assert [problem.kind for problem in found["problems"]] == ["message-twice"] * 101


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("place", [0.02, 0.5, 0.98])
def test_nothing_is_taken_from_a_damaged_file(method: int, place: float, tmp_path: Path) -> None:
    """Which of its messages are as they were, nobody can tell."""
    damaged = [said(n, user=f"U{n % 3000}", thread_ts=said(n - n % 9)["ts"]) for n in range(9000)]
    replies = [said(n, thread_ts=said(n - 9000)["ts"]) for n in range(9000, 9100)]
    files = export([said(-1)], damaged, replies)
    path = zipped(tmp_path / "export.zip", files, method)
    data = bytearray(path.read_bytes())
    name = b"plans/2020-09-14.json"
    start = data.index(name) + len(name)
    data[start + round((data.index(b"PK\3\4", start) - start) * place)] ^= 0x55
    path.write_bytes(data)
    with open_archive(path) as archive:
        found = everything(archive, LONG)
        assert found == everything(archive, WHOLE)
    assert "is damaged" in str([problem.reason for problem in found["problems"]])
    assert len(found["messages"]) == 1 + 100 + 12 + 88  # and placeholders for the roots


def test_a_file_that_cannot_be_opened_is_one_lost_element(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "export", export([said(n) for n in range(10_000)], [said(10_000)]))
    with open_archive(folder) as archive:
        (folder / DAY).unlink()
        assert everything(archive, LONG) == everything(archive, WHOLE)


def test_a_file_that_goes_away_costs_its_parts_and_says_so(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "export", export([said(n) for n in range(10_000)], [said(10_000)]))
    with open_archive(folder) as archive:
        _, parts = scanned(archive, LONG)
        (folder / DAY).unlink()
        messages, problems = read(archive, parts)
    assert len(messages) == 1
    assert [problem.count for problem in problems] == [part.messages for part in parts[:-1]]


def test_all_parts_together_inflate_a_file_once(tmp_path: Path) -> None:
    files = export([said(n) for n in range(20_000)], [said(20_000)])
    blocks = 0

    def count() -> None:
        nonlocal blocks
        blocks += 1

    with open_archive(zipped(tmp_path / "export.zip", files), on_block=count) as archive:
        _, parts = scanned(archive, LONG)
        blocks = 0
        read(archive, parts[::2])  # what one of two processes reads
        assert len(parts) == 8
        assert blocks <= len(files[DAY]) // MIB + 1
