"""How quickly the API answers while an import runs.

Run: make bench, or python -m benchmarks.api_latency [--messages N] [--operations N] [--runs N] [--rate N]
     [--workers N|default ...] [--mongodb]

A real `chatferry serve` whose history holds 10,000 finished operations is asked what a page of an
administrator asks for, one call after the other over one connection, first while it has nothing to do and
then while it reads and imports an export. The floor is an endpoint that reads nothing, /api/info, asked in
turn with the others. Times are those of the client, which has to share the cores with the import.
"""

import argparse
import shutil
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, repeat
from pathlib import Path

import httpx

from benchmarks.exports import export as generated
from benchmarks.suite import CACHE
from chatferry import accounts
from chatferry.clock import now
from chatferry.destinations import open_destination
from chatferry.documents import MESSAGES, Date
from chatferry.operations import ENDS, Choice, Counts, Operation, Selection, Status
from chatferry.problems import problem
from chatferry.records import Channel, Outcome, Part, User
from chatferry.store import Store, problems
from chatferry.store.staging import Result
from tests.support.mongo import Mongod, make_indexes
from tests.support.serving import ADMIN, EMAIL, PASSWORD, login, serving

FLOOR = "/api/info"
PROGRESS = "getImportProgress"
ASKED = [
    PROGRESS,
    "getLatestImportOperations",
    "getCurrentImportOperation",
    "import.status",
    "getImportFileData",
    FLOOR,
]
IDLE = 12.0  # seconds
PATIENCE = 900.0  # seconds until a run gives up
EVERYTHING = {"input": {"users": {"all": True}, "channels": {"all": True}}}

Times = dict[str, dict[str, list[float]]]
"""Milliseconds, by phase and endpoint."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--operations", type=int, default=10_000, help="that are in the history")
    parser.add_argument("--selected", type=int, default=500, help="users that each of them had selected")
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--rate", type=float, default=50, help="calls in a second")
    parser.add_argument("--workers", nargs="+", default=["0", "default"], help="numbers of processes")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where exports are kept: %(default)s")
    parser.add_argument("--mongodb", action="store_true", help="into a MongoDB that is started for it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chatferry-bench-") as name:
        folder = Path(name)
        export = generated(options.cache.resolve(), "usual", options.messages)
        write_history(folder / "store.sqlite3", options.operations, options.selected)
        with _destinations(folder, options.mongodb) as destinations:
            for workers in options.workers:
                times: Times = defaultdict(lambda: defaultdict(list))
                for _ in range(options.runs):
                    measure(folder, export, workers, next(destinations), 1 / options.rate, times)
                print_times(workers, times)


@contextmanager
def _destinations(folder: Path, with_mongodb: bool) -> Iterator[Iterator[str]]:
    """What servers are started with, one for each run: "" for the embedded workspace."""
    if not with_mongodb:
        yield repeat("")
        return
    server = Mongod(folder / "mongod")
    server.start()
    try:
        yield (_found(server, f"run{number}") for number in count())
    finally:
        server.stop()


def _found(server: Mongod, database: str) -> str:
    """The address of a database as a Rocket.Chat server's is: with an administrator, and with its indexes."""
    with server.client() as client:
        make_indexes(client[database], MESSAGES)
    where = server.database_url(database)
    workspace = open_destination(where)
    accounts.found_workspace(workspace, Date.at(now()))
    accounts.add_admin(workspace, "admin", ADMIN, PASSWORD, EMAIL, Date.at(now()))
    workspace.close()
    return where


# ---------------------------------------------------------------- a history


def write_history(path: Path, operations: int, selected: int) -> None:
    """A store with finished operations, and with what each of them leaves there."""
    began = now() - operations * 60_000
    selection = Selection(
        users=Choice(list=frozenset(f"U{number:08}" for number in range(selected))),
        channels=Choice(list=frozenset(f"C{number:08}" for number in range(40))),
    )
    with Store(path) as store, store.transaction():
        for number in range(operations):
            store.operations.add(_operation(number, began + number * 60_000, selection))
            _leave(store, f"operation{number:08}")


def _operation(number: int, ts: int, selection: Selection) -> Operation:
    return Operation(
        id=f"operation{number:08}",
        type="Slack",
        importer_key="slack",
        ts=ts,
        status=Status.DONE,
        valid=False,
        user="administrator0000",
        updated_at=ts + 50_000,
        file="2023010203_administrator0000_export of our workspace.zip",
        content_type="application/zip",
        count=Counts(total=1000, completed=998, error=2, users=20, channels=5, messages=975),
        archive=f"/var/lib/chatferry/uploads/operation{number:08}",
        fingerprint="5f" * 32,
        selection=selection,
        starter="administrator0000",
        seconds=12.5,
        peak_memory=100.0,
    )


