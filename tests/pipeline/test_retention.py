"""Data of an operation is deleted at its end from every file of the data directory."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from msgspec.structs import replace

from chatferry.clock import now
from chatferry.destinations.memory import MemoryDestination
from chatferry.ids import new_id
from chatferry.operations import FAILED_KEPT, Status, is_over, may_retry
from chatferry.pipeline.retention import clear_away, leftovers
from chatferry.records import Outcome, PendingFile
from chatferry.settings import Settings, from_environment
from chatferry.store import Store
from tests.support.command_line import chatferry, chatferry_in
from tests.support.exports import ALICE, DAY, TOKEN, file, message, png, user, write_export
from tests.support.filehost import FileHost, ranges
from tests.support.importing import import_archive, new_operation, workspace
from tests.support.serving import login, run_import, serving, start, until, upload, wait_for

PERSON = "Wilhelmina Quetzalcoatl"
SECRET = b"abcdefSECRET"
PNG = png(3, 2)
OPERATION = new_operation(Path(), MemoryDestination())


def export_of(folder: Path, *messages: dict[str, object], **more: object) -> Path:
    """An export with a person who is named only in the list of users."""
    people = [ALICE, user("UMINA0001", "mina", real_name=PERSON)]
    return write_export(folder, {DAY: [message(1), *messages], **more}, users=people)


def holding(data: Path, text: bytes) -> list[str]:
    """The files of a data directory, but the workspace, that hold these bytes."""
    found = (path for path in data.rglob("*") if path.is_file() and "workspace" not in path.name)
    return sorted(str(path.relative_to(data)) for path in found if text in path.read_bytes())


def staged(data: Path) -> int:
    with Store(data / "store.sqlite3") as store:
        return sum(map(store.staging.count, store.staging.operations()))


def test_nothing_of_an_import_that_is_done_stays_at_the_server(tmp_path: Path) -> None:
    """While it serves: the archive, the people, and their pages in the write-ahead log."""
    export, data = export_of(tmp_path / "export"), tmp_path / "data"
    with serving(data) as server, login(server) as http:
        first = run_import(http, export)
        until(lambda: server.uploads == [] and holding(data, PERSON.encode()) == [])
        selection = http.get("getImportFileData").json()
        assert (selection["users"], selection["message_count"]) == ([], 1)
        again = run_import(http, export)
        until(lambda: holding(data, PERSON.encode()) == [])
        reports = [chatferry("report", one["_id"], "--data", data, "--json") for one in (first, again)]
    first_report, second_report = (json.loads(report.stdout) for report in reports)
    assert first_report["users"]["read"] == first_report["users"]["inserted"] == 2
    assert second_report["users"]["read"] == second_report["users"]["unchanged"] == 2
    assert second_report["messages"]["unchanged"] == 1


def test_archives_of_cleared_and_replaced_operations_are_deleted_at_once(tmp_path: Path) -> None:
    export, data = export_of(tmp_path / "export"), tmp_path / "data"
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK\3\4 no zip")
    with serving(data) as server, login(server) as http:
        upload(http, export)
        wait_for(http, "importer_user_selection")
        assert len(server.uploads) == 1 and holding(data, PERSON.encode()) != []
        http.post("import.clear")
        assert (server.uploads, holding(data, PERSON.encode())) == ([], [])
        upload(http, broken)
        while http.get("getImportProgress").json()["step"] != "importer_import_failed":
            pass
        assert len(server.uploads) == 1  # to try again
        second = upload(http, export)
        assert [path.name for path in server.uploads] == [second]


def test_an_archive_stays_until_its_files_are_fetched(tmp_path: Path) -> None:
    day, data = [message(2, file("F1", "", "kept.png"))], tmp_path / "data"
    export = export_of(tmp_path / "export", *day, **{"__uploads/F1/kept.png": PNG})
    with serving(data) as server, login(server) as http:
        run_import(http, export)
        assert len(server.uploads) == 1
    start(data).kill()
    with serving(data) as server, login(server) as http:
        assert len(server.uploads) == 1
        http.post("downloadPendingFiles")
        wait_for(http, "importer_done")
        until(lambda: server.uploads == [])


def test_addresses_go_with_the_bytes_and_do_not_come_back(tmp_path: Path, host: FileHost) -> None:
    """Of files and avatars; also by importing the same export again."""
    picture = host.put("/a.png", lambda to: to.whole(PNG, content_type="image/png"))
    people = [ALICE, user("UMINA0001", "mina", image_original=f"{picture}?t={TOKEN}", is_custom_image=True)]
    day = [message(1, file("F1", f"{picture}?t={TOKEN}")), message(2)]
    export = write_export(tmp_path / "export", {DAY: day}, users=people)
    data = tmp_path / "data"
    assert chatferry_in(tmp_path, "import", "slack", str(export), host=host).returncode == 0
    assert holding(data, SECRET) == ["store.sqlite3"]
    again = chatferry_in(tmp_path, "import", "slack", str(export), "--json", host=host)
    assert json.loads(again.stdout)["files"]["unchanged"] == 1
    assert chatferry_in(tmp_path, "files", host=host).returncode == 0
    assert len(host.asked) == 2
    assert holding(data, SECRET) == []
    day[1] = message(2, text="edited")
    newer = write_export(tmp_path / "newer", {DAY: day}, users=people)
    third = chatferry_in(tmp_path, "import", "slack", str(newer), "--json", host=host)
    assert json.loads(third.stdout)["files"]["unchanged"] == 1
    assert holding(data, SECRET) == []
    assert export.exists()


def test_pending_files_keep_their_address_when_their_part_is_not_read_again(tmp_path: Path) -> None:
    day = [message(1, file("F1", f"http://files.example/a.png?t={TOKEN}"))]
    export = write_export(tmp_path / "export", {DAY: day})
    destination = workspace()
    path = tmp_path / "store.sqlite3"
    with Store(path) as store, closing(sqlite3.connect(path)) as database:
        import_archive(export, destination, store)
        marks = database.execute("SELECT mark FROM imprints").fetchall()
        kept = [store.part_cache.get(mark) for (mark,) in marks]
        assert [[file.url for file in one.pending] for one in kept if one] == [[""]]
        again = import_archive(export, destination, store)
        (pending,) = store.pending_files.pending("")
        assert pending.source == again.operation.id
        assert pending.file.url.endswith(TOKEN)


def test_the_address_of_an_archive_goes_with_its_operation(tmp_path: Path, host: FileHost) -> None:
    content = export_of(tmp_path / "export").read_bytes()
    url = host.put("/export.zip", ranges(lambda: content)) + "?sig=abcdefSECRET"
    done = chatferry_in(tmp_path, "import", "slack", url, host=host)
    assert done.returncode == 0, done.stderr
    assert holding(tmp_path / "data", SECRET) == []
    with Store(tmp_path / "data" / "store.sqlite3") as store:
        last = store.operations.last()
        assert last is not None and last.archive.endswith("/export.zip?sig=***")


def over(status: Status, *, valid: bool = True, age: int = 0, **how: bool) -> bool:
    operation = replace(OPERATION, status=status, valid=valid, updated_at=now() - age)
    return is_over(operation, now(), **how)


def test_which_operations_are_over() -> None:
    assert over(Status.DONE) and over(Status.CANCELLED)
    assert not over(Status.FAILED) and not over(Status.FAILED, age=FAILED_KEPT - 60_000)
    assert over(Status.FAILED, age=FAILED_KEPT) and over(Status.FAILED, valid=False)
    assert over(Status.FAILED, at_once=True)
    for status in (Status.NEW, Status.SELECTION):
        assert not over(status) and over(status, valid=False)
    for status in (Status.PREPARING, Status.IMPORTING_MESSAGES, Status.DOWNLOADING):
        assert not over(status) and not over(status, is_idle=True, at_once=True)
        assert not over(status, valid=False)  # somebody may still be at work on it
        assert over(status, valid=False, is_idle=True)


class Place:
    """A data directory with an operation whose archive the server stored."""

    def __init__(self, data: Path, **settings: str) -> None:
        self.settings = from_environment(settings, data=data)
        self.store = Store(self.settings.store_path)
        self.settings.uploads.mkdir()

    def add(self, status: Status, *, valid: bool = True) -> Path:
        operation = replace(OPERATION, id=new_id(), updated_at=now())
        path = self.settings.uploads / operation.id
        path.write_bytes(b"archive")
        self.store.operations.add(replace(operation, status=status, valid=valid, archive=str(path)))
        return path


def test_archives_can_be_kept_for_some_hours(tmp_path: Path) -> None:
    place = Place(tmp_path, CHATFERRY_KEEP_UPLOADS_HOURS="2")
    path = place.add(Status.DONE)
    hour = 60 * 60 * 1000
    for later, there in ((0, True), (2 * hour - 60_000, True), (2 * hour + 1, False)):
        clear_away(place.store, place.settings, now() + later)
        assert path.exists() is there
    place.store.close()
    assert Settings().uploads_kept == 0


def test_an_operation_that_failed_is_not_taken_up_without_its_people(tmp_path: Path) -> None:
    """Also one whose archive is the operator's, and still there."""
    export = export_of(tmp_path / "export")
    with Store(tmp_path / "store.sqlite3") as store:
        failed = replace(import_archive(export, store=store).operation, status=Status.FAILED)
        store.operations.save(failed)
        for later, valid in ((FAILED_KEPT - 60_000, True), (FAILED_KEPT + 1, False)):
            clear_away(store, Settings(data=tmp_path), failed.updated_at + later)
            found = store.operations.get(failed.id)
            assert found is not None and (found.valid, store.staging.operations() != []) == (valid, valid)
    assert export.exists()


