"""Destinations, stores and disks that are away for a while: imports wait, and go on by themselves."""

import json
import resource
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from chatferry.clock import now
from chatferry.destinations import Destination
from chatferry.destinations.memory import MemoryDestination
from chatferry.documents import COLLECTIONS, USERS
from chatferry.errors import CancelledError, DestinationError, NoRoomError, SettingsError
from chatferry.operations import Operation, Status, advance, failed, may_retry, retried
from chatferry.pipeline import outage
from chatferry.pipeline.background import BackgroundRunner
from chatferry.pipeline.operation import run_operation
from chatferry.settings import Settings
from chatferry.store import Store
from tests.support.command_line import chatferry
from tests.support.importing import (
    ALL,
    Imported,
    documents_of,
    founded,
    import_archive,
    lasting,
    new_operation,
)
from tests.support.paths import GOLDEN, SLACK_EXAMPLE
from tests.support.refusals import action_error, refusal
from tests.support.serving import (
    PATIENCE,
    command,
    environment,
    login,
    run_import,
    serving,
    until,
    upload,
    wait_for,
)


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(outage, "LONGEST_DELAY", 0.02)


class Away:
    """A destination whose calls fail as long as `fails` says so, given how many calls there were."""

    def __init__(self, to: Destination, fails: Callable[[int], BaseException | None]) -> None:
        self._to = to
        self._fails = fails
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._to, name)
        if name not in ("find", "digests", "apply", "insert", "put_file", "finish"):
            return value

        def called(*arguments: Any) -> Any:
            self.calls += 1
            if (error := self._fails(self.calls)) is not None:
                raise error
            return value(*arguments)

        return called


def contents(destination: Destination) -> dict[str, Any]:
    """Every document without times of writing."""
    found = {
        collection: {one["_id"]: one for one in map(lasting, documents_of(destination, collection))}
        for collection in COLLECTIONS
    }
    for subscription in found["rocketchat_subscription"].values():
        subscription.pop("ts"), subscription.pop("ls", None)
    found[USERS]["admin"].pop("services")  # a password is salted
    return found


@pytest.fixture(scope="module")
def unbroken() -> Imported:
    return import_archive(SLACK_EXAMPLE, founded(MemoryDestination()))


# ---------------------------------------------------------------- waiting and going on


@pytest.mark.parametrize(
    "error",
    [DestinationError("gone"), NoRoomError("full"), OSError(28, "No space left on device")],
    ids=lambda error: type(error).__name__,
)
def test_an_outage_at_every_call_changes_no_document(
    unbroken: Imported, tmp_path: Path, error: Exception
) -> None:
    """Two calls fail, the second of them the look whether it is back; then ever more succeed."""
    bad = {place for gap in range(1, 40) for place in (gap * (gap + 1), gap * (gap + 1) + 1)}
    away: Any = Away(founded(MemoryDestination()), lambda call: error if call in bad else None)
    imported = import_archive(SLACK_EXAMPLE, away, settings=Settings(data=tmp_path))
    assert imported.operation.status == Status.DONE, imported.operation.error
    assert contents(away) == contents(unbroken.destination)
    assert away.calls > 60
    assert imported.report["messages"]["read"] == unbroken.report["messages"]["read"]
    assert imported.operation.waiting_for == ""


def selected(store: Store, destination: Destination, settings: Settings) -> Operation:
    """An operation that is about to import."""
    operation = new_operation(SLACK_EXAMPLE, destination)
    store.operations.add(operation)
    operation = run_operation(operation, store, destination, settings)
    operation = advance(replace(operation, selection=ALL), Status.IMPORTING, now())
    store.operations.save(operation)
    return operation


def test_after_the_longest_outage_it_fails_and_can_be_taken_up_again(
    unbroken: Imported, tmp_path: Path
) -> None:
    is_away, gone = True, DestinationError("the server is gone")
    base = founded(MemoryDestination())
    away: Any = Away(base, lambda call: gone if is_away and call > 8 else None)
    store = Store()
    settings = Settings(data=tmp_path, longest_outage=1)
    operation = selected(store, base, settings)
    ended = run_operation(operation, store, away, settings)
    assert (ended.status, ended.error) == (Status.FAILED, "the server is gone")
    assert may_retry(ended)
    is_away = False
    again = retried(ended, now())
    assert (again.status, again.error, again.waiting_for) == (Status.IMPORTING, "", "")
    store.operations.save(again)
    ended = run_operation(again, store, away, settings)
    assert ended.status == Status.DONE, ended.error
    assert contents(base) == contents(unbroken.destination)


