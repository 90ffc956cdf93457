"""Messages converted in several processes: the same documents as in one, also if processes die."""

import fcntl
import gc
import os
import signal
import struct
import subprocess
import threading
from contextlib import suppress
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import pytest
from msgspec.structs import replace

from chatferry import accounts
from chatferry.archive import Archive, open_archive
from chatferry.clock import now
from chatferry.destinations import Destination, open_destination
from chatferry.documents import Date
from chatferry.errors import CancelledError, ProcessError
from chatferry.operations import Operation, Status, advance
from chatferry.pipeline.operation import run_operation
from chatferry.pipeline.parallel import processes
from chatferry.pipeline.parallel.archive_spec import ArchiveSpec
from chatferry.pipeline.parallel.processes import PIPE, WORTH, Processes, cores, worthwhile
from chatferry.settings import Settings
from chatferry.store import Store
from testdata.slack_export import Shape, write_export
from tests.support.importing import (
    ALL,
    Imported,
    contents,
    import_archive,
    new_operation,
    sqlite_workspace,
    workspace,
)
from tests.support.mongo import Mongod, allow_letters
from tests.support.processes import eventually, helpers
from tests.support.serving import PATIENCE, command, environment, login, serving, upload, wait_for

SHAPE = Shape(users=30, channels=8, messages=14_000, seed=5, days=None, layout="corporate")


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("processes") / "export.zip"
    write_export(path, SHAPE)
    return path


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, export: Path) -> Imported:
    """The export imported by one process."""
    return import_archive(export, settings=Settings(data=tmp_path_factory.mktemp("alone"), workers=0))


def blocked(pid: int) -> set[int]:
    """The signals that do not reach a process."""
    mask = int(Path(f"/proc/{pid}/status").read_text().partition("SigBlk:")[2].split()[0], 16)
    return {number for number in signal.Signals if mask >> (number - 1) & 1}


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def prepared(
    export: Path, data: Path, destination: Destination, workers: int = 2
) -> tuple[Operation, Store, Settings]:
    store, settings = Store(), Settings(data=data, workers=workers)
    operation = new_operation(export, destination)
    store.operations.add(operation)
    operation = run_operation(operation, store, destination, settings)
    operation = advance(replace(operation, selection=ALL), Status.IMPORTING, now())
    store.operations.save(operation)
    return operation, store, settings


@pytest.mark.parametrize("workers", [1, 3])
def test_the_documents_are_those_of_one_process(
    tmp_path: Path, export: Path, alone: Imported, workers: int
) -> None:
    with sqlite_workspace(tmp_path / "workspace.db") as destination:
        is_imported_as_by_one_process(destination, export, alone, Settings(data=tmp_path, workers=workers))


def test_processes_that_write_write_the_same(
    tmp_path: Path, export: Path, alone: Imported, mongod: Mongod
) -> None:
    allow_letters(mongod, "processes")
    destination = open_destination(mongod.database_url("processes"))
    accounts.found_workspace(destination, Date.at(now()))
    accounts.ensure_admin(destination, {"ADMIN_PASS": "secret"}, Date.at(now()))
    is_imported_as_by_one_process(destination, export, alone, Settings(data=tmp_path, workers=2))
    destination.close()


def is_imported_as_by_one_process(
    destination: Destination, export: Path, alone: Imported, settings: Settings
) -> None:
    imported = import_archive(export, destination, settings=settings)
    assert imported.operation.status == Status.DONE
    assert contents(imported) == contents(alone)
    again = import_archive(export, destination, settings=settings)
    assert again.report["messages"]["inserted"] == again.report["messages"]["updated"] == 0
    assert again.report["messages"]["unchanged"] > 0
    assert list(settings.data.glob("known*")) == []


def test_one_day_file_is_converted_by_several_processes(tmp_path: Path) -> None:
    path = tmp_path / "export.zip"
    write_export(path, Shape(users=30, channels=1, messages=14_000, seed=5, days=1, layout="corporate"))
    alone, together = (import_archive(path, settings=Settings(data=tmp_path, workers=n)) for n in (0, 2))
    assert together.operation.status == Status.DONE
    assert contents(together) == contents(alone)


