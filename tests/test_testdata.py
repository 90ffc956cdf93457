"""The generator of Slack exports: same shape, same bytes; its truth agrees with a plain reader."""

import json
import subprocess
import sys
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testdata.slack_export import FAULTS, Shape, main, write_export
from tests.support.paths import ROOT, SLACK_EXAMPLE

Json = dict[str, Any]
SMALL = Shape(users=8, channels=6, messages=240, seed=5)

_SUBTYPES = """
    me_message thread_broadcast bot_message slackbot_response file_share file_comment file_mention
    file_created reminder_add share_shortcut joiner_notification joiner_notification_for_inviter
    channel_join channel_leave group_join group_leave app_conversation_join app_conversation_leave
    bot_add bot_remove bot_enable bot_disable
    channel_topic channel_purpose channel_name channel_archive channel_unarchive channel_posting_permissions
    group_topic group_purpose group_name group_archive group_unarchive group_posting_permissions
    pinned_item unpinned_item channel_canvas_updated tabbed_canvas_updated sh_room_created huddle_thread
    message_changed message_deleted message_replied tombstone ekm_access_denied emoji_changed
"""
SUBTYPES = set(_SUBTYPES.split())


def read_zip(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        # Slack does not flag its names as UTF-8, so zipfile takes them for cp437.
        return {info.filename.encode("cp437").decode(): archive.read(info) for info in archive.infolist()}


def day_files(files: dict[str, bytes]) -> Iterator[tuple[str, list[Json]]]:
    for path, data in files.items():
        if "/" in path and path.rpartition("/")[2].startswith("20"):
            yield path, json.loads(data)


def elements(files: dict[str, bytes]) -> Iterator[Json]:
    for _, day in day_files(files):
        yield from day


def read_truth(path: Path) -> dict[str, list[Json]]:
    lines: dict[str, list[Json]] = defaultdict(list)
    for line in path.read_text().splitlines():
        record = json.loads(line)
        lines[record["kind"]].append(record)
    return lines


def generate(folder: Path, shape: Shape, **options: Any) -> tuple[dict[str, bytes], dict[str, list[Json]]]:
    write_export(folder / "export.zip", shape, truth=folder / "truth.jsonl", **options)
    return read_zip(folder / "export.zip"), read_truth(folder / "truth.jsonl")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], dict[str, list[Json]]]:
    return generate(tmp_path_factory.mktemp("large"), Shape(users=40, channels=12, messages=20_000, seed=3))


def test_the_same_shape_gives_the_same_bytes(tmp_path: Path) -> None:
    names = [("a", 5), ("b", 5), ("c", 6)]
    for name, seed in names:
        shape = Shape(users=8, channels=6, messages=1000, seed=seed)
        write_export(tmp_path / f"{name}.zip", shape, truth=tmp_path / f"{name}.jsonl")
    for suffix in ("zip", "jsonl"):
        a, b, c = ((tmp_path / f"{name}.{suffix}").read_bytes() for name, _ in names)
        assert a == b != c


def test_a_folder_holds_what_the_zip_holds(tmp_path: Path) -> None:
    files, _ = generate(tmp_path, SMALL)
    write_export(tmp_path / "folder", SMALL)
    written = [path for path in (tmp_path / "folder").rglob("*") if path.is_file()]
    assert {path.relative_to(tmp_path / "folder").as_posix(): path.read_bytes() for path in written} == files


def test_a_newer_archive_holds_the_older_one(tmp_path: Path) -> None:
    shape = Shape(users=12, channels=6, messages=2000, seed=4)
    old_files, old = generate(tmp_path, shape)
    files, new = generate(tmp_path, shape, extended=0.25)
    kept = {(element["ts"], element.get("user")) for element in elements(files)}
    assert {(element["ts"], element.get("user")) for element in elements(old_files)} <= kept
    assert new["totals"][0]["elements"] == 2500
    assert new["totals"][0]["users"] == old["totals"][0]["users"] + 1
    assert new["totals"][0]["rooms"] == old["totals"][0]["rooms"] + 1

    known = {message["id"]: message for message in new["message"]}
    changes = [
        {field for field in message if message[field] != known[message["id"]][field]}
        for message in old["message"]
    ]
    thread = {"reply_count", "repliers", "last_reply"}
    assert all(change <= {"text", "edited"} | thread for change in changes)
    assert sum("edited" in change for change in changes) > 10
    assert sum("last_reply" in change for change in changes) > 5


def test_a_newer_archive_can_hold_the_older_messages_as_they_were(tmp_path: Path) -> None:
    shape = Shape(users=12, channels=6, messages=1000, seed=5)
    old, _ = generate(tmp_path, shape)
    new, _ = generate(tmp_path, shape, extended=0.1, revised=False)
    assert all(new[path] == old[path] for path, _ in day_files(old))
    assert sum(1 for _ in elements(new)) == 1100


@pytest.mark.parametrize("layout", ["standard", "corporate", "grid"])
def test_totals_agree_with_the_archive(tmp_path: Path, layout: Any) -> None:
    files, truth = generate(tmp_path, Shape(users=20, channels=8, messages=2000, seed=2, layout=layout))
    totals = truth["totals"][0]
    assert totals["elements"] == sum(1 for _ in elements(files)) == 2000
    assert totals["elements"] == totals["messages"] + totals["skipped"]
    assert [totals[kind] for kind in ("users", "rooms", "messages", "skipped")] == [
        len(truth[kind]) for kind in ("user", "room", "message", "skipped")
    ]
    lists = [json.loads(data) for path, data in files.items() if path.rpartition("/")[2] in ROOM_LISTS]
    assert {room["id"] for rooms in lists for room in rooms} == {room["id"] for room in truth["room"]}
    users = json.loads(files["org_users.json" if layout == "grid" else "users.json"])
    known = {user["id"] for user in truth["user"] if not user["placeholder"]}
    assert {user["id"] for user in users} == known | {"USLACKBOT"}