def test_nothing_that_the_server_did_not_store_is_deleted(tmp_path: Path) -> None:
    """Neither an archive at another path nor an upload that is just arriving."""
    place = Place(tmp_path / "data")
    mine = tmp_path / "mine.zip"
    mine.write_bytes(b"")
    place.store.operations.add(replace(OPERATION, status=Status.DONE, archive=str(mine)))
    arriving, folder = place.settings.uploads / "arriving", place.settings.uploads / "folder"
    arriving.write_bytes(b"")
    folder.mkdir()
    linked = place.add(Status.DONE)
    linked.unlink()
    linked.symlink_to(tmp_path)
    clear_away(place.store, place.settings, now())
    assert mine.exists() and arriving.exists() and not linked.is_symlink()
    clear_away(place.store, place.settings, now(), is_idle=True)
    assert mine.exists() and not arriving.exists() and folder.exists()
    place.store.close()


def test_remains_of_a_killed_process_are_deleted(tmp_path: Path) -> None:
    """The people of its import, and files on their way; what can go on there is kept while it is pending."""
    place = Place(tmp_path)
    files = place.settings.fetched / "files"
    (files / "x.part").mkdir(parents=True)
    for path in (tmp_path / "known.msgpack", files / "y"):
        path.write_bytes(b"")
    pending = PendingFile(
        upload_id="x",
        import_id="F1",
        message_id="m",
        room_id="r",
        user_id="u",
        name="x",
        mime="",
        size=1,
        url="http://x/x",
        path="",
    )
    place.store.pending_files.add("o", [pending])
    clear_away(place.store, place.settings, now())
    assert len(list(files.iterdir())) == 2 and (tmp_path / "known.msgpack").exists()
    clear_away(place.store, place.settings, now(), is_idle=True)
    assert [path.name for path in files.iterdir()] == ["x.part"] and not (tmp_path / "known.msgpack").exists()
    place.store.fetches.note("o", Outcome.INSERTED, "x", "m")
    clear_away(place.store, place.settings, now(), is_idle=True)
    assert list(files.iterdir()) == []
    place.store.close()