def test_a_failed_operation_resumes_at_the_step_that_failed() -> None:
    places = {
        Status.DOWNLOADING: Status.DOWNLOADING,
        Status.FILE_LOADED: Status.FILE_LOADED,
        Status.PREPARING_MESSAGES: Status.FILE_LOADED,
        Status.IMPORTING_USERS: Status.IMPORTING,
        Status.FINISHING: Status.IMPORTING,
        Status.IMPORTING_FILES: Status.IMPORTING_FILES,
    }
    operation = new_operation(SLACK_EXAMPLE, founded(MemoryDestination()))
    for at, then in places.items():
        ended = failed(replace(operation, status=at), "because", 7)
        assert (ended.status, ended.error, ended.updated_at) == (Status.FAILED, "because", 7)
        assert retried(ended, 8).status == then
        unknown = replace(ended, failed_at=None)  # as older versions left it
        assert retried(unknown, 8).status == Status.FILE_LOADED
        assert retried(replace(unknown, selection=ALL), 8).status == Status.IMPORTING
    for other in (operation, replace(ended, valid=False)):
        assert not may_retry(other)
        with pytest.raises(ValueError, match="cannot be taken up again"):
            retried(other, 9)


def test_an_outage_is_shown_and_can_be_cancelled_and_paused(tmp_path: Path) -> None:
    base = founded(MemoryDestination())
    away: Any = Away(base, lambda call: DestinationError("the server is gone") if call > 3 else None)
    store = Store()
    operation = selected(store, base, Settings(data=tmp_path))
    seen: list[str] = []
    is_cancelled = threading.Event()

    def check() -> None:
        if is_cancelled.is_set():
            raise CancelledError("over")

    def watch(operation: Operation) -> None:
        seen.append(operation.waiting_for)

    work = threading.Thread(
        target=run_operation, args=(operation, store, away, Settings(data=tmp_path), check, watch)
    )
    work.start()

    def found() -> Operation:
        stored = store.operations.get(operation.id)
        assert stored is not None
        return stored

    until(lambda: found().waiting_for == "the server is gone")
    store.pauses.add(operation.id)
    until(lambda: not calls_go_on(away))
    store.pauses.remove(operation.id)
    until(lambda: calls_go_on(away))
    is_cancelled.set()
    work.join(PATIENCE)
    assert found().status == Status.CANCELLED
    assert "the server is gone" in seen


def calls_go_on(away: Away) -> bool:
    before = away.calls
    threading.Event().wait(0.5)
    return away.calls > before


def test_an_error_that_is_no_outage_fails_the_import(tmp_path: Path) -> None:
    base = founded(MemoryDestination())
    for error in (SettingsError("no such bucket"), OSError(13, "Permission denied"), ValueError("odd")):
        away: Any = Away(base, lambda call, error=error: error if call > 3 else None)  # type: ignore[misc]  # mypy infers no default
        store = Store()
        operation = selected(store, base, Settings(data=tmp_path))
        assert run_operation(operation, store, away, Settings(data=tmp_path)).status == Status.FAILED


# ---------------------------------------------------------------- the worker


@pytest.mark.parametrize(
    ("faults", "lives"),
    [
        ([ValueError("odd")] * 9, True),
        ([NoRoomError("full")] * 30, True),
        ([OSError(5, "Input/output error")] * 30, True),
        ([ValueError("odd")] * 10, False),
        ([SettingsError("the file is damaged")] * 10, False),
    ],
    ids=["few", "no room", "disk away", "many", "damaged"],
)
def test_the_worker_outlives_outages_and_some_faults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faults: list[Exception], lives: bool
) -> None:
    monkeypatch.setattr("chatferry.pipeline.background.FIRST_DELAY", 0.001)
    monkeypatch.setattr("chatferry.pipeline.background.LONGEST_DELAY", 0.001)
    left, taken, given_up = list(faults), threading.Event(), threading.Event()
    with Store() as store:
        worker = BackgroundRunner(store, Settings(data=tmp_path, destination="memory:"), give_up=given_up.set)

        def get(id: str) -> None:
            if left:
                raise left.pop()
            taken.set()

        monkeypatch.setattr(store.operations, "get", get)
        worker.start()
        worker.wake("one")
        until(lambda: taken.is_set() or given_up.is_set())
        assert (taken.is_set(), given_up.is_set(), worker.has_given_up) == (lives, not lives, not lives)
        until(lambda: worker.is_alive == lives)
        worker.close()
        assert given_up.is_set() != lives


