"""How fast a Slack export is imported, and with how much memory.

Run: make bench, or python -m benchmarks.import_slack [--messages N] [--runs N] [--large N]

The import is the command line's, a process of its own, into an embedded workspace. Its time is compared with
a floor that nobody can avoid, measured in the same run: unzip and decode every day file once into typed
structs, then write the finished documents with bare executemany into the same table with the same indexes and
settings. The ratio is floor / import: 1.0 would be an import that costs nothing of its own.
"""

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

from chatferry.destinations.sqlite import SqliteDestination, connected
from chatferry.importers.lenient_json import decode_list
from chatferry.importers.slack_wire import SlackMessage
from testdata.slack_export import Shape, write_export

CHUNK = 10_000  # documents per executemany
COLUMNS = "_id, rid, ts, tmid, digest, doc"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--large", type=int, default=1_000_000, help="messages of the memory check, 0: none")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chatferry-bench-") as folder:
        peak = speed(Path(folder), options.messages, options.runs)
        if options.large:
            memory(Path(folder), options.large, peak, options.messages)


def speed(folder: Path, messages: int, runs: int) -> float:
    """Print speed and ratio of an import; returns its peak memory in MiB."""
    export = generated(folder, messages)
    reports, ratios, floors = [], [], []
    for run in range(runs):
        data = folder / f"data-{run}"
        report = imported(export, data)
        decode, write = floor(export, data / "workspace.sqlite3", folder / f"floor-{run}.sqlite3")
        reports.append(report)
        floors.append((decode, write))
        ratios.append((decode + write) / report["wall"])
    wall = statistics.median(report["wall"] for report in reports)
    peak = max(report["peakMemoryMiB"] for report in reports)
    decode, write = (statistics.median(times) for times in zip(*floors, strict=True))
    print(f"{messages:,} messages, {export.stat().st_size / 1e6:.1f} MB zip, median of {runs} runs")
    print(f"import          {wall:8.2f} s   {messages / wall:10,.0f} messages/s (process start included)")
    print(f"floor           {decode + write:8.2f} s   (decode {decode:.2f} s + write {write:.2f} s)")
    each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    print(f"ratio           {statistics.median(ratios):8.2f}     (runs: {each})")
    print(f"peak memory     {peak:8.0f} MiB")
    return float(peak)


def memory(folder: Path, messages: int, small_peak: float, small: int) -> None:
    """Print the peak memory of a large import beside that of the small one."""
    report = imported(generated(folder, messages), folder / "data-large")
    peak = report["peakMemoryMiB"]
    wall = report["wall"]
    print(f"{messages:,} messages")
    print(f"import          {wall:8.2f} s   {messages / wall:10,.0f} messages/s")
    print(f"peak memory     {peak:8.0f} MiB   {peak / small_peak:.2f} times that of {small:,} messages")


def generated(folder: Path, messages: int) -> Path:
    export = folder / f"export-{messages}.zip"
    write_export(
        export, Shape(users=200, channels=40, messages=messages, seed=7, days=None, layout="corporate")
    )
    return export


def imported(export: Path, data: Path, *options: str) -> dict[str, Any]:
    """Import with the command line; its report, with the wall time of the whole process."""
    command = [
        sys.executable,
        "-m",
        "chatferry",
        "import",
        "slack",
        str(export),
        "--data",
        str(data),
        "--json",
        *options,
    ]
    # Installed programs have their byte code cached; a setting that forbids it would be measured instead.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    wall = time.perf_counter() - began
    if done.returncode not in (0, 3):
        raise SystemExit(f"the import failed: {done.stderr}")
    return {**json.loads(done.stdout), "wall": wall}


def floor(export: Path, workspace: Path, target: Path) -> tuple[float, float]:
    """Seconds to unzip and decode every day file, and to write the finished documents."""
    began = time.perf_counter()
    with zipfile.ZipFile(export) as archive:
        for name in archive.namelist():
            if "/" in name and name.endswith(".json"):
                decode_list(archive.read(name), SlackMessage)
    decoded = time.perf_counter() - began
    return decoded, write_floor(workspace, target)


def write_floor(workspace: Path, target: Path) -> float:
    source = sqlite3.connect(workspace)
    SqliteDestination(target).close()  # makes the tables and indexes
    sink = connected(target)
    rows = source.execute(f"SELECT {COLUMNS} FROM rocketchat_message ORDER BY rowid")
    sql = f"INSERT OR IGNORE INTO rocketchat_message ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"
    seconds = 0.0
    while chunk := rows.fetchmany(CHUNK):
        began = time.perf_counter()
        sink.execute("BEGIN IMMEDIATE")
        sink.executemany(sql, chunk)
        sink.execute("COMMIT")
        seconds += time.perf_counter() - began
    source.close()
    sink.close()
    return seconds


if __name__ == "__main__":
    main()
