"""Calls that only look something up are answered while an import writes and other calls wait for that."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.serving import ADMIN, PASSWORD, PATIENCE, login, run_import, serving

ASKED = [
    "getImportProgress",
    "getLatestImportOperations",
    "getCurrentImportOperation",
    "import.status",
    "getImportFileData",
]


@pytest.mark.parametrize(
    ("database", "endpoint", "body"),
    [
        ("workspace.sqlite3", "login", {"user": ADMIN, "password": PASSWORD}),
        ("store.sqlite3", "import.new", None),
    ],
)
def test_a_call_that_waits_to_write_keeps_no_other_waiting(
    tmp_path: Path, database: str, endpoint: str, body: Any
) -> None:
    with serving(tmp_path) as server, login(server) as http, ThreadPoolExecutor(1) as threads:
        run_import(http)
        before = [http.get(asked).json() for asked in ASKED]
        with closing(sqlite3.connect(tmp_path / database, isolation_level=None)) as import_:
            import_.execute("BEGIN IMMEDIATE")
            waiting = threads.submit(http.post, endpoint, json=body)
            for _ in range(20):  # after some of them the other call has come so far that it waits
                assert [http.get(asked, timeout=10).json() for asked in ASKED] == before
            assert not waiting.done()
        assert waiting.result(PATIENCE).status_code == 200
