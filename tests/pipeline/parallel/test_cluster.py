"""Imports by the workers of a real cluster: the same documents as in one process, despite faults."""

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import xxhash
from bson.raw_bson import RawBSONDocument
from distributed import Client
from msgspec.structs import replace

from chatferry import accounts
from chatferry.clock import now
from chatferry.destinations import Destination, is_server, open_destination
from chatferry.documents import COLLECTIONS, Date
from chatferry.errors import CancelledError
from chatferry.operations import Operation, Status, advance
from chatferry.pipeline.context import Check, Watch
from chatferry.pipeline.operation import run_operation
from chatferry.pipeline.parallel import cluster
from chatferry.settings import Settings
from chatferry.store import Store
from testdata.slack_export import Shape, write_export
from tests.support.clusters import DaskCluster
from tests.support.command_line import chatferry
from tests.support.filehost import hosting, ranges
from tests.support.importing import ALL, Imported, contents, import_archive, new_operation
from tests.support.mongo import Mongod, allow_letters
from tests.support.paths import GOLDEN
from tests.support.serving import PATIENCE

SHAPE = Shape(users=30, channels=8, messages=20_000, seed=5, days=None, layout="corporate")
ELSEWHERE = "99.1"  # another version


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cluster") / "export.zip"
    write_export(path, SHAPE)
    return path


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, export: Path) -> dict[str, Any]:
    """The export imported by one process."""
    data = tmp_path_factory.mktemp("alone")
    return contents(import_archive(export, settings=Settings(data=data, workers=0)))


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """Two workers for tests that leave them alive; one has two threads."""
    talkative = {"DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "debug"}
    with DaskCluster(tmp_path_factory.mktemp("dask"), 1, **talkative) as found:
        found.add_worker("--nthreads", "2")
        yield found


@pytest.fixture
def destination(mongod: Mongod, request: pytest.FixtureRequest) -> Iterator[Destination]:
    opened = workspace(mongod, re.sub(r"\W", "", request.node.name)[-30:])
    yield opened
    opened.close()


def workspace(mongod: Mongod, database: str, login: str = "") -> Destination:
    """A new workspace in MongoDB, with an administrator."""
    if not login:
        allow_letters(mongod, database)
    opened = open_destination(mongod.database_url(database).replace("//", f"//{login}"))
    accounts.found_workspace(opened, Date.at(now()))
    accounts.ensure_admin(opened, {"ADMIN_PASS": "secret"}, Date.at(now()))
    return opened


@pytest.fixture
def with_older_chatferry(tmp_path: Path) -> dict[str, str]:
    """What makes a worker believe that another version of chatferry is installed."""
    told = tmp_path / "elsewhere" / f"chatferry-{ELSEWHERE}.dist-info" / "METADATA"
    told.parent.mkdir(parents=True)
    told.write_text(f"Metadata-Version: 2.1\nName: chatferry\nVersion: {ELSEWHERE}\n")
    return {"PYTHONPATH": os.pathsep.join([str(told.parent.parent), os.environ.get("PYTHONPATH", "")])}


class Import:
    """An import with a cluster, whose messages are next."""

    def __init__(self, archive: Path | str, data: Path, destination: Destination, address: str) -> None:
        self.store = Store()
        self.settings = Settings(data=data, cluster=address)
        self.destination = destination
        operation = replace(new_operation(Path(), destination), archive=str(archive))
        self.store.operations.add(operation)
        operation = run_operation(operation, self.store, destination, self.settings)
        assert operation.status == Status.SELECTION, operation.error
        self.operation = advance(replace(operation, selection=ALL), Status.IMPORTING, now())
        self.store.operations.save(self.operation)

    def run(self, check: Check = lambda: None, watch: Watch = lambda operation: None) -> Operation:
        return run_operation(self.operation, self.store, self.destination, self.settings, check, watch)

    def has_become(self, alone: dict[str, Any]) -> bool:
        """Whether the documents are those of one process. What was written twice counts as unchanged."""
        last = self.store.operations.get(self.operation.id)
        assert last is not None
        assert last.status == Status.DONE, last.error
        found = contents(Imported(last, self.store, self.destination))
        assert sum(found["messages"].values()) == sum(alone["messages"].values())
        assert documents(found) == documents(alone)
        return True


def documents(found: dict[str, Any]) -> dict[str, Any]:
    return {collection: found[collection] for collection in COLLECTIONS}


class Midway:
    """Does something once, as soon as some messages are imported and others are not."""

    def __init__(self, action: Callable[[], None]) -> None:
        self._action = action
        self._first: int | None = None
        self.is_done = False

    def __call__(self, operation: Operation) -> None:
        if operation.status == Status.IMPORTING_MESSAGES and not self.is_done:
            completed = operation.count.completed or 0  # users and channels are among them
            self._first = completed if self._first is None else self._first
            if self._first < completed < (operation.count.total or 0) // 2:
                self.is_done = True
                self._action()


def kill(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGKILL)
    process.wait(PATIENCE)


def test_the_documents_are_those_of_one_process(
    tmp_path: Path, export: Path, alone: dict[str, Any], dask: DaskCluster, mongod: Mongod
) -> None:
    opened = workspace(mongod, "cluster_fingerprint")
    work = Import(export, tmp_path, opened, dask.address)
    ended = work.run()
    assert work.has_become(alone)
    assert ended.peak_memory > 100  # MiB: that of the workers counts
    again = import_archive(export, opened, settings=work.settings)
    assert again.report["messages"]["inserted"] == again.report["messages"]["updated"] == 0
    assert again.report["messages"]["unchanged"] > 0
    opened.close()
    assert open_sessions(dask) == [0, 0]


def test_a_killed_worker_costs_only_what_it_had(
    tmp_path: Path, export: Path, alone: dict[str, Any], destination: Destination
) -> None:
    with DaskCluster(tmp_path, 2) as dask:
        dask.is_ready(2)
        work = Import(export, tmp_path, destination, dask.address)
        midway = Midway(lambda: kill(dask.workers[0]))
        work.run(watch=midway)
        assert midway.is_done
        assert work.has_become(alone)


def test_workers_that_end_again_and_again_end_the_import(
    tmp_path: Path, export: Path, destination: Destination
) -> None:
    with DaskCluster(tmp_path, 1, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0") as dask:
        dask.is_ready(1)
        ended = Import(export, tmp_path, destination, dask.address).run(
            watch=Midway(lambda: kill(dask.workers[0]))
        )
    assert ended.status == Status.FAILED
    assert ended.error.startswith("Every worker that was given the same messages ended")


def test_a_scheduler_that_goes_ends_the_import_and_another_completes_it(
    tmp_path: Path,
    export: Path,
    alone: dict[str, Any],
    destination: Destination,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with DaskCluster(tmp_path, 1) as dask:
        dask.is_ready(1)
        ended = Import(export, tmp_path, destination, dask.address).run(
            watch=Midway(lambda: kill(dask.scheduler))
        )
        assert ended.status == Status.FAILED
        assert ended.error.startswith(f"The scheduler at {dask.address} went away")
        assert "distributed" not in caplog.text
        kill(dask.workers[0])
        dask.start_scheduler()
        dask.add_worker()
        dask.is_ready(1)
        again = Import(export, tmp_path, destination, dask.address)
        again.run()
        assert again.has_become(alone)


def test_a_worker_with_another_version_is_refused(
    tmp_path: Path,
    export: Path,
    destination: Destination,
    with_older_chatferry: dict[str, str],
) -> None:
    with DaskCluster(tmp_path, 1) as dask:
        dask.is_ready(1)
        work = Import(export, tmp_path, destination, dask.address)

        def exchange_workers() -> None:
            dask.add_worker(**with_older_chatferry)
            dask.is_ready(2)
            kill(dask.workers[0])

        joined_later = work.run(watch=Midway(exchange_workers))
        there_from_the_start = Import(export, tmp_path, destination, dask.address).run()
    for ended in (joined_later, there_from_the_start):
        assert ended.status == Status.FAILED
        assert re.match(
            rf"The worker tcp://\S+ has chatferry {ELSEWHERE}, the chatferry that imports has chatferry 0",
            ended.error,
        )


def test_a_cluster_without_workers_is_said(
    tmp_path: Path, export: Path, destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_PATIENCE", 1)
    with DaskCluster(tmp_path, 0) as dask:
        ended = Import(export, tmp_path, destination, dask.address).run()
        assert ended.error.startswith(f"The cluster at {dask.address} has no workers")
    monkeypatch.setattr(cluster, "_ANSWER", 1)
    ended = Import(export, tmp_path, destination, dask.address).run()
    assert ended.error.startswith(f"No scheduler answers at {dask.address}")


def test_a_cancelled_import_leaves_nothing_open_and_nothing_at_work(
    tmp_path: Path, export: Path, destination: Destination, dask: DaskCluster
) -> None:
    cancelled = threading.Event()

    def check() -> None:
        if cancelled.is_set():
            raise CancelledError("The operation was cancelled.")

    ended = Import(export, tmp_path, destination, dask.address).run(check, Midway(cancelled.set))
    assert ended.status == Status.CANCELLED
    assert open_sessions(dask) == [0, 0]
    left = len(list(destination.dump("rocketchat_message")))
    time.sleep(0.3)
    assert len(list(destination.dump("rocketchat_message"))) == left


def test_an_archive_that_a_worker_cannot_read_is_said(
    tmp_path: Path, export: Path, dask: DaskCluster, mongod: Mongod
) -> None:
    """The worker's log holds nothing of the archive."""
    with mongod.client() as client:
        client.unreadable.command("createUser", "ferry", pwd="TOPSECRET", roles=["readWrite"])
    destination = workspace(mongod, "unreadable", "ferry:TOPSECRET@")
    copy = tmp_path / "copy.zip"
    copy.write_bytes(export.read_bytes())
    work = Import(copy, tmp_path, destination, dask.address)
    ended = work.run(watch=lambda operation: copy.unlink(missing_ok=True))
    assert ended.status == Status.FAILED
    assert re.match(r"On the worker tcp://\S+: \S+copy\.zip cannot be read .*Check the path", ended.error)
    destination.close()
    log = dask.log.read_text(errors="replace")
    assert "Compute Failed" in log and "TOPSECRET" not in log
    assert "TOPSECRET" not in repr(cluster.Hidden(b"TOPSECRET"))


def test_workers_read_an_archive_from_its_url(
    tmp_path: Path, export: Path, alone: dict[str, Any], destination: Destination, dask: DaskCluster
) -> None:
    data = export.read_bytes()
    with hosting() as host:
        url = host.put("/export.zip", ranges(lambda: data))
        work = Import(url, tmp_path, destination, dask.address)
        work.run()
    assert work.has_become(alone)


def test_the_command_line_imports_with_a_cluster(tmp_path: Path, mongod: Mongod, dask: DaskCluster) -> None:
    workspace(mongod, "commandline").close()
    url = mongod.database_url("commandline")
    done = chatferry(
        "import", "slack", GOLDEN, "--data", tmp_path, "--destination", url, CHATFERRY_CLUSTER=dask.address
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert "distributed" not in done.stderr


@pytest.mark.parametrize("destination", ["", "sqlite:x.db", "memory:"])
def test_other_destinations_are_refused(tmp_path: Path, destination: str) -> None:
    for line in (["import", "slack", tmp_path], ["serve"]):
        done = chatferry(
            *line, "--data", tmp_path, "--cluster", "tcp://127.0.0.1:1", "--destination", destination
        )
        assert done.returncode == 2
        assert "--cluster imports into MongoDB only" in done.stderr


def test_only_destinations_for_several_writers_have_an_address(mongod: Mongod, tmp_path: Path) -> None:
    for url in ("memory:", f"sqlite:{tmp_path / 'x.db'}", mongod.database_url("several")):
        opened = open_destination(url)
        assert is_server(url) == bool(opened.address)
        opened.close()


@pytest.mark.long
def test_a_million_messages_with_a_worker_killed_midway(tmp_path: Path, mongod: Mongod) -> None:
    export = tmp_path / "million.zip"
    write_export(
        export, Shape(users=50, channels=40, messages=1_000_000, seed=9, days=None, layout="corporate")
    )
    one, two = workspace(mongod, "million1"), workspace(mongod, "million2")
    with mongod.client() as client:  # without an index every room at the end would cost a whole scan
        for database in ("million1", "million2"):
            client[database].rocketchat_message.create_index([("rid", 1), ("ts", 1)])
    alone = import_archive(export, one, settings=Settings(data=tmp_path, workers=0))
    assert alone.operation.status == Status.DONE, alone.operation.error
    with DaskCluster(tmp_path, 2) as dask:
        dask.is_ready(2)
        work = Import(export, tmp_path, two, dask.address)

        def kill_halfway(operation: Operation) -> None:
            if (operation.count.completed or 0) > 400_000 and dask.workers[0].poll() is None:
                kill(dask.workers[0])

        ended = work.run(watch=kill_halfway)
        assert dask.workers[0].poll() is not None
    assert ended.status == Status.DONE, ended.error
    assert every_message(mongod, "million2") == every_message(mongod, "million1")
    for opened in (one, two):
        opened.close()


def every_message(mongod: Mongod, database: str) -> tuple[int, str]:
    """How many messages there are, and a digest of all, without the times of writing."""
    digest, count = xxhash.xxh3_128(), 0
    with mongod.client(document_class=RawBSONDocument) as client:
        messages = client[database].rocketchat_message
        for message in messages.find({}, {"_updatedAt": 0}).sort("_id"):
            digest.update(cast(RawBSONDocument, message).raw)
            count += 1
    return count, digest.hexdigest()


def open_sessions(dask: DaskCluster) -> list[int]:
    """How many imports each worker has open."""
    with Client(dask.address, set_as_default=False) as client:  # type: ignore[no-untyped-call]  # Dask has few types
        found = client.run(lambda: len(cluster._sessions))
    return sorted(found.values())