ROOM_LISTS = ("channels.json", "groups.json", "dms.json", "mpims.json", "file_conversations.json")


def test_every_subtype_occurs(large: tuple[dict[str, bytes], dict[str, list[Json]]]) -> None:
    found = Counter(element.get("subtype", "") for element in elements(large[0]))
    assert set(found) - {""} == SUBTYPES


def test_the_truth_tells_of_every_element(large: tuple[dict[str, bytes], dict[str, list[Json]]]) -> None:
    files, truth = large
    skipped = {(line["file"], line["position"]) for line in truth["skipped"]}
    kept = Counter(
        element["ts"].replace(".", "-")
        for path, day in day_files(files)
        for position, element in enumerate(day)
        if (path, f"$[{position}]") not in skipped
    )
    assert kept == Counter(message["id"].split("-", 2)[2] for message in truth["message"])


def test_times_rise_within_a_room(large: tuple[dict[str, bytes], dict[str, list[Json]]]) -> None:
    """Messages of one millisecond are moved apart."""
    last: dict[str, int] = defaultdict(int)
    moved = 0
    for message in large[1]["message"]:
        own = int(message["id"].split("-", 2)[2].replace("-", "")) // 1000
        assert message["ts"] == max(own, last[message["room"]] + 1)
        moved += message["ts"] != own
        last[message["room"]] = message["ts"]
    assert moved > 50


def test_threads_are_whole(large: tuple[dict[str, bytes], dict[str, list[Json]]]) -> None:
    replies: dict[str, list[Json]] = defaultdict(list)
    for message in large[1]["message"]:
        replies[message["thread"]].append(message)
    roots = {message["id"]: message for message in replies.pop("")}
    assert replies.keys() == {id for id, root in roots.items() if root["reply_count"]}
    for id, thread in replies.items():
        assert roots[id]["reply_count"] == len(thread)
        assert set(roots[id]["repliers"]) == {reply["author"] for reply in thread}


def test_plain_means_words_and_threads(tmp_path: Path) -> None:
    files, _ = generate(tmp_path, Shape(users=8, channels=3, messages=500, features=False))
    fields = {field for element in elements(files) for field in element}
    assert fields & {"subtype", "blocks", "reactions", "files", "edited", "bot_id"} == set()
    assert "thread_ts" in fields


WHOLE_ARCHIVE = (
    "users-json-not-json",
    "users-json-not-list",
    "users-json-missing",
    "channels-json-missing",
    "txt-export",
)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Json]]:
    return generate(tmp_path_factory.mktemp("good"), SMALL)[1]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_leaves_the_rest_intact(tmp_path: Path, good: dict[str, list[Json]], fault: str) -> None:
    _, truth = generate(tmp_path, SMALL, faults=[fault])
    assert [line["name"] for line in truth["fault"]] == [fault]
    totals = truth["totals"][0]
    assert totals["elements"] == totals["messages"] + totals["skipped"] + totals["optional"]
    if fault not in WHOLE_ARCHIVE:
        assert all(message in truth["message"] for message in good["message"])
        assert all(
            room in truth["room"] for room in good["room"][1:]
        )  # the first, #general, can gain a member


def test_faults_can_come_together(tmp_path: Path) -> None:
    _, truth = generate(tmp_path, SMALL, faults=[name for name in FAULTS if name not in WHOLE_ARCHIVE])
    ids = [message["id"] for message in truth["message"]]
    assert len(ids) == len(set(ids))


def test_an_unknown_fault_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such fault: gremlins"):
        write_export(tmp_path / "export.zip", SMALL, faults=["gremlins"])


def test_the_example_is_the_generators(tmp_path: Path) -> None:
    main([str(tmp_path / "export.zip"), "--users=8", "--channels=6", "--messages=220", "--seed=1"])
    example = read_zip(SLACK_EXAMPLE)
    assert SLACK_EXAMPLE.stat().st_size < 60_000
    assert example == read_zip(tmp_path / "export.zip")
    assert {element["subtype"] for element in elements(example) if "subtype" in element} == SUBTYPES


_PEAK = """
import sys
from pathlib import Path
from testdata.slack_export import main
target, messages = sys.argv[1:]
main([target, f"--truth={target}.jsonl", "--users=50", "--channels=10", f"--messages={messages}"])
print(*(line.split()[1] for line in Path("/proc/self/status").open() if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="reads the peak from /proc, as Linux has it"
)
def test_memory_does_not_grow_with_the_export(tmp_path: Path) -> None:
    def peak(messages: int) -> int:
        command = [sys.executable, "-c", _PEAK, str(tmp_path / "export.zip"), str(messages)]
        return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout) >> 10

    assert peak(80_000) < min(150, peak(10_000) + 20)


def test_the_oracle_knows_nothing_of_chatferry() -> None:
    sources = list((ROOT / "testdata").glob("*.py"))
    assert sources and not any("chatferry" in source.read_text() for source in sources)
