"""The embedded workspace: its file, its layout, and its errors."""

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event, Timer
from typing import Any

import pytest

from chatferry.destinations import Lookup, open_destination
from chatferry.destinations.slices import CHUNK
from chatferry.destinations.sqlite import destination as sqlite_module
from chatferry.destinations.sqlite.destination import SCHEMA_VERSION, SqliteDestination
from chatferry.documents import (
    AVATARS,
    COLLECTIONS,
    CONTACTS,
    MESSAGES,
    ROOMS,
    SUBSCRIPTIONS,
    USERS,
    Date,
    Insert,
    Update,
    decode,
)
from chatferry.errors import DestinationError, NoRoomError, SettingsError

NOBODY = 65534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "workspace.db"


@pytest.fixture
def workspace(path: Path) -> Iterator[SqliteDestination]:
    opened = SqliteDestination(path)
    yield opened
    opened.close()


def message(id_: str, **fields: Any) -> Insert:
    return Insert(MESSAGES, {"_id": id_, "rid": "r1", "ts": Date.at(1_672_650_050_123), "msg": "Hi"} | fields)


def subscription(id_: str, rid: Any, uid: str) -> Insert:
    return Insert(SUBSCRIPTIONS, {"_id": id_, "rid": rid, "u": {"_id": uid, "username": uid}})


def rows(path: Path, sql: str) -> list[Any]:
    """Return the rows that another program reads in the file."""
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


# ---------------------------------------------------------------- the file


def test_it_is_opened_by_its_url(path: Path) -> None:
    with closing(open_destination(f"sqlite:{path}")) as destination:
        assert isinstance(destination, SqliteDestination)
    assert path.exists()


