"""How fast a Slack export is imported into MongoDB, and with how much memory.

Run: make bench, or python -m benchmarks.import_mongodb [--messages N] [--runs N] [--without-indexes]

The import is the command line's, a process of its own, into a replica set of one member that is started for
it on this machine. Rocket.Chat's 26 indexes of messages are there before. Its time is compared with a floor
that nobody can avoid, measured in the same run on the same server: bare unordered insert_many of the finished
documents, 1,000 at a time, over one connection, into a collection with the same indexes and the same write
concern. The ratio is floor / import: 1.0 would be an import that costs nothing of its own.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient, WriteConcern

from benchmarks.import_slack import generated, imported
from chatferry.documents import MESSAGES
from tests.mongo import Mongod, make_indexes

CHUNK = 1000  # documents per insert_many
SAFE = WriteConcern("majority", j=True)  # what the destination takes unless its URL says


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--without-indexes", action="store_true", help="without Rocket.Chat's indexes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chatferry-bench-") as folder:
        server = Mongod(Path(folder) / "mongod")
        server.start()
        try:
            speed(server, Path(folder), options.messages, options.runs, not options.without_indexes)
        finally:
            server.stop()


def speed(server: Mongod, folder: Path, messages: int, runs: int, with_indexes: bool) -> None:
    """Print speed, memory and ratio of an import."""
    export = generated(folder, messages)
    reports, floors = [], []
    with server.client() as client:
        for run in range(runs):
            _prepare(client, "imported", with_indexes)
            reports.append(_imported(server, export, folder / f"data-{run}"))
            _prepare(client, "floor", with_indexes)
            floors.append(floor(client))
    ratios = [seconds / report["wall"] for report, seconds in zip(reports, floors, strict=True)]
    wall, least = statistics.median(report["wall"] for report in reports), statistics.median(floors)
    peak = max(report["peakMemoryMiB"] for report in reports)
    indexes = "Rocket.Chat's indexes" if with_indexes else "no indexes"
    print(f"{messages:,} messages into MongoDB with {indexes}, median of {runs} runs")
    print(f"import          {wall:8.2f} s   {messages / wall:10,.0f} messages/s (process start included)")
    print(f"floor           {least:8.2f} s   {messages / least:10,.0f} messages/s (insert_many alone)")
    each = f"{min(ratios):.2f} / {statistics.median(ratios):.2f} / {max(ratios):.2f}"
    print(f"ratio           {each} (min / median / max)")
    print(f"peak memory     {peak:8.0f} MiB (of chatferry)")


def _prepare(client: "MongoClient[dict[str, Any]]", name: str, with_indexes: bool) -> None:
    """An empty database, which only has the indexes of messages."""
    client.drop_database(name)
    client[name].create_collection(MESSAGES)
    if with_indexes:
        make_indexes(client[name], MESSAGES)


def _imported(server: Mongod, export: Path, data: Path) -> dict[str, Any]:
    return imported(export, data, "--destination", server.database_url("imported"))


def floor(client: "MongoClient[dict[str, Any]]") -> float:
    """Seconds to write the messages of the import once more, in the same order."""
    raw: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)
    source = client["imported"].get_collection(MESSAGES, raw).find().sort("$natural", 1)
    sink = client["floor"].get_collection(MESSAGES, raw, write_concern=SAFE)
    seconds = 0.0
    while chunk := [document for _, document in zip(range(CHUNK), source, strict=False)]:
        began = time.perf_counter()
        sink.insert_many(chunk, ordered=False)
        seconds += time.perf_counter() - began
    return seconds


if __name__ == "__main__":
    main()