def _leave(store: Store, id: str) -> None:
    users = [User(id=f"U{n:08}", username=f"person{n}", name=f"Person {n}") for n in range(20)]
    channels = [Channel(id=f"C{n:08}", type="c", name=f"channel{n}") for n in range(5)]
    store.staging.add(id, enumerate([*users, *channels]))
    store.staging.decide(id, "user", [Result(n, Outcome.INSERTED) for n in range(20)])
    store.staging.decide(id, "channel", [Result(n, Outcome.INSERTED) for n in range(20, 25)])
    parts = [(n, Part(channel=f"C{n - 25:08}", messages=195)) for n in range(25, 30)]
    store.parts.add(id, parts)
    for n, _ in parts:
        store.parts.finish(id, {n: {"message": {Outcome.INSERTED: 195}}})
    note = problem("message-twice", "another message has the same identity", file="general/2023-01-02.json")
    store.problems.add(id, problems.PARTS + 25, [note, note])


# ---------------------------------------------------------------- asking


def measure(folder: Path, export: Path, workers: str, destination: str, pause: float, times: Times) -> None:
    """Add to the times those of a server of its own, idle and at work."""
    data = folder / "data"
    data.mkdir()
    shutil.copy(folder / "store.sqlite3", data)
    options = ["--workers", workers] if workers != "default" else []
    destination = destination or f"sqlite:{data / 'workspace.sqlite3'}"
    open_destination(destination).close()  # a history without its workspace would be refused
    options += ["--destination", destination]
    folders = {"CHATFERRY_IMPORT_DIRS": str(export.parent)}
    with (
        serving(data, *options, **folders, CHATFERRY_RATE_LIMIT="on") as server,
        login(server) as http,
    ):
        ask_while_idle(http, pause, times)
        ask_during_import(http, export, pause, times)
        server.stop()
    shutil.rmtree(data)


def ask_while_idle(http: httpx.Client, pause: float, times: Times) -> None:
    end = time.perf_counter() + IDLE
    for endpoint in _in_turn(pause, end):
        times["idle"][endpoint].append(_asked(http, endpoint)[0])


def ask_during_import(http: httpx.Client, export: Path, pause: float, times: Times) -> None:
    given = {"importerKey": "slack", "fileUrl": str(export)}
    http.post("downloadPublicImportFile", json=given).raise_for_status()
    status = Status.FILE_LOADED
    for endpoint in _in_turn(pause, time.perf_counter() + PATIENCE):
        taken, answer = _asked(http, endpoint)
        phase = "importing" if "_importing" in status or status == Status.FINISHING else "reading"
        times[phase][endpoint].append(taken)
        if endpoint == PROGRESS:
            status = Status(answer.json()["step"])
        if status in ENDS:
            break
        if status == Status.SELECTION:
            http.post("startImport", json=EVERYTHING).raise_for_status()
            status = Status.IMPORTING
    if status != Status.DONE:
        raise SystemExit(f"the import is at {status}: {http.get('getImportFileData').text}")


def _in_turn(pause: float, end: float) -> Iterator[str]:
    """The endpoints, one by one and again; the next no sooner than `pause` seconds after the one before."""
    while True:
        for endpoint in ASKED:
            began = time.perf_counter()
            if began >= end:
                return
            yield endpoint
            time.sleep(max(0.0, pause - (time.perf_counter() - began)))


def _asked(http: httpx.Client, endpoint: str) -> tuple[float, httpx.Response]:
    """Milliseconds until the answer is there, and the answer."""
    url = http.base_url.copy_with(path=FLOOR) if endpoint == FLOOR else endpoint
    began = time.perf_counter()
    answer = http.get(url)
    return (time.perf_counter() - began) * 1000, answer


def print_times(workers: str, times: Times) -> None:
    for phase, of_endpoints in times.items():
        print(f"\n{phase}, --workers {workers}{'calls':>20}{'median':>9}{'p99':>9}{'most':>9}  ms")
        for endpoint in ASKED:
            taken = of_endpoints[endpoint]
            if len(taken) > 1:
                print(_line(endpoint, taken))
        theirs = [one for endpoint in ASKED[:-1] for one in of_endpoints[endpoint]]
        print(_line("all but the floor", theirs))


def _line(name: str, taken: list[float]) -> str:
    p99 = statistics.quantiles(taken, n=100, method="inclusive")[98]
    return f"{name:30}{len(taken):>10}{statistics.median(taken):9.1f}{p99:9.1f}{max(taken):9.1f}"


if __name__ == "__main__":
    main()