def test_tables_are_named_like_the_collections(workspace: SqliteDestination, path: Path) -> None:
    tables = {name for (name,) in rows(path, "SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables == {
        *COLLECTIONS,
        "rocketchat_uploads.chunks",
        "rocketchat_avatars.chunks",
        "chatferry_keys",
        "chatferry_about",
    }


def test_subscriptions_are_found_and_counted_by_an_index(workspace: SqliteDestination, path: Path) -> None:
    table = "rocketchat_subscription"
    for query in ("SELECT doc", "SELECT rid, count(*)"):
        ((_, _, _, plan),) = rows(path, f"EXPLAIN QUERY PLAN {query} FROM {table} WHERE rid IN ('a', 'b')")
        assert f"INDEX {table}_of (rid=?)" in plan


def test_rooms_and_threads_are_read_by_an_index(workspace: SqliteDestination, path: Path) -> None:
    room = "EXPLAIN QUERY PLAN SELECT doc FROM rocketchat_message WHERE rid = 'r' AND ts > '2023' ORDER BY ts"
    ((*_, plan),) = rows(path, room)
    assert plan == "SEARCH rocketchat_message USING INDEX rocketchat_message_in_room (rid=? AND ts>?)"
    thread = "EXPLAIN QUERY PLAN SELECT doc FROM rocketchat_message WHERE tmid = 'm'"
    ((*_, plan),) = rows(path, thread)
    assert plan == "SEARCH rocketchat_message USING INDEX rocketchat_message_in_thread (tmid=?)"


def test_it_keeps_a_write_ahead_log(workspace: SqliteDestination, path: Path) -> None:
    assert rows(path, "PRAGMA journal_mode") == [("wal",)]


def test_other_programs_can_read_the_documents(workspace: SqliteDestination, path: Path) -> None:
    workspace.apply([message("m1", tmid="m0"), Insert(USERS, {"_id": "u1", "name": "Zoë"})])
    assert rows(path, "SELECT _id, rid, ts, tmid, hex(digest), typeof(doc) FROM rocketchat_message") == [
        ("m1", "r1", "2023-01-02T09:00:50.123", "m0", "", "text")
    ]
    assert rows(path, "SELECT json_extract(doc, '$.name') FROM users") == [("Zoë",)]


def test_times_before_1970_are_kept_to_the_millisecond(workspace: SqliteDestination, path: Path) -> None:
    times = [-1, -999, -86_400_001, 0, 1, 4_102_444_800_999]
    workspace.apply([message(f"m{ts}", ts=Date.at(ts)) for ts in times])
    in_order = [ts for (ts,) in rows(path, "SELECT ts FROM rocketchat_message ORDER BY ts")]
    assert in_order == [Date.at(ts).iso[:-1] for ts in sorted(times)]


def test_times_in_other_forms_are_put_in_order(workspace: SqliteDestination, path: Path) -> None:
    times = ["09:00:50Z", "09:00:50.1Z", "10:00:50.123+01:00", "09:00:50.2Z", "09:00:50.250999Z", "09:00:51Z"]
    dates = [Date(f"2023-01-02T{time}") for time in times]
    workspace.apply([message(f"m{n}", ts=date) for n, date in enumerate(dates)])
    assert rows(path, "SELECT _id FROM rocketchat_message ORDER BY ts") == [(f"m{n}",) for n in range(6)]
    assert [decode(line)["ts"] for line in workspace.dump(MESSAGES)] == dates  # as they were


def test_columns_follow_updates(workspace: SqliteDestination, path: Path) -> None:
    workspace.apply([message("m1", tmid="m0")])
    how = {"rid": "r2", "ts": Date.at(7)}
    workspace.apply([Update(collection=MESSAGES, id="m1", set=how, unset=("tmid",))])
    assert rows(path, "SELECT rid, ts, tmid FROM rocketchat_message") == [
        ("r2", "1970-01-01T00:00:00.007", None)
    ]


def test_subscriptions_can_change_places(workspace: SqliteDestination) -> None:
    first, second = subscription("s1", "r1", "u1"), subscription("s2", "r1", "u2")
    assert workspace.apply([first, second]) == []
    places = [
        Update(collection=SUBSCRIPTIONS, id="s1", set={"u._id": "u3"}),
        Update(collection=SUBSCRIPTIONS, id="s2", set={"u._id": "u1"}),
        Update(collection=SUBSCRIPTIONS, id="s1", set={"u._id": "u2"}),
    ]
    assert workspace.apply(places) == []
    found = workspace.find(Lookup.SUBSCRIPTION_ROOM, ["r1"])
    assert {one["_id"]: one["u"]["_id"] for one in found} == {"s1": "u2", "s2": "u1"}
    assert [one.index for one in workspace.apply([subscription("s3", "r1", "u1")])] == [0]


def test_files_are_cut_as_gridfs_cuts_them(workspace: SqliteDestination, path: Path) -> None:
    workspace.put_file({"_id": "f1"}, [b"x" * (2 * CHUNK), b"yz"])
    sql = "SELECT files_id, n, length(data) FROM [rocketchat_uploads.chunks] ORDER BY n"
    assert rows(path, sql) == [("f1", 0, 261_120), ("f1", 1, 261_120), ("f1", 2, 2)]


def test_an_update_that_changes_nothing_writes_nothing(workspace: SqliteDestination) -> None:
    workspace.apply([Insert(USERS, {"_id": "u1", "name": "Ada", "roles": ["user"]}), message("m1")])
    before = [*workspace.dump(USERS), *workspace.dump(MESSAGES)]
    time.sleep(0.002)
    same = Update(collection=USERS, id="u1", set={"name": "Ada"}, add={"roles": ("user",)}, unset=("bio",))
    assert workspace.apply([same, Update(collection=MESSAGES, id="m1", digest=b"12345678")]) == []
    assert [*workspace.dump(USERS), *workspace.dump(MESSAGES)] == before
    assert workspace.digests(["m1"]) == {"m1": b"12345678"}


# ---------------------------------------------------------------- the newest message of a large room


def test_a_rooms_newest_message_is_found_by_the_index(workspace: SqliteDestination, path: Path) -> None:
    workspace.apply([Insert(ROOMS, {"_id": "r1"})])
    workspace.apply([message(f"m{n}", ts=Date.at(n)) for n in range(1_000)])
    workspace.refresh_rooms(["r1"])
    assert decode(next(workspace.dump(ROOMS)))["lastMessage"]["_id"] == "m999"
    (first, *_) = rows(path, f"EXPLAIN QUERY PLAN {sqlite_module._NEWEST.replace('?', repr('r1'))}")
    assert "USING INDEX rocketchat_message_in_room" in first[-1]


# ---------------------------------------------------------------- several at once


def test_a_reader_sees_whole_batches_while_a_writer_writes(workspace: SqliteDestination, path: Path) -> None:
    done = Event()

    def write() -> None:
        try:
            for start in range(0, 6000, 100):
                workspace.apply([message(f"m{n}", ts=Date.at(n)) for n in range(start, start + 100)])
        finally:
            done.set()

    seen = set()
    with ThreadPoolExecutor() as pool, closing(SqliteDestination(path)) as reader:
        writer = pool.submit(write)
        while not done.is_set():
            count = sum(1 for _ in reader.dump(MESSAGES))
            found = reader.digests([f"m{n}" for n in range(6000)])
            assert count % 100 == 0
            assert len(found) % 100 == 0
            seen.add(count)
        writer.result()
    assert len(seen) > 2  # it read in between


def test_many_make_the_file_at_once(tmp_path: Path) -> None:
    def make(path: Path) -> None:
        with closing(SqliteDestination(path)) as destination:
            assert destination.apply([message("m1")]) == []

    with ThreadPoolExecutor(8) as pool:
        for n in range(25):
            list(pool.map(make, [tmp_path / f"{n}.db"] * 8))


def test_a_file_that_another_process_is_making_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        release = Timer(0.3, other.execute, ["ROLLBACK"])
        release.start()
        with closing(SqliteDestination(path)) as destination:
            assert destination.apply([message("m1")]) == []
        release.join()


def test_a_dump_shows_the_state_at_its_beginning(workspace: SqliteDestination) -> None:
    workspace.apply([message("m1"), message("m2")])
    dump = workspace.dump(MESSAGES)
    first = next(dump)
    workspace.apply([Update(collection=MESSAGES, id="m2", set={"msg": "new"}), message("m3")])
    assert [decode(line)["msg"] for line in (first, *dump)] == ["Hi", "Hi"]


def test_several_writers_wait_for_each_other(path: Path) -> None:
    def write(writer: int) -> bool:
        """Whether this writer was the one that got the username."""
        got = Insert(USERS, {"_id": f"u{writer}", "username": "one"})
        with closing(SqliteDestination(path)) as destination:  # each makes the file, or finds it made
            batches = [[message(f"{writer}-{start + n}") for n in range(30)] for start in range(0, 300, 30)]
            answers = [destination.apply([got, *batch]) for batch in batches]
            return answers == [[]] * 10

    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(write, range(8)))
    assert got.count(True) == 1
    assert rows(path, "SELECT count(*) FROM rocketchat_message") == [(2400,)]


