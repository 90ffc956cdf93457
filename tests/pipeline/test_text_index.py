"""The text index of messages is built after them, and is restored however the import ends."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from pymongo.database import Database

from chatferry import accounts
from chatferry.clock import now
from chatferry.destinations import open_destination, open_text_index
from chatferry.destinations.mongodb import text_index
from chatferry.documents import MESSAGES, Date
from chatferry.operations import Operation, Status, advance
from chatferry.pipeline.operation import run_operation
from chatferry.pipeline.text_index import TextIndexLast, build_what_is_left
from chatferry.settings import Settings
from chatferry.store import Store
from tests.support.command_line import chatferry
from tests.support.importing import ALL, Imported, new_operation
from tests.support.mongo import Mongod, make_indexes
from tests.support.paths import SLACK_EXAMPLE
from tests.support.serving import ADMIN, PASSWORD, Server, login, serving, start, until, upload, wait_for

NOTES = "chatferry_text_index"
SLOWLY = {"CHATFERRY_TEXT_INDEX_LAST": "1", "CHATFERRY_MESSAGES_PER_SECOND": "20"}
DROPPED, BUILT, NOT_BUILT, NOT_DROPPED = (
    f"text-index-{what}" for what in ("dropped", "built", "not-built", "not-dropped")
)
PLAIN = "msg_text"
FORMS: dict[str, list[tuple[str, Any]]] = {
    "compound": [("rid", 1), ("msg", "text"), ("u.name", "text"), ("ts", -1)],
    "wildcard": [("$**", "text")],
}
OPTIONS: dict[str, dict[str, Any]] = {
    "compound": {
        "name": "words of a room",
        "weights": {"msg": 10, "u.name": 2},
        "default_language": "german",
        "language_override": "tongue",
        "partialFilterExpression": {"ts": {"$gte": datetime(2001, 2, 3, tzinfo=UTC)}, "n.x": {"$lt": 2.0}},
        "textIndexVersion": 2,
    },
    "wildcard": {"default_language": "none", "collation": {"locale": "simple"}, "sparse": True},
}


class Place:
    """A database with an administrator and Rocket.Chat's indexes of messages."""

    def __init__(self, server: Mongod, database: Database[dict[str, Any]]) -> None:
        self.database = database
        self.url = server.database_url(database.name)
        make_indexes(database, MESSAGES)
        with closing(open_destination(self.url)) as opened:
            accounts.add_admin(opened, ADMIN, ADMIN, PASSWORD, "", Date.at(now()))
        database.rocketchat_permissions.insert_one({"_id": "run-import", "roles": ["admin"]})

    def indexes(self) -> dict[str, Any]:
        return {index["name"]: dict(index) for index in self.database[MESSAGES].list_indexes()}

    def has_index(self) -> bool:
        return PLAIN in self.indexes()

    def is_without(self) -> bool:
        return not self.has_index()

    def found(self, word: str) -> int:
        return self.database[MESSAGES].count_documents({"$text": {"$search": word}})

    def notes(self) -> int:
        return self.database[NOTES].count_documents({})


@pytest.fixture
def place(mongod: Mongod) -> Iterator[Place]:
    with mongod.client() as client:
        yield Place(mongod, client.text_index)
        client.drop_database("text_index")


def imported(
    place: Place,
    folder: Path,
    watch: Callable[[Operation], None] = lambda operation: None,
    workers: int = 0,
    store: Store | None = None,
) -> Imported:
    """Import the example with the option."""
    store, settings = store or Store(), Settings(data=folder, text_index_last=True, workers=workers)
    destination = open_destination(place.url)
    operation = new_operation(SLACK_EXAMPLE, destination)
    store.operations.add(operation)
    operation = run_operation(operation, store, destination, settings)
    operation = advance(replace(operation, selection=ALL), Status.IMPORTING, now())
    store.operations.save(operation)
    operation = run_operation(operation, store, destination, settings, watch=watch)
    destination.close()
    return Imported(operation, store, destination)


class Stopped(BaseException):
    """The end of the process."""


def told(report: dict[str, Any]) -> list[str]:
    """Return the kinds of problems that a report has about the text index."""
    return [one["kind"] for one in report["problems"] if one["kind"].startswith("text-index")]


# ---------------------------------------------------------------- an import that comes to its end


@pytest.mark.parametrize("workers", [0, 2])
def test_the_index_is_dropped_while_messages_are_written_and_restored(
    place: Place, tmp_path: Path, workers: int
) -> None:
    before, seen = place.indexes(), []

    def look(operation: Operation) -> None:
        if operation.status == Status.IMPORTING_CHANNELS:
            assert place.indexes() == before
        if operation.status in (Status.FINISHING, Status.DONE):
            seen.append((operation.status, place.has_index(), place.notes()))

    done = imported(place, tmp_path, look, workers)
    assert done.operation.status == Status.DONE, done.operation.error
    assert seen == [(Status.FINISHING, False, 1), (Status.DONE, True, 0)]
    assert place.indexes() == before
    assert told(done.report) == [DROPPED, BUILT]
    with_word = {"msg": {"$regex": r"\banswer", "$options": "i"}}
    assert place.found("answer") == place.database[MESSAGES].count_documents(with_word) > 0


