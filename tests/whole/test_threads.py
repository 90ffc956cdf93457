"""Threads that cross day files, parts, batches and processes: what their first messages say."""

from pathlib import Path
from typing import Any

import pytest

from chatferry.documents import MESSAGES, Document
from chatferry.operations import Choice, Selection
from chatferry.settings import Settings
from tests.support.importing import ALL, Imported, import_archive, write_folder

USERS = [f"U0USER{number:03}" for number in range(6)]
DAYS, PER_DAY = 6, 2000
BASE = 1_600_000_000
NOT_ANN = Selection(Choice(list=frozenset(USERS[1:])), ALL.channels, ALL.contacts)


def ts(day: int, number: int) -> str:
    return f"{BASE + day * 86_400 + number}.000100"


def message(day: int, number: int) -> dict[str, Any]:
    """Every tenth message opens a thread; the four after it reply to others, of that day and of days before.

    First messages claim what is not so, and those of every seventh thread are missing.
    """
    found: dict[str, Any] = {
        "type": "message",
        "user": USERS[(number // 10 + number) % len(USERS)],
        "text": f"{day}/{number}",
        "ts": ts(day, number),
    }
    if number % 10 == 0:
        return found | {"thread_ts": found["ts"], "reply_count": 99, "reply_users": [USERS[5], "U0NOBODY1"]}
    if number % 10 < 5:
        root_day = max(0, day - number % 3)
        return found | {"thread_ts": ts(root_day, (number * 7) // 10 % (PER_DAY // 10) * 10)}
    return found


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = ["ann", "bea", "cem", "dan", "eve", "fay"]
    files: dict[str, Any] = {
        "users.json": [
            {"id": id, "name": name, "profile": {"email": f"{name}@example.org"}}
            for id, name in zip(USERS, names, strict=True)
        ],
        "channels.json": [{"id": "C0PLANS01", "name": "plans", "creator": USERS[1], "members": USERS}],
    }
    for day in range(DAYS):
        messages = [message(day, number) for number in range(PER_DAY) if number % 70]
        files[f"plans/2020-09-{13 + day}.json"] = messages
    return write_folder(tmp_path_factory.mktemp("threads"), files)


def imported(export: Path, workers: int = 0, selection: Selection = ALL) -> Imported:
    return import_archive(export, selection=selection, settings=Settings(data=export.parent, workers=workers))


def threads(messages: list[Document]) -> dict[str, Any]:
    """Return the threads as their replies describe them."""
    found: dict[str, Any] = {}
    for reply in messages:
        if root := reply.get("tmid"):
            count, last, people = found.get(root, (0, 0, frozenset()))
            found[root] = count + 1, max(last, reply["ts"].ms), people | {reply["u"]["_id"]}
    return found


def claims(messages: list[Document]) -> dict[str, Any]:
    """Return the threads as their first messages describe them."""
    return {
        root["_id"]: (root["tcount"], root["tlm"].ms, frozenset(root["replies"]))
        for root in messages
        if "tcount" in root
    }


@pytest.mark.parametrize("workers", [0, 2])
def test_first_messages_describe_the_imported_thread(export: Path, workers: int) -> None:
    messages = imported(export, workers).documents(MESSAGES)
    assert len(threads(messages)) > 1000
    assert claims(messages) == threads(messages)


def test_a_first_message_whose_author_was_not_selected_leaves_a_placeholder(export: Path) -> None:
    found = imported(export, selection=NOT_ANN)
    messages = found.documents(MESSAGES)
    assert claims(messages) == threads(messages)
    ids = {message["_id"] for message in messages}
    assert threads(messages).keys() <= ids
    left_out = [
        message for message in messages if message.get("t") == "rm" and message["u"]["_id"] == "rocket.cat"
    ]
    noted = {"thread-root-left-out", "thread-without-root"}
    told = [one for one in found.report["problems"] if one["kind"] in noted]
    assert len(left_out) == len(told) > 200
    assert all(message["msg"] == "" for message in left_out)
    again = import_archive(export, found.destination, found.store)
    assert again.report["messages"]["updated"] > 0, "the placeholders become what they stand for"
    assert claims(again.documents(MESSAGES)) == threads(again.documents(MESSAGES))
    whole = {message["_id"]: message for message in imported(export).documents(MESSAGES)}
    assert {m["_id"]: m["msg"] for m in again.documents(MESSAGES)} == {
        id: m["msg"] for id, m in whole.items()
    }