def test_memory_is_that_of_all_processes(tmp_path: Path, export: Path) -> None:
    one = import_archive(export, settings=Settings(data=tmp_path, workers=1)).operation.peak_memory
    three = import_archive(export, settings=Settings(data=tmp_path, workers=3)).operation.peak_memory
    assert three > one + 2 * 20  # MiB: no Python that has loaded an importer is smaller


@pytest.mark.parametrize("kind", ["memory", "mongodb"])
def test_a_killed_process_costs_nothing_but_time(
    tmp_path: Path, export: Path, alone: Imported, kind: str, request: pytest.FixtureRequest
) -> None:
    destination: Destination = workspace()
    if kind == "mongodb":
        allow_letters(request.getfixturevalue("mongod"), "killed")
        destination = open_destination(request.getfixturevalue("mongod").database_url("killed"))
        accounts.found_workspace(destination, Date.at(now()))
        accounts.ensure_admin(destination, {"ADMIN_PASS": "secret"}, Date.at(now()))

    kills = iter([1, 4])
    next_kill = next(kills)

    def check() -> None:
        nonlocal next_kill
        calls.append(None)
        if len(calls) >= next_kill and (found := helpers(os.getpid())):
            os.kill(found[0], signal.SIGKILL)
            next_kill = next(kills, 10**9) + len(calls)

    calls: list[None] = []
    operation, store, settings = prepared(export, tmp_path, destination)
    ended = run_operation(operation, store, destination, settings, check)
    assert next_kill > 10**8, "nothing was killed"
    assert ended.status == Status.DONE
    found, wanted = contents(Imported(ended, store, destination)), contents(alone)
    # What a killed process has written counts as unchanged when it is done again.
    assert sum(found.pop("messages").values()) == sum(wanted.pop("messages").values())
    assert found == wanted


def test_processes_that_are_killed_again_and_again_end_the_import(tmp_path: Path, export: Path) -> None:
    """The leading process, which serves, does no work of theirs; a process dies before it can do any."""
    ended = threading.Event()

    def kill() -> None:
        while not ended.wait(0.005):
            for pid in helpers(os.getpid()):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    operation, store, settings = prepared(export, tmp_path, destination := workspace())
    killer = threading.Thread(target=kill)
    killer.start()
    try:
        done = run_operation(operation, store, destination, replace(settings, serving=True))
    finally:
        ended.set()
        killer.join()
    assert done.status == Status.FAILED
    assert done.error.startswith("Processes of chatferry were ended from outside 4 times")
    assert "--workers 1" in done.error
    assert helpers(os.getpid()) == []


def test_a_cancelled_import_leaves_no_process(tmp_path: Path, export: Path) -> None:
    cancelled = threading.Event()
    left: list[int] = []

    def check() -> None:
        if cancelled.is_set():
            raise CancelledError("The operation was cancelled.")

    def watch(operation: Operation) -> None:
        counts = operation.count
        staged = (counts.users or 0) + (counts.channels or 0)
        if (counts.completed or 0) + (counts.error or 0) > staged:  # some messages, and more to come
            left.append(staged + (counts.messages or 0) - (counts.completed or 0))
            cancelled.set()

    destination = workspace()
    operation, store, settings = prepared(export, tmp_path, destination)
    ended = run_operation(operation, store, destination, settings, check, watch)
    assert ended.status == Status.CANCELLED
    assert left and left[0] > 0
    assert helpers(os.getpid()) == []
    assert list(tmp_path.glob("known*")) == []


def test_an_archive_that_has_gone_is_said_to_be(tmp_path: Path, export: Path) -> None:
    copy = tmp_path / "copy.zip"
    copy.write_bytes(export.read_bytes())
    destination = workspace()
    operation, store, settings = prepared(copy, tmp_path, destination)

    def watch(operation: Operation) -> None:
        copy.unlink(missing_ok=True)

    ended = run_operation(operation, store, destination, settings, watch=watch)
    assert ended.status == Status.FAILED
    assert "copy.zip" in ended.error and "unforeseen" not in ended.error
    assert helpers(os.getpid()) == []