@pytest.mark.parametrize("form", FORMS)
def test_a_text_index_of_any_form_is_restored(place: Place, tmp_path: Path, form: str) -> None:
    place.database[MESSAGES].drop_index(PLAIN)
    place.database[MESSAGES].create_index(FORMS[form], **OPTIONS[form])
    before = place.indexes()
    done = imported(place, tmp_path)
    assert (done.operation.status, told(done.report)) == (Status.DONE, [DROPPED, BUILT])
    assert place.indexes() == before
    assert [list(index) for index in place.indexes().values()] == [list(index) for index in before.values()]


def test_without_a_text_index_the_report_says_so(place: Place, tmp_path: Path) -> None:
    place.database[MESSAGES].drop_index(PLAIN)
    before = place.indexes()
    done = imported(place, tmp_path)
    assert (done.operation.status, told(done.report)) == (Status.DONE, [NOT_DROPPED])
    assert (place.indexes(), place.notes()) == (before, 0)


def test_on_the_command_line(place: Place, tmp_path: Path) -> None:
    before = place.indexes()
    arguments = ("import", "slack", SLACK_EXAMPLE, "--data", tmp_path, "--destination", place.url)
    option = ("--json", "--text-index-last")
    tried = chatferry(*arguments, *option, "--dry-run")
    assert told(json.loads(tried.stdout)) == []
    done = chatferry(*arguments, *option)
    assert told(json.loads(done.stdout)) == [DROPPED, BUILT]
    assert place.indexes() == before
    shown = chatferry("report", "--data", tmp_path, "--all").stdout
    assert re.search(rf"The text index {PLAIN} of {MESSAGES} was dropped at 20\d\d-", shown)
    assert re.search(rf"The text index {PLAIN} of {MESSAGES} was there again at 20\d\d-", shown)
    plain = chatferry(*arguments, "--json")
    assert told(json.loads(plain.stdout)) == []


@pytest.mark.parametrize("destination", ["", "sqlite:x.db", "memory:"])
def test_the_option_is_refused_for_other_destinations(tmp_path: Path, destination: str) -> None:
    where = ("--destination", destination) if destination else ()
    for what in (("import", "slack", SLACK_EXAMPLE), ("serve", "--port", "0")):
        done = chatferry(*what, "--data", tmp_path, "--text-index-last", *where)
        assert (done.returncode, "--text-index-last is for MongoDB only" in done.stderr) == (2, True)


# ---------------------------------------------------------------- an import that does not


@pytest.fixture
def server(place: Place, tmp_path: Path) -> Iterator[Server]:
    """A server that takes ten seconds to import the example."""
    with serving(tmp_path / "data", "--destination", place.url, **SLOWLY) as running:
        yield running


def begin(server: Server, place: Place) -> str:
    """Start an import and wait until the index is away; its id."""
    with login(server) as http:
        id = upload(http, SLACK_EXAMPLE)
        wait_for(http, "importer_user_selection")
        http.post("startImport", json={"input": {"users": {"all": True}, "channels": {"all": True}}})
    until(place.is_without)
    return id


def cancel(server: Server) -> None:
    with login(server) as http:
        http.post("import.clear")
    until(lambda: bool(report(server)["operation"]["status"] == "importer_import_cancelled"))


