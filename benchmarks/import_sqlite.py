"""How fast a Slack export is imported into an embedded workspace, and with how much memory.

The import is the command line's, a process of its own: into an empty workspace (first), the same once more
(again), and an export with 1 % more messages into what is there then (top-up). The floor inflates and decodes
every day file once, and writes the finished messages with bare executemany into a table with the same indexes
and settings. See docs/performance.md.
"""

import os
import shutil
from pathlib import Path

from benchmarks.floors import Floor, sqlite_floor
from benchmarks.measuring import apart
from benchmarks.reports import print_json
from benchmarks.suite import measure_all, parser
from chatferry.pipeline.parallel.processes import cores


def main() -> None:
    options = parser(__doc__ or "", sorted({0, 1, cores()})).parse_args()
    reports = measure_all(options, Sqlite)
    if options.json:
        print_json(reports)


class Sqlite:
    title = "SQLite"

    def __init__(self, folder: Path) -> None:
        self._kept = folder / "kept.sqlite3"
        self._messages = 0
        self._floor = folder / "floor"

    def connections(self, workers: int) -> int:
        return 1

    def empty(self, data: Path) -> list[str]:
        return []

    def keep(self, data: Path, messages: int) -> None:
        self._messages = messages
        (data / "workspace.sqlite3").rename(self._kept)

    def floor(self, export: Path, connections: int) -> Floor:
        self.settle()
        found = apart(sqlite_floor, export, self._kept, self._messages, self._floor / "workspace.sqlite3")
        shutil.rmtree(self._floor)
        return found

    def settle(self) -> None:
        os.sync()


if __name__ == "__main__":
    main()
