"""The benchmarks run, and print every figure that they are there for. How fast anything is is not tested."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from benchmarks.exports import export
from benchmarks.floors import decode_day_files
from benchmarks.import_mongodb import IMPORTED, Mongo
from benchmarks.reports import print_table, spread
from chatferry.documents import MESSAGES
from tests.support.mongo import Mongod
from tests.support.paths import ROOT

FIGURE = re.compile(r"[\d,]+(\.\d+)?( \([\d,.]+ to [\d,.]+\))?")
COSTS = 7
PHASES = 7
KINDS = ("first", "again", "top-up")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


def benchmark(name: str, *options: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *map(str, options)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def figures(printed: str, label: str) -> list[int]:
    """How many figures each row of this label has. There is nothing else in it."""
    rows = [re.split(r" {2,}", line.strip()) for line in printed.splitlines()]
    found = [row[1:] for row in rows if row[0] == label]
    assert all(FIGURE.fullmatch(cell) for row in found for cell in row), found
    return [len(row) for row in found]


def test_imports_into_the_embedded_workspace_are_measured(cache: Path) -> None:
    printed = benchmark(
        "import_sqlite", "--messages", "500", "--runs", "2", "--workers", "0", "--cache", cache
    )
    assert "SQLite, usual: 500 messages" in printed
    assert "of 2 runs" in printed
    for kind in KINDS:
        assert figures(printed, f"{kind}, 0 workers") == [COSTS, PHASES]
    for label in ("floor, 1 at once", "decode", "write"):
        assert figures(printed, label) == [3]
    assert {path.suffix for path in cache.iterdir()} == {".zip"}, "work is cleared away"


@pytest.mark.parametrize(("indexes", "title"), [("all", ""), ("text-last", ", that of texts built last")])
def test_imports_into_mongodb_are_measured(cache: Path, mongod: Mongod, indexes: str, title: str) -> None:
    printed = benchmark(
        *("import_mongodb", "--messages", "500", "--runs", "1", "--workers", "0", "--first-only"),
        *("--cache", cache, "--server", mongod.url, "--indexes", indexes),
    )
    assert f"MongoDB with Rocket.Chat's 26 indexes{title}, usual" in printed
    assert figures(printed, "first, 0 workers") == [COSTS, PHASES]
    assert figures(printed, "floor, 1 at once") == [3]


@pytest.mark.parametrize(
    ("indexes", "has_indexes", "is_last"),
    [("none", False, False), ("all", True, False), ("text-last", True, True)],
)
def test_imports_into_mongodb_find_what_their_title_says(
    tmp_path: Path, mongod: Mongod, indexes: str, has_indexes: bool, is_last: bool
) -> None:
    options = Mongo(mongod.url, indexes, tmp_path).empty(tmp_path)
    assert ("--text-index-last" in options) is is_last
    with MongoClient[dict[str, Any]](mongod.url) as client:
        found = client[IMPORTED][MESSAGES].index_information()
    assert any("textIndexVersion" in index for index in found.values()) is has_indexes


def test_the_api_is_measured(cache: Path) -> None:
    printed = benchmark(
        *("api_latency", "--messages", "500", "--operations", "20", "--runs", "1", "--workers", "0"),
        *("--cache", cache),
    )
    for endpoint in (
        "getImportProgress",
        "getLatestImportOperations",
        "getCurrentImportOperation",
        "/api/info",
    ):
        assert endpoint in printed


def test_every_run_can_be_had_as_json(cache: Path) -> None:
    options = ("--messages", "500", "--runs", "1", "--workers", "1", "--shape", "one-file", "--json")
    (report,) = json.loads(benchmark("import_sqlite", *options, "--cache", cache))
    assert (report["destination"], report["shape"], report["messages"]) == ("SQLite", "one-file", 500)
    assert [imports["kind"] for imports in report["imports"]] == list(KINDS)
    first, again, top_up = (imports["runs"][0] for imports in report["imports"])
    assert first["messages"]["inserted"] == again["messages"]["unchanged"] == top_up["messages"]["unchanged"]
    assert again["messages"]["inserted"] == 0 < top_up["messages"]["inserted"] <= 5
    assert first["peakMemory"] > 1.5 * first["largestProcess"] > 0, "there are two processes"
    assert_phases_are_the_whole(first)
    assert set(report["floors"][0]["runs"][0]) == {"decode", "write"}


def assert_phases_are_the_whole(measured: dict[str, Any]) -> None:
    assert all(seconds > 0 for seconds in measured["phases"].values())
    assert sum(measured["phases"].values()) == pytest.approx(measured["seconds"])


def test_the_floor_decodes_all_of_a_large_day_file(cache: Path) -> None:
    assert decode_day_files(export(cache, "one-file", 10_000)) == 10_000


def test_a_table_is_aligned_and_spreads_are_short(capsys: pytest.CaptureFixture[str]) -> None:
    assert spread([3, 1, 2], ".1f") == "2.0 (1.0 to 3.0)"
    assert spread([1.01, 1.02], ".1f") == "1.0"
    print_table([("", "a", "bbb"), ("long", "1"), ("x", "22", "3")])
    assert capsys.readouterr().out.splitlines() == ["      a   bbb", "long  1", "x     22  3", ""]