def report(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(chatferry("report", "--data", server.data, "--json", "--all").stdout)
    return found


def test_after_a_cancelled_import_it_is_there(place: Place, server: Server) -> None:
    before = place.indexes()
    begin(server, place)
    cancel(server)
    assert (place.indexes(), place.notes()) == (before, 0)
    assert told(report(server)) == [DROPPED, BUILT]


def test_while_an_import_is_paused_it_is_there(place: Place, server: Server) -> None:
    before = place.indexes()
    begin(server, place)
    with login(server) as http:
        http.post("import.pause")
        until(place.has_index)
        until(lambda: place.notes() == 0)
        assert place.indexes() == before
        http.post("import.resume")
        until(place.is_without)
        cancel(server)
    assert place.indexes() == before
    assert told(report(server)) == [DROPPED, BUILT, DROPPED, BUILT]


def test_a_server_that_is_stopped_builds_it(place: Place, server: Server) -> None:
    before = place.indexes()
    begin(server, place)
    server.stop()
    assert (place.indexes(), place.notes()) == (before, 0)


def test_after_a_kill_the_next_start_builds_it(place: Place, server: Server, tmp_path: Path) -> None:
    before = place.indexes()
    begin(server, place)
    server.kill()
    for reading in (("dump", "users"), ("token", "--user", ADMIN)):
        assert chatferry(*reading, "--data", server.data, "--destination", place.url).returncode == 0
    assert (place.is_without(), place.notes()) == (True, 1)
    again = start(server.data, "--destination", place.url)  # without the option, and at full speed
    try:
        with login(again) as http:
            wait_for(http, "importer_done")
        assert (place.indexes(), place.notes()) == (before, 0)
        assert told(report(again)) == [DROPPED, BUILT]
    finally:
        again.kill()


def test_another_chatferry_leaves_the_index_of_a_running_import_alone(
    place: Place, server: Server, tmp_path: Path
) -> None:
    before = place.indexes()
    begin(server, place)
    arguments = ("import", "slack", SLACK_EXAMPLE, "--data", tmp_path / "other", "--destination", place.url)
    done = chatferry(*arguments, "--text-index-last", "--json", CHATFERRY_MAX_OUTAGE_SECONDS="1")
    assert done.returncode == 4
    assert "another chatferry has been importing into this database" in done.stdout + done.stderr
    assert (place.is_without(), place.notes()) == (True, 1)
    cancel(server)
    assert (place.indexes(), place.notes()) == (before, 0)


def test_an_import_that_only_has_to_finish_drops_nothing(place: Place, tmp_path: Path) -> None:
    before, store = place.indexes(), Store()

    def stop(operation: Operation) -> None:
        if operation.status == Status.FINISHING:
            raise Stopped

    with pytest.raises(Stopped):
        imported(place, tmp_path, stop, store=store)
    assert (place.indexes(), place.notes()) == (before, 0)
    operation = store.operations.last()
    assert operation is not None
    with closing(open_destination(place.url)) as opened:
        done = run_operation(operation, store, opened, Settings(data=tmp_path, text_index_last=True))
        assert done.status == Status.DONE
        assert told(Imported(done, store, opened).report) == [DROPPED, BUILT]


# ---------------------------------------------------------------- what went wrong


def test_an_index_dropped_by_a_lost_data_directory_is_rebuilt(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_index, "SILENCE", 1.0)
    monkeypatch.setattr(text_index, "BEAT", 0.2)
    before = place.indexes()
    with closing(open_text_index(place.url)) as lost:
        note = lost.take_note("of a lost data directory", now())
        assert note is not None
        lost.drop(note)
        build_what_is_left(place.url, Store())
        assert place.is_without()  # its process lives
    build_what_is_left(place.url, Store())
    assert (place.indexes(), place.notes()) == (before, 0)


def test_a_note_without_a_drop_does_no_harm(place: Place) -> None:
    before, store = place.indexes(), Store()
    with closing(open_destination(place.url)) as opened:
        operation = new_operation(SLACK_EXAMPLE, opened)
    store.operations.add(operation)
    with closing(open_text_index(place.url)) as killed:
        killed.take_note(operation.id, now())
    build_what_is_left(place.url, store)
    assert (place.indexes(), place.notes()) == (before, 0)


def test_a_note_that_cannot_be_read_is_told(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.database[NOTES].insert_one({"_id": MESSAGES, "operation": "x", "definition": "{"})
    build_what_is_left(place.url, Store())
    assert f"then drop the collection {NOTES}" in caplog.text
    assert place.notes() == 1


def test_if_the_index_cannot_be_built_the_report_says_what_to_do(place: Place, tmp_path: Path) -> None:
    before = place.indexes()
    messages = place.database[MESSAGES]

    def interfere(operation: Operation) -> None:
        if operation.status == Status.FINISHING:
            messages.create_index([("u.name", "text")], name="other")

    done = imported(place, tmp_path, interfere)
    assert done.operation.status == Status.DONE
    assert told(done.report) == [DROPPED, NOT_BUILT]
    assert place.notes() == 1
    reason = next(one["reason"] for one in done.report["problems"] if one["kind"] == NOT_BUILT)
    assert "has another text index, other, and can have only one" in reason
    again = TextIndexLast(done.operation.id, done.store, place.url)
    with again:  # the next import tries again, and drops nothing
        again.drop()
    assert list(place.indexes()).count("other") == 1
    messages.drop_index("other")
    command = re.search(r'db\.getSiblingDB\("(.+)"\)\.(\w+)\.createIndex\((\{.*?\}), (\{.*\})\)', reason)
    assert command is not None
    assert (command[1], command[2]) == ("text_index", MESSAGES)
    index = {"key": json.loads(command[3]), **json.loads(command[4])}
    place.database.command("createIndexes", command[2], indexes=[index])
    assert place.indexes() == before
    build_what_is_left(place.url, done.store)
    assert (place.indexes(), place.notes()) == (before, 0)
    assert told(Imported(done.operation, done.store, done.destination).report) == [DROPPED, NOT_BUILT, BUILT]


def test_a_server_that_is_killed_on_the_way_gets_it_back(tmp_path: Path) -> None:
    own = Mongod(tmp_path / "mongod")
    own.start()

    def restart(operation: Operation) -> None:
        if operation.status == Status.FINISHING:
            own.kill()
            own.start()

    try:
        with own.client() as client:
            place = Place(own, client.text_index)
            before = place.indexes()
            done = imported(place, tmp_path, restart)
            assert done.operation.status == Status.DONE, done.operation.error
            assert told(done.report) == [DROPPED, BUILT]
            assert (place.indexes(), place.notes()) == (before, 0)
    finally:
        own.kill()