def test_what_an_operation_waited_for_before_a_crash_is_forgotten(tmp_path: Path) -> None:
    destination = founded(MemoryDestination())
    operation = replace(new_operation(SLACK_EXAMPLE, destination), waiting_for="the database is away")
    with Store() as store:
        store.operations.add(operation)
        worker = BackgroundRunner(store, Settings(data=tmp_path, destination="memory:"))
        worker.start()
        try:
            until(lambda: stored(store, operation.id).status == Status.SELECTION)
            assert stored(store, operation.id).waiting_for == ""
        finally:
            worker.close()


def stored(store: Store, id: str) -> Operation:
    found = store.operations.get(id)
    assert found is not None
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits another process's files")
def test_a_server_whose_disk_is_full_waits_and_goes_on(tmp_path: Path) -> None:
    """No file of the server may grow: that is what a full disk is for it. Nothing of it needs root."""
    with serving(tmp_path / "plain") as server, login(server) as http:
        run_import(http)
        expected = dumped(server.data)
    with serving(tmp_path / "full", CHATFERRY_MESSAGES_PER_SECOND="100") as server, login(server) as http:
        upload(http, GOLDEN)
        wait_for(http, "importer_user_selection")
        http.post("startImport", json={"input": {"users": {"all": True}, "channels": {"all": True}}})
        wait_for(http, "importer_importing_messages")
        unlimited = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (0, unlimited[1]))
        until(lambda: "waitingFor" in http.get("getImportProgress").json())
        assert "disk fails" in http.get("import.status").json()["waitingFor"]
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, unlimited)
        wait_for(http, "importer_done")
        assert "waitingFor" not in http.get("import.status").json()
        assert dumped(server.data) == expected


def dumped(data: Path) -> dict[str, list[str]]:
    """The messages, rooms and users of a workspace, without times of writing."""
    return {
        collection: [
            json.dumps(lasting(json.loads(line)), sort_keys=True)
            for line in chatferry("dump", collection, "--data", data).stdout.splitlines()
        ]
        for collection in ("rocketchat_message", "rocketchat_room")
    }


def test_a_worker_that_cannot_live_ends_the_process(tmp_path: Path) -> None:
    program = (
        "import chatferry.pipeline.background as b;"
        "b._FAULTS = 2; b.BackgroundRunner._take_up = lambda self: 1 / 0;"
        "from chatferry.cli import main; main()"
    )
    line = [sys.executable, "-c", program, *command()[3:], "serve", "--data", str(tmp_path), "--port", "0"]
    done = subprocess.run(
        line, env=environment(), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 1
    assert "the worker has ended" in done.stderr


# ---------------------------------------------------------------- taking up again


NOT_FAILED = "The import operation is at importer_done, it has not failed"


def test_an_import_is_taken_up_again_over_the_api_and_on_the_command_line(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server, login(server) as http:
        nothing = action_error("Import Operation Not Found", "error-operation-not-found", "import.retry")
        assert refusal(http.post("import.retry")) == nothing
        run_import(http)
        expected = dumped(server.data)
        refused = action_error(NOT_FAILED, "error-invalid-operation-status", "import.retry")
        assert refusal(http.post("import.retry")) == refused
        assert chatferry("retry", "--data", server.data).returncode == 2
        id = upload(http, GOLDEN)
        wait_for(http, "importer_user_selection")
        fail(server.data, id)
        answer = http.post("import.retry").json()
        assert (answer["success"], answer["operation"]["status"]) == (True, "importer_file_loaded")
        wait_for(http, "importer_user_selection")
        fail(server.data, id)
    done = chatferry("retry", id, "--data", server.data, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["operation"]["_id"], report["messages"]["unchanged"]) == (id, 300)
    assert dumped(server.data) == expected
    again = chatferry("retry", id, "--data", server.data)
    assert (again.returncode, "Only one that failed can be taken up again" in again.stderr) == (2, True)
    assert chatferry("retry", "nobody", "--data", server.data).returncode == 2


def fail(data: Path, id: str) -> None:
    """Leave an operation as an import leaves it that has failed while it was read."""
    with Store(data / "store.sqlite3") as store:
        operation = store.operations.get(id)
        assert operation is not None
        store.operations.save(failed(replace(operation, status=Status.PREPARING_MESSAGES), "a fault", now()))
