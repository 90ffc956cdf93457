"""Of several chatferrys with one MongoDB database one imports at a time."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from chatferry import accounts
from chatferry.clock import now
from chatferry.destinations import open_destination, open_lease
from chatferry.destinations.mongodb import lease as mongo_lease
from chatferry.documents import Date
from chatferry.errors import DestinationError, SettingsError
from chatferry.pipeline.coordination import SoleImporter
from chatferry.store import Store
from tests.support.command_line import chatferry
from tests.support.importing import new_operation
from tests.support.mongo import Mongod
from tests.support.paths import GOLDEN, SLACK_EXAMPLE
from tests.support.serving import (
    ADMIN,
    PASSWORD,
    PATIENCE,
    command,
    environment,
    login,
    serving,
    start,
    until,
    upload,
    wait_for,
)

SLOWLY = {"CHATFERRY_MESSAGES_PER_SECOND": "10"}


@pytest.fixture
def database(mongod: Mongod, tmp_path: Path) -> Iterator[Database[dict[str, Any]]]:
    """A database with an administrator."""
    name = f"coordination_{tmp_path.name[-40:]}"
    with closing(open_destination(mongod.database_url(name))) as opened:
        accounts.add_admin(opened, "admin", ADMIN, PASSWORD, "", Date.at(now()))
    with mongod.client() as client:
        client[name]["rocketchat_permissions"].insert_one({"_id": "run-import", "roles": ["admin"]})
        yield client[name]
        client.drop_database(name)


@pytest.fixture
def url(mongod: Mongod, database: Database[dict[str, Any]]) -> str:
    return mongod.database_url(database.name)


def nobodys(operation_id: str) -> bool:
    return False


def held(database: Database[dict[str, Any]]) -> dict[str, Any] | None:
    return database["chatferry_leases"].find_one()


def test_a_second_one_is_refused_by_name_until_the_first_is_done(
    url: str, database: Database[dict[str, Any]]
) -> None:
    with closing(open_lease(url)) as first, closing(open_lease(url)) as second:
        first.acquire("of-the-first", nobodys)
        lease = held(database)
        assert lease is not None and lease["operation"] == "of-the-first"
        with pytest.raises(DestinationError, match=f"since 20.* as process {lease['process']}. Wait until"):
            second.acquire("of-the-second", nobodys)
        first.check()
        first.close()
        assert held(database) is None
        second.acquire("of-the-second", nobodys)
        second.check()
    assert held(database) is None


def test_a_lease_that_is_not_renewed_ends(
    url: str, database: Database[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mongo_lease, "ENDS_AFTER", 1.0)
    monkeypatch.setattr(mongo_lease, "RENEWED_EVERY", 3600.0)
    with closing(open_lease(url)) as dead, closing(open_lease(url)) as heir:
        dead.acquire("of-the-dead", nobodys)
        with pytest.raises(DestinationError):
            heir.acquire("of-the-heir", nobodys)
        _acquire_at_last(heir)
        dead.close()  # takes nothing from the heir
        lease = held(database)
        assert lease is not None and lease["operation"] == "of-the-heir"


def _acquire_at_last(lease: mongo_lease.Lease) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            return lease.acquire("of-the-heir", nobodys)
        except DestinationError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_lease_that_is_renewed_does_not_end_and_one_that_is_lost_is_noticed(
    url: str, database: Database[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mongo_lease, "ENDS_AFTER", 1.0)
    monkeypatch.setattr(mongo_lease, "RENEWED_EVERY", 0.1)
    with closing(open_lease(url)) as first, closing(open_lease(url)) as second:
        first.acquire("of-the-first", nobodys)
        time.sleep(1.5)
        with pytest.raises(DestinationError):
            second.acquire("of-the-second", nobodys)
        database["chatferry_leases"].update_one({}, {"$set": {"owner": "somebody"}})
        deadline = time.monotonic() + 60
        while True:
            try:
                first.check()
            except DestinationError as error:
                assert "another chatferry imports" in str(error)
                break
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_lease_of_a_killed_process_of_this_store_is_taken_over_at_once(
    url: str, database: Database[dict[str, Any]]
) -> None:
    with Store() as store, closing(open_lease(url)) as killed, closing(open_destination(url)) as opened:
        operation = new_operation(SLACK_EXAMPLE, opened)
        store.operations.add(operation)
        killed.acquire(operation.id, nobodys)
        with SoleImporter("a-new-operation", url, store):
            lease = held(database)
            assert lease is not None and lease["operation"] == "a-new-operation"


def test_a_store_elsewhere_has_no_lease() -> None:
    with Store() as store, SoleImporter("any", "", store):
        pass


def test_a_user_who_may_not_write_the_collection_is_told(tmp_path: Path) -> None:
    server = Mongod(tmp_path / "mongod")
    server.start()
    with server.client() as client:
        resource = {"db": "rocketchat", "collection": "users"}
        privileges = [{"resource": resource, "actions": ["find", "insert", "update", "remove"]}]
        client["rocketchat"].command("createRole", "narrow", privileges=privileges, roles=[])
        client["rocketchat"].command("createUser", "ada", pwd="secret", roles=["narrow"])
    server.stop()
    key = tmp_path / "key"
    key.write_text("b2ZUaGVSZXBsaWNhU2V0")
    key.chmod(0o600)
    server.options = ("--auth", "--keyFile", str(key))
    server.start()
    url = server.database_url("rocketchat").replace("//", "//ada:secret@")
    try:
        with (
            closing(open_lease(url)) as lease,
            pytest.raises(SettingsError, match="chatferry_leases") as told,
        ):
            lease.acquire("any", nobodys)
        assert "readWrite" in str(told.value) and "secret" not in str(told.value)
    finally:
        server.kill()


def test_an_import_waits_for_another_and_goes_on(url: str, tmp_path: Path) -> None:
    told = tmp_path / "stderr"
    with closing(open_lease(url)) as other, told.open("wb") as stderr:
        other.acquire("of-another", nobodys)
        arguments = ("import", "slack", str(GOLDEN), "--data", str(tmp_path / "data"), "--destination", url)
        process = subprocess.Popen(command(*arguments), env=environment(), stderr=stderr)
        try:
            until(lambda: b"another chatferry has been importing" in told.read_bytes())
            assert process.poll() is None
            report = json.loads(chatferry("report", "--data", tmp_path / "data", "--json").stdout)
            assert report["operation"]["status"] == "importer_importing_started"  # it has been read
            other.close()
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()


def test_an_import_beside_a_running_one_waits_and_says_for_what(
    url: str, database: Database[dict[str, Any]], tmp_path: Path
) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(serving(tmp_path / "data", "--destination", url, **SLOWLY))
        http = stack.enter_context(login(server))
        upload(http, SLACK_EXAMPLE)
        wait_for(http, "importer_user_selection")
        assert held(database) is None  # reading an archive writes nothing
        http.post("startImport", json={"input": {"users": {"all": True}, "channels": {"all": True}}})
        running = wait_for(http, "importer_importing_messages")
        lease = held(database)
        assert lease is not None and lease["operation"] == running["_id"]
        arguments = ("import", "slack", GOLDEN, "--data", tmp_path / "other", "--destination", url)
        done = chatferry(*arguments, CHATFERRY_MAX_OUTAGE_SECONDS="1")  # else it would wait
        assert done.returncode == 4
        assert "another chatferry has been importing into this database since" in done.stderr
        server.kill()

        again = start(tmp_path / "data", "--destination", url)  # the same data directory goes on at once
        stack.callback(again.kill)
        http = stack.enter_context(login(again))
        wait_for(http, "importer_done")
        assert held(database) is None
        assert chatferry(*arguments).returncode == 0
