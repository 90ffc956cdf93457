"""Beside a server: commands leave the work to the server of their data directory, and watch it."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chatferry.cli import beside, lock
from chatferry.destinations.memory import MemoryDestination
from chatferry.errors import DestinationError, SettingsError
from chatferry.operations import Status
from chatferry.pipeline import commands, handing_over
from chatferry.settings import Settings
from chatferry.store import Store
from tests.support.command_line import chatferry, chatferry_in
from tests.support.exports import DAY, file, message, png, user, write_export
from tests.support.filehost import FileHost, noise
from tests.support.mongo import Mongod
from tests.support.paths import CSV_EXAMPLE, GOLDEN, SLACK_EXAMPLE
from tests.support.rocketchat import seed
from tests.support.serving import (
    PATIENCE,
    command,
    documents,
    environment,
    latest,
    login,
    run_import,
    serving,
    status_on_disk,
    until,
    wait_for,
)

SLOW = "10"  # messages a second: the golden export takes half a minute
KINDS = ("users", "contacts", "rooms", "messages", "files", "problems")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@contextmanager
def importing(data: Path, *options: str) -> "Iterator[subprocess.Popen[str]]":
    """A command that imports the golden export beside a slow server, once messages are being imported."""
    arguments = command("import", "slack", str(GOLDEN), "--data", str(data), *options)
    running = subprocess.Popen(
        arguments, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        until(lambda: status_on_disk(data) == Status.IMPORTING_MESSAGES or running.poll() is not None)
        assert running.poll() is None
        yield running
    finally:
        running.kill()
        running.communicate()


def test_an_import_is_the_one_that_it_is_alone(data: Path, tmp_path: Path) -> None:
    with serving(data) as server, login(server) as http:
        done = chatferry("import", "slack", GOLDEN, "--data", data, "--json")
        assert done.returncode == 0, done.stderr
        assert f"The server of {data} does this" in done.stderr
        assert [one["status"] for one in latest(http)] == ["importer_done"]
        assert run_import(http)["count"]["completed"] == 331  # the server goes on as before
    alone = chatferry("import", "slack", GOLDEN, "--data", tmp_path / "alone", "--json")
    found, wanted = json.loads(done.stdout), json.loads(alone.stdout)
    assert {kind: found[kind] for kind in KINDS} == {kind: wanted[kind] for kind in KINDS}
    assert found["operation"]["user"]
    for collection in ("rocketchat_message", "rocketchat_room"):
        assert len(documents(data, collection)) == len(documents(tmp_path / "alone", collection))
    audited = [json.loads(line) for line in (data / "audit.log").read_text().splitlines()]
    assert found["operation"]["_id"] in [one.get("operation") for one in audited]


def test_a_selection_and_a_second_import(data: Path) -> None:
    with serving(data):
        done = chatferry("import", "slack", SLACK_EXAMPLE, "--data", data, "--channels", "general")
        assert done.returncode == 0, done.stderr
        names = {room.get("name") for room in documents(data, "rocketchat_room")}
        assert "general" in names
        wrong = chatferry("import", "slack", SLACK_EXAMPLE, "--data", data, "--channels", "nowhere")
        assert (wrong.returncode, "the export has no nowhere" in wrong.stderr) == (2, True)
        other = chatferry("import", "csv", CSV_EXAMPLE, "--data", data)
        assert other.returncode == 0, other.stderr


def test_a_failure_has_the_same_words_and_code(data: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"no archive")
    alone = chatferry("import", "slack", broken, "--data", tmp_path / "alone")
    with serving(data):
        done = chatferry("import", "slack", broken, "--data", data)
        assert (done.returncode, alone.returncode) == (2, 2)
        (why,) = [line for line in alone.stderr.splitlines() if "broken.zip" in line]
        assert why in done.stderr


def test_files_are_fetched(data: Path, tmp_path: Path, host: FileHost) -> None:
    picture = png(10, 10, noise(1000))
    url = host.put("/a.png", lambda to: to.whole(picture, content_type="image/png"))
    gone = host.put("/b.png", lambda to: to.whole(b"", 404))
    users = [user("UALICE001", "alice", image_original=url)]
    day = [message(1, file("F1", url)), message(2, file("F2", gone))]
    export = write_export(tmp_path / "export", {DAY: day}, users=users)
    with serving(data, CHATFERRY_DOWNLOAD_HOSTS=host.name):
        assert chatferry("import", "slack", export, "--data", data).returncode == 0
        first = chatferry("files", "--data", data)  # the hosts are the server's setting
        assert first.returncode == 3, first.stderr
        assert "file-not-fetched: 1 failed" in first.stdout
        assert len(documents(data, "rocketchat_uploads")) == 1
        assert len(documents(data, "rocketchat_avatars")) == 1
        host.put("/b.png", lambda to: to.whole(picture, content_type="image/png"))
        second = json.loads(chatferry("files", "--data", data, "--json").stdout)
        assert second["files"]["files"]["inserted"] == 1
        third = chatferry("files", "--data", data)
        assert (third.returncode, third.stdout) == (0, "Nothing is pending.\n")
    assert chatferry_in(tmp_path, "files", host=host).returncode == 0


def test_what_the_server_works_on_is_not_replaced(data: Path) -> None:
    with serving(data, CHATFERRY_MESSAGES_PER_SECOND=SLOW), importing(data):
        for refused in (
            chatferry("import", "slack", GOLDEN, "--data", data),
            chatferry("files", "--data", data),
        ):
            assert (refused.returncode, refused.stdout) == (2, "")
            assert "The server works on operation" in refused.stderr
            assert "importer_importing_messages" in refused.stderr
        assert chatferry("purge", "--data", data).returncode == 2
        assert status_on_disk(data) == Status.IMPORTING_MESSAGES


def test_interrupting_stops_the_server_s_work_and_not_the_server(data: Path) -> None:
    with (
        serving(data, CHATFERRY_MESSAGES_PER_SECOND=SLOW) as server,
        login(server) as http,
        importing(data) as running,
    ):
        began = time.monotonic()
        running.send_signal(signal.SIGINT)
        _, told = running.communicate(timeout=PATIENCE)
        assert running.returncode == 130, told
        assert time.monotonic() - began < 20
        assert "the server stops it" in told
        assert [one["status"] for one in latest(http)] == ["importer_import_cancelled"]
        assert run_import(http, SLACK_EXAMPLE)["status"] == "importer_done"


def test_a_server_that_is_started_again_goes_on(data: Path) -> None:
    with serving(data, CHATFERRY_MESSAGES_PER_SECOND=SLOW) as server, importing(data) as running:
        server.stop()
        time.sleep(3)
        assert running.poll() is None
        with serving(data):
            report, told = running.communicate(timeout=PATIENCE)
            assert running.returncode == 0, told
            assert f"The server of {data} has ended" in told
            assert "messages" in report


def test_killing_the_command_leaves_the_work_to_the_server(data: Path) -> None:
    with serving(data, CHATFERRY_MESSAGES_PER_SECOND="200") as server, login(server) as http:
        with importing(data) as running:
            running.kill()
        assert wait_for(http, "importer_done")["count"]["completed"] == 331


@pytest.fixture
def store(data: Path) -> Iterator[Store]:
    with Store(Settings(data=data).store_path) as opened:
        yield opened


def test_a_server_that_does_not_come_back(data: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "_RETURN", 2.5)
    place = beside.Beside(Settings(data=data), store, MemoryDestination())
    operation = place.begin(commands.new_operation("slack", "u"))
    shown: list[str] = []
    with pytest.raises(DestinationError, match="goes on with `chatferry serve`"):
        place.work(operation, lambda one: shown.append(one.waiting_for))
    assert shown[0] == "" and "has ended" in shown[-1]


def test_a_second_ctrl_c_leaves_at_once(data: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    place = beside.Beside(Settings(data=data), store, MemoryDestination())
    operation = place.begin(commands.new_operation("slack", "u"))
    monkeypatch.setattr(time, "sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        place.work(operation, lambda one: None)
    left = store.operations.get(operation.id)
    assert left is not None and (left.status, left.valid) == (Status.CANCELLED, False)


def test_beside_a_server_of_rocketchat_s_database(data: Path, mongod: Mongod) -> None:
    with mongod.client() as connected:
        seed(connected["beside"])
        url = mongod.database_url("beside")
        with serving(data, CHATFERRY_DESTINATION=url):
            done = chatferry("import", "slack", SLACK_EXAMPLE, "--data", data, "--json")
            assert done.returncode == 0, done.stderr
            found = json.loads(done.stdout)
            assert connected["beside"]["rocketchat_message"].count_documents({}) > 200
            elsewhere = mongod.database_url("elsewhere")
            other = chatferry(
                "import", "slack", SLACK_EXAMPLE, "--data", data, CHATFERRY_DESTINATION=elsewhere
            )
            assert (other.returncode, "is another destination" in other.stderr) == (2, True)
    assert (found["messages"]["read"], found["messages"]["failed"]) == (220, 0)


def test_what_is_left_to_the_server_is_noted_until_it_is_taken(store: Store) -> None:
    first = handing_over.begin(store, commands.new_operation("slack", "u"))
    assert store.handovers.take() == [first.id]
    assert store.handovers.take() == []
    handing_over.begin(store, commands.new_operation("pending-files", "u", Status.DONE))
    assert store.handovers.take() == []


def test_the_lock_says_who_holds_it(data: Path) -> None:
    settings = Settings(data=data)
    assert not lock.is_served(settings)
    with lock.only_worker(settings, serves=True):
        assert lock.is_served(settings)
        with pytest.raises(SettingsError, match="Another chatferry works"), lock.only_worker(settings):
            pass
        assert lock.is_served(settings)
    assert not lock.is_served(settings)
    with lock.only_worker(settings):
        assert not lock.is_served(settings)