# ---------------------------------------------------------------- what can be wrong with a file


def refused(path: Path) -> str:
    """Return the error with which the workspace cannot be opened."""
    with pytest.raises(SettingsError) as caught:
        SqliteDestination(path)
    return str(caught.value)


def test_a_file_that_is_no_database(path: Path) -> None:
    path.write_text("Dear diary, " * 1000)
    assert refused(path) == (
        f"The workspace {path}: this file is no database; name another file (file is not a database)."
    )
    assert path.read_text().startswith("Dear diary")


def test_a_database_of_another_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE users (id)")
    assert refused(path) == f"{path} is a database, but no chatferry workspace. Name another file."
    assert rows(path, "PRAGMA journal_mode") == [("delete",)]


def test_a_workspace_of_an_older_version_gets_the_tables_it_lacks(path: Path) -> None:
    SqliteDestination(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute('DROP TABLE "rocketchat_avatars.chunks"')
        db.execute("DROP TABLE rocketchat_avatars")
        db.execute("PRAGMA user_version = 1")
    with closing(SqliteDestination(path)) as workspace:
        workspace.put_file({"_id": "a1"}, [b"avatar"], AVATARS)
        assert b"".join(workspace.read_file("a1", AVATARS)) == b"avatar"


@pytest.mark.parametrize("version", [0, SCHEMA_VERSION + 1])
def test_a_workspace_of_another_version(path: Path, version: int) -> None:
    SqliteDestination(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {version}")
    assert refused(path) == (
        f"The workspace {path} has version {version}, and this chatferry knows version {SCHEMA_VERSION}. "
        "Use the chatferry that wrote it, or a newer one."
    )


def test_a_workspace_of_an_older_version_keeps_its_messages(path: Path) -> None:
    with closing(SqliteDestination(path)) as destination:
        destination.apply([message("m1")])
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP TABLE rocketchat_livechat_contact")
        db.execute("PRAGMA user_version = 1")
    with closing(SqliteDestination(path)) as destination:
        assert destination.apply([Insert(CONTACTS, {"_id": "c1", "name": "Cleo"})]) == []
        assert list(destination.digests(["m1"])) == ["m1"]
    assert rows(path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]


def test_subscriptions_of_an_older_version_are_found_and_unique(path: Path) -> None:
    with closing(SqliteDestination(path)) as destination:
        destination.apply([subscription("s1", "r1", "u1"), subscription("s2", 5, "u1")])
    with closing(sqlite3.connect(path)) as db:  # as version 2 had them
        db.executescript("""
            DROP INDEX rocketchat_subscription_of;
            ALTER TABLE rocketchat_subscription DROP COLUMN rid;
            ALTER TABLE rocketchat_subscription DROP COLUMN uid;
            INSERT INTO chatferry_keys VALUES
                ('rocketchat_subscription', 'rid', 'r1', 's1'),
                ('rocketchat_subscription', 'member', '["r1","u1"]', 's1');
            PRAGMA user_version = 2;
        """)
    for _ in range(2):
        with closing(SqliteDestination(path)) as destination:
            (found,) = destination.find(Lookup.SUBSCRIPTION_ROOM, ["r1"])
            assert found["_id"] == "s1"
            again = [subscription("s3", "r1", "u1"), subscription("s4", 5, "u1")]
            assert [one.index for one in destination.apply(again)] == [0, 1]
    assert rows(path, "SELECT count(*) FROM chatferry_keys") == [(0,)]
    assert rows(path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]


def test_a_workspace_of_an_older_version_gets_an_id_of_its_own(path: Path) -> None:
    ids = set()
    for each in (path, path.with_name("other.db")):
        SqliteDestination(each).close()
        with closing(sqlite3.connect(each)) as db:
            db.executescript("DROP TABLE chatferry_about; PRAGMA user_version = 3;")
        for _ in range(2):
            with closing(SqliteDestination(each)) as destination:
                ids.add(destination.unique_id())
    assert len(ids) == 2


def test_an_empty_file_becomes_a_workspace(path: Path) -> None:
    path.touch()
    with closing(SqliteDestination(path)) as destination:
        assert destination.apply([message("m1")]) == []


def test_a_missing_directory_is_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deeper" / "workspace.db"
    SqliteDestination(path).close()
    assert path.exists()


def test_a_directory_that_cannot_be_made(path: Path) -> None:
    path.write_text("in the way")
    assert refused(path / "deeper" / "workspace.db") == (
        f"The directory {path / 'deeper'} cannot be made: Not a directory."
    )


def test_a_directory_in_the_place_of_the_file(tmp_path: Path) -> None:
    assert "it cannot be opened; check that the directory exists and can be written" in refused(tmp_path)


@contextmanager
def without_privileges() -> Iterator[None]:
    """Permissions mean nothing to root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that everybody reaches."""
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o777)
    yield directory
    directory.chmod(0o777)
    shutil.rmtree(directory)


def test_a_read_only_directory(open_directory: Path) -> None:
    open_directory.chmod(0o555)
    with without_privileges():
        assert "it cannot be opened; check that the directory exists and can be written" in refused(
            open_directory / "workspace.db"
        )
        assert refused(open_directory / "new" / "workspace.db").endswith("cannot be made: Permission denied.")


def test_a_workspace_in_a_directory_that_became_read_only(open_directory: Path) -> None:
    path = open_directory / "workspace.db"
    SqliteDestination(path).close()
    path.chmod(0o666)
    open_directory.chmod(0o555)
    with without_privileges():
        assert str(path) in refused(path)


# ---------------------------------------------------------------- what can go wrong later


def test_replaced_content_is_gone_from_the_file(path: Path) -> None:
    with closing(SqliteDestination(path)) as workspace:
        workspace.apply([message(f"m{number}", msg="rosebud " * 20) for number in range(100)])
    with closing(SqliteDestination(path)) as workspace:
        short = [Update(collection=MESSAGES, id=f"m{number}", set={"msg": "short"}) for number in range(100)]
        assert workspace.apply(short) == []
    assert b"rosebud" not in path.read_bytes()


def test_a_full_disk(connections: list[sqlite3.Connection], workspace: SqliteDestination, path: Path) -> None:
    workspace.apply([message("m1")])
    ((pages,),) = rows(path, "PRAGMA page_count")
    connections[0].execute(f"PRAGMA max_page_count = {pages + 1}")
    with pytest.raises(NoRoomError, match=r"the disk is full; make room and try again"):
        workspace.apply([message(f"x{n}", msg="long " * 1000) for n in range(100)])
    connections[0].execute("PRAGMA max_page_count = 1000000")
    assert workspace.apply([message("m2")]) == []
    assert [decode(line)["_id"] for line in workspace.dump(MESSAGES)] == ["m1", "m2"]


def test_another_program_that_does_not_let_go(
    connections: list[sqlite3.Connection], workspace: SqliteDestination, path: Path
) -> None:
    connections[0].execute("PRAGMA busy_timeout = 10")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DestinationError, match=r"another process has been writing to it for too long"):
            workspace.apply([message("m1")])
        assert workspace.digests(["m1"]) == {}  # reading goes on
    assert workspace.apply([message("m1")]) == []


def test_mistakes_of_ours_are_not_blamed_on_settings(workspace: SqliteDestination, path: Path) -> None:
    with closing(sqlite3.connect(path)) as another:
        another.execute("DROP TABLE rocketchat_message")
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        workspace.digests(["m1"])
    with pytest.raises(KeyError):
        workspace.apply([Insert("rocketchat_nothing", {"_id": "a1"})])
    assert workspace.apply([Insert(USERS, {"_id": "u1"})]) == []
