"""How fast a Slack export is imported into MongoDB, and with how much memory.

Run: make bench, or python -m benchmarks.import_mongodb [--messages N] [--runs N] [--workers N ...]
     [--without-indexes]

The import is the command line's, a process of its own, into a replica set of one member that is started for
it on this machine. Rocket.Chat's 26 indexes of messages are there before. Its time is compared with a floor
that nobody can avoid, measured in the same run on the same server: bare unordered insert_many of the finished
documents, 1,000 at a time, over as many connections as the import has, into a collection with the same
indexes and the same write concern. The ratio is floor / import: 1.0 would be an import that costs nothing of
its own.
"""

import argparse
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient, WriteConcern

from benchmarks.import_slack import generated, imported, print_speed
from chatferry import accounts
from chatferry.destinations import open_destination
from chatferry.documents import MESSAGES, Date
from chatferry.pipeline import now
from tests.mongo import Mongod, make_indexes

CHUNK = 1000  # documents per insert_many
SAFE = WriteConcern("majority", j=True)  # what the destination takes unless its URL says


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2], help="numbers of processes")
    parser.add_argument("--without-indexes", action="store_true", help="without Rocket.Chat's indexes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chatferry-bench-") as folder:
        server = Mongod(Path(folder) / "mongod")
        server.start()
        export = generated(Path(folder), options.messages)
        indexes = "no indexes" if options.without_indexes else "Rocket.Chat's indexes"
        print(f"{options.messages:,} messages into MongoDB with {indexes}, median of {options.runs} runs")
        try:
            for workers in options.workers:
                speed(server, export, Path(folder) / str(workers), workers, options)
        finally:
            server.stop()


def speed(server: Mongod, export: Path, folder: Path, workers: int, options: argparse.Namespace) -> None:
    """Print speed, memory and ratio of an import."""
    reports, floors = [], []
    with server.client() as client:
        for run in range(options.runs):
            _prepare(client, "imported", not options.without_indexes)
            where = server.database_url("imported")
            _found(where)
            reports.append(imported(export, folder / str(run), workers, "--destination", where))
            _prepare(client, "floor", not options.without_indexes)
            floors.append(floor(client, max(workers, 1)))
    print_floor(options.messages, workers, floors)
    print_speed(workers, options.messages, reports, floors)


def print_floor(messages: int, workers: int, floors: list[float]) -> None:
    least, connections = statistics.median(floors), max(workers, 1)
    speed = f"{messages / least:8,.0f} messages/s, {connections} connections"
    print(f"floor                {least:8.2f} s   {speed}")


def _prepare(client: "MongoClient[dict[str, Any]]", name: str, with_indexes: bool) -> None:
    """An empty database, which only has the indexes of messages."""
    client.drop_database(name)
    client[name].create_collection(MESSAGES)
    if with_indexes:
        make_indexes(client[name], MESSAGES)


def _found(where: str) -> None:
    """An administrator, as a Rocket.Chat server's database has one: chatferry makes none there."""
    workspace = open_destination(where)
    accounts.add_admin(workspace, "admin", "admin", "secret", "", Date.at(now()))
    workspace.close()


def floor(client: "MongoClient[dict[str, Any]]", connections: int) -> float:
    """Seconds to write the messages of the import once more, in the same order."""
    raw: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)
    source = client["imported"].get_collection(MESSAGES, raw).find().sort("$natural", 1)
    sink = client["floor"].get_collection(MESSAGES, raw, write_concern=SAFE)
    seconds = 0.0
    with ThreadPoolExecutor(connections) as pool:
        while chunks := [chunk for _ in range(4 * connections) if (chunk := list(islice(source, CHUNK)))]:
            began = time.perf_counter()
            list(pool.map(lambda chunk: sink.insert_many(chunk, ordered=False), chunks))
            seconds += time.perf_counter() - began
    return seconds


if __name__ == "__main__":
    main()