def test_no_process_outlives_a_killed_server(tmp_path: Path, export: Path) -> None:
    with serving(tmp_path, CHATFERRY_WORKERS="2") as server, login(server) as http:
        upload(http, export)
        wait_for(http, "importer_user_selection")
        http.post("startImport", json={"input": {"users": {"all": True}, "channels": {"all": True}}})
        assert eventually(lambda: len(helpers(server.process.pid)) == 2)
        left = helpers(server.process.pid)
        own = os.getpriority(os.PRIO_PROCESS, server.process.pid)
        # The API answers from the server's process: these give way to it.
        assert eventually(lambda: all(os.getpriority(os.PRIO_PROCESS, pid) > own for pid in left))
        server.kill()
    assert eventually(lambda: all(is_gone(pid) for pid in left))


@pytest.mark.skipif(not hasattr(fcntl, "F_GETPIPE_SZ"), reason="only Linux tells how much a pipe holds")
def test_much_of_a_result_can_be_on_its_way(tmp_path: Path, export: Path) -> None:
    source = ArchiveSpec(str(export), Settings().limits, export.name, "slack")
    with Processes(1, source, tmp_path):
        sizes = [pipe_size(int(file.name)) for file in Path("/proc/self/fd").iterdir()]
    assert PIPE in sizes


def pipe_size(descriptor: int) -> int:
    try:
        return fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ)
    except OSError:  # no pipe, or closed meanwhile
        return 0


def test_a_command_that_is_interrupted_goes_on_when_it_is_repeated(tmp_path: Path, export: Path) -> None:
    line = command("import", "slack", str(export), "--data", str(tmp_path), "--workers", "2")
    # A group of its own, as a terminal gives it: Ctrl-C reaches all of its processes.
    process = subprocess.Popen(
        line, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    assert eventually(lambda: len(helpers(process.pid)) == 2 or process.poll() is not None)
    left = helpers(process.pid)
    assert left and all(signal.SIGINT in blocked(pid) for pid in left)
    os.killpg(process.pid, signal.SIGINT)
    _, complaint = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert b"Stopped." in complaint and b"Traceback" not in complaint
    assert eventually(lambda: all(is_gone(pid) for pid in left))
    assert subprocess.run(line, env=environment(), capture_output=True, check=False).returncode in (0, 3)


@pytest.mark.parametrize(
    ("wanted", "messages", "count"),
    [
        (None, WORTH - 1, 0),
        (None, WORTH, cores() if cores() > 1 else 0),
        (0, 10 * WORTH, 0),
        (3, 1, 3),
    ],
)
def test_processes_are_started_only_for_enough_messages(
    wanted: int | None, messages: int, count: int
) -> None:
    assert worthwhile(wanted, messages) == count


def die_while_writing(archive: Archive, shared: None, item: int) -> int:
    """End this process as the kernel does for want of memory: a result is half written, its lock is held."""
    for queue in [thing for thing in gc.get_objects() if isinstance(thing, SimpleQueue)]:
        with queue._wlock:  # type: ignore[attr-defined]  # there is no other way to the pipe
            end = queue._writer.fileno()  # type: ignore[attr-defined]  # nor to its end
            os.write(end, struct.pack("!i", 1_000_000) + b"half")
            os.kill(os.getpid(), signal.SIGKILL)
    return item


def test_a_worker_that_dies_in_the_middle_of_a_result_is_noticed(
    tmp_path: Path, export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_GRACE", 0.3)
    source = ArchiveSpec(str(export), Settings().limits, export.name, "slack")
    with (
        open_archive(export) as archive,
        Processes(2, source, tmp_path, serving=True) as workers,
        pytest.raises(ProcessError, match="ended from outside 4 times"),
    ):
        list(workers.each(archive, lambda: None, die_while_writing, None, range(3)))
    assert helpers(os.getpid()) == []
