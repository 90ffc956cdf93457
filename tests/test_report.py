"""The report as text: the same object, whatever there is to be told."""

import json
from pathlib import Path
from typing import Any

import pytest

from chatferry import report
from tests.importing import import_archive, write_folder

ALICE = {"id": "U0ALICE01", "name": "alice", "profile": {"email": "alice@example.org"}}
PLANS = {"id": "C0PLANS01", "name": "plans", "creator": "U0ALICE01", "members": ["U0ALICE01"]}
HELLO = {"type": "message", "user": "U0ALICE01", "text": "hello", "ts": "1600000200.000100"}


@pytest.mark.parametrize("flaws", [[], [7], [7, "größer", {"ts": '"quoted"\nline'}]])
def test_in_pieces_it_says_the_same(tmp_path: Path, flaws: list[Any]) -> None:
    files = {"users.json": [ALICE], "channels.json": [PLANS], "plans/2020-09-13.json": [HELLO, *flaws]}
    imported = import_archive(write_folder(tmp_path / "export", files))
    text = "".join(report.as_text(imported.operation, imported.store))
    assert list(json.loads(text).items()) == list(imported.report.items())
    assert len(imported.report["problems"]) == len(flaws)
    assert text == json.dumps(json.loads(text), ensure_ascii=False, indent=2) + "\n"