def test_purge_says_what_it_deletes_and_can_only_say_it(tmp_path: Path) -> None:
    place = Place(tmp_path / "data")
    failed, waiting = place.add(Status.FAILED), place.add(Status.SELECTION)
    place.store.close()
    told = chatferry("purge", "--data", tmp_path / "data", "--dry-run")
    assert (
        told.stdout
        == f"Would delete {failed}: 7 bytes, archive of operation {failed.name}, importer_import_failed\n"
    )
    assert failed.exists()
    assert chatferry("purge", "--data", tmp_path / "data").stdout == told.stdout.replace(
        "Would delete", "Deleting"
    )
    assert (failed.exists(), waiting.exists()) == (False, True)
    with Store(tmp_path / "data" / "store.sqlite3") as store:
        gone, kept = map(store.operations.get, (failed.name, waiting.name))
        assert gone and not may_retry(gone) and kept and kept.valid
    assert chatferry("purge", "--data", tmp_path / "data").stdout == "There is nothing to delete.\n"
    assert "holds no operations" in chatferry("purge", "--data", tmp_path / "nowhere").stderr


def test_purge_removes_what_earlier_versions_left(tmp_path: Path) -> None:
    """An address of a file that is stored."""
    day = [message(1, file("F1", f"http://files.example/a.png?t={TOKEN}"))]
    export = write_export(tmp_path / "export", {DAY: day})
    data = tmp_path / "data"
    with Store(data / "store.sqlite3") as store:
        import_archive(export, store=store)
        (pending,) = store.pending_files.pending("")
        store.fetches.note("o", Outcome.INSERTED, pending.file.upload_id, pending.file.message_id)
    assert holding(data, SECRET) == ["store.sqlite3"]
    told = chatferry("purge", "--data", data).stdout
    assert "Deleting 1 addresses of files that are stored" in told
    assert holding(data, SECRET) == []


def test_purge_can_give_up_what_is_pending(tmp_path: Path, host: FileHost) -> None:
    """Importing again brings it back."""
    picture = f"{host.put('/a.png', PNG)}?t={TOKEN}"
    export = write_export(tmp_path / "export", {DAY: [message(1, file("F1", picture))]})
    data, destination = tmp_path / "data", workspace()
    with Store(data / "store.sqlite3") as store:
        import_archive(export, destination, store)
        clear_away(store, Settings(data=data), now())
        assert not leftovers(store, Settings(data=data), now(), at_once=True)
    told = chatferry("purge", "--data", data, "--pending").stdout
    assert told == "Deleting 1 files that are still to be fetched, and 0 secret addresses of avatars\n"
    assert holding(data, SECRET) == []
    with Store(data / "store.sqlite3") as store:
        assert store.pending_files.count() == 0
        import_archive(export, destination, store)
        (pending,) = store.pending_files.pending("")
        assert pending.file.url == picture


def test_reports_and_the_binding_are_kept(tmp_path: Path) -> None:
    export = export_of(tmp_path / "export")
    with Store(tmp_path / "store.sqlite3") as store:
        imported = import_archive(export, store=store)
        ids = set(store.staging.document_ids())
        clear_away(store, Settings(data=tmp_path), now())
        clear_away(store, Settings(data=tmp_path), now())
        assert store.staging.operations() == []
        assert store.staging.outcomes(imported.operation.id, "user") == {Outcome.INSERTED: 2}
        assert set(store.staging.document_ids()) == ids != set()  # they tell whose store it is
        assert not leftovers(store, Settings(data=tmp_path), now(), at_once=True)
