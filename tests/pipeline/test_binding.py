"""A data directory belongs to one destination: commands take it from there, and open no other."""

import shutil
import tarfile
from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from pymongo.database import Database
from typer.main import get_command
from typer.testing import CliRunner

from chatferry.cli.app import app
from chatferry.destinations import ADDRESS, Lookup, open_destination
from chatferry.destinations.urls import without_secrets
from chatferry.documents import MESSAGES, UPLOADS, USERS
from chatferry.errors import SettingsError
from chatferry.operations import Status
from chatferry.pipeline.binding import bound_destination, open_bound
from chatferry.settings import Settings, from_environment
from chatferry.store import Store
from tests.support.command_line import chatferry
from tests.support.exports import DAY, file, message, png, write_export
from tests.support.filehost import FileHost, noise
from tests.support.importing import documents_of, founded, import_archive
from tests.support.mongo import Mongod
from tests.support.paths import UNVERSIONED

PICTURE = png(10, 10, noise(1000))


@pytest.fixture
def database(mongod: Mongod) -> Iterator[Database[dict[str, Any]]]:
    """A database with the id of a Rocket.Chat server, and an administrator."""
    with mongod.client() as client:
        client.drop_database("bound")
        client.bound.rocketchat_settings.insert_one({"_id": "uniqueID", "value": "theServersOwnId"})
        with closing(open_destination(mongod.database_url("bound"))) as destination:
            founded(destination)
        yield client.bound
        client.drop_database("bound")


@pytest.fixture
def export(tmp_path: Path, host: FileHost) -> Path:
    day = [message(n, file(f"F{n}", host.put(f"/{n}.png", PICTURE))) for n in (1, 2)]
    return write_export(tmp_path / "export", {DAY: day})


def imported(export: Path, settings: Settings) -> None:
    """Import an export as the command does."""
    with Store(settings.store_path) as store, closing(open_bound(settings, store)) as destination:
        if not destination.find(Lookup.USERNAME, ["admin"]):
            founded(destination)
        import_archive(export, destination, store, settings=settings)


def opened(settings: Settings) -> str:
    """Open the bound destination and return its unique id."""
    with Store(settings.store_path) as store, closing(open_bound(settings, store)) as destination:
        return destination.unique_id()


def bound_url(settings: Settings) -> str:
    with Store(settings.store_path) as store:
        binding = store.binding.get()
        assert binding is not None
        return binding.url


def refusal(settings: Settings) -> str:
    with pytest.raises(SettingsError) as refused:
        opened(settings)
    return str(refused.value)


# ---------------------------------------------------------------- commands


def test_commands_take_the_destination_of_the_data_directory(
    tmp_path: Path, mongod: Mongod, database: Database[dict[str, Any]], export: Path, host: FileHost
) -> None:
    data, url = tmp_path / "data", mongod.database_url("bound")
    done = chatferry("import", "slack", export, "--data", data, "--destination", url)
    assert done.returncode == 0, done.stderr
    token = chatferry("token", "--user", "admin", "--data", data)
    assert (token.returncode, token.stdout.split("\n")[0]) == (0, "X-User-Id: admin")
    files = chatferry("files", "--data", data, CHATFERRY_DOWNLOAD_HOSTS=host.name)
    assert files.returncode == 0, files.stderr + files.stdout
    assert {one["name"] for one in database[UPLOADS].find()} == {"F1.png", "F2.png"}
    assert not (data / "workspace.sqlite3").exists()
    from_environment({}, data=data, destination=bound_destination(data, ""), text_index_last=True)


REFUSING: dict[str, list[tuple[str, ...]]] = {
    "import": [("import", "slack", "{export}"), ("import", "slack", "{export}", "--dry-run")],
    "files": [("files",)],
    "retry": [("retry",)],
    "token": [("token", "--user", "admin")],
    "password": [("password", "--user", "admin")],
    "dump": [("dump", USERS)],
}


def test_every_command_refuses_another_destination(tmp_path: Path, export: Path) -> None:
    data, other = tmp_path / "data", tmp_path / "other.sqlite3"
    imported(export, Settings(data=data))
    with Store(data / "store.sqlite3") as store:
        last = store.operations.last()
        assert last is not None
        store.operations.save(replace(last, status=Status.FAILED))
    open_destination(f"sqlite:{other}").close()
    where = ("--data", str(data), "--destination", f"sqlite:{other}")
    text = (
        f"{data} belongs to the workspace {data / 'workspace.sqlite3'}, and sqlite:{other} is another "
        "destination. Leave out --destination and CHATFERRY_DESTINATION, or choose another directory with "
        "--data."
    )
    for command in chain.from_iterable(REFUSING.values()):
        words = [word.format(export=export) for word in command]
        refused = CliRunner().invoke(app, [*words, *where]).exception
        assert isinstance(refused, SettingsError) and str(refused) == text, command
    done = chatferry("serve", "--port", "0", *where)
    assert done.returncode == 2 and text in done.stderr
    with closing(open_destination(f"sqlite:{other}")) as opened_:
        assert documents_of(opened_, USERS) == []


def test_no_command_makes_a_workspace_in_the_place_of_a_missing_one(tmp_path: Path, export: Path) -> None:
    """Each takes the destination from the data directory, where there is one."""
    settings = Settings(data=tmp_path / "data", destination=f"sqlite:{tmp_path / 'away.sqlite3'}")
    imported(export, settings)
    (tmp_path / "away.sqlite3").rename(tmp_path / "gone.sqlite3")
    for command in chain.from_iterable(REFUSING.values()):
        words = [word.format(export=export) for word in command]
        refused = CliRunner().invoke(app, [*words, "--data", str(settings.data)]).exception
        assert isinstance(refused, SettingsError) and "away.sqlite3 is missing" in str(refused), command
    assert not settings.workspace_path.exists() and not (tmp_path / "away.sqlite3").exists()


def test_all_commands_with_a_destination_are_among_these() -> None:
    takers = {
        name
        for name, one in getattr(get_command(app), "commands", {}).items()
        for each in getattr(one, "commands", {"": one}).values()
        if any("--destination" in parameter.opts for parameter in each.params)
    }
    assert takers == {*REFUSING, "serve"}


# ---------------------------------------------------------------- which destination it is


def test_the_workspace_in_the_data_directory_moves_with_it(tmp_path: Path, export: Path) -> None:
    settings = Settings(
        data=tmp_path / "data", destination=f"sqlite:{tmp_path / 'data' / 'workspace.sqlite3'}"
    )
    imported(export, settings)
    shutil.move(tmp_path / "data", tmp_path / "moved")
    assert bound_destination(tmp_path / "moved", "") == ""
    opened(Settings(data=tmp_path / "moved"))


def test_a_path_is_kept_from_the_root(tmp_path: Path, export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    imported(export, Settings(data=tmp_path / "data", destination="sqlite:elsewhere.sqlite3"))
    assert bound_destination(tmp_path / "data", "") == f"sqlite:{tmp_path / 'elsewhere.sqlite3'}"
    opened(Settings(data=tmp_path / "data", destination="sqlite://elsewhere.sqlite3"))


def test_a_workspace_is_known_by_its_id_and_not_by_its_path(tmp_path: Path, export: Path) -> None:
    settings = Settings(data=tmp_path / "data")
    imported(export, settings)
    known = opened(settings)
    settings.workspace_path.rename(tmp_path / "moved.sqlite3")
    with pytest.raises(SettingsError, match=r"workspace\.sqlite3 is missing, or is not .* Restore it"):
        bound_destination(settings.data, "")
    assert not settings.workspace_path.exists()
    assert "is missing, or is not" in refusal(settings), "an empty one was made in its place"
    moved = Settings(data=settings.data, destination=f"sqlite:{tmp_path / 'moved.sqlite3'}")
    assert opened(moved) == known
    assert bound_destination(settings.data, "") == moved.destination


def test_a_server_is_known_by_its_id_and_not_by_its_address(
    tmp_path: Path, mongod: Mongod, database: Database[dict[str, Any]], export: Path
) -> None:
    settings = Settings(data=tmp_path / "data", destination=mongod.database_url("bound"))
    imported(export, settings)
    assert opened(settings) == "server theServersOwnId"
    renamed = replace(settings, destination=settings.destination.replace("127.0.0.1", "localhost"))
    assert opened(renamed) == "server theServersOwnId"
    assert bound_destination(settings.data, "") == renamed.destination
    with mongod.client() as client:
        client.drop_database("bound2")
        client.bound2.rocketchat_settings.insert_one({"_id": "uniqueID", "value": "anotherId"})
    text = refusal(replace(settings, destination=mongod.database_url("bound2")))
    assert f"belongs to {renamed.destination}, and {mongod.database_url('bound2')} is another" in text
    assert "is another destination" in refusal(Settings(data=settings.data, destination="memory:"))


def test_a_server_that_gets_an_id_stays_the_same_while_the_imports_are_there(
    tmp_path: Path, mongod: Mongod, database: Database[dict[str, Any]], export: Path
) -> None:
    settings = Settings(data=tmp_path / "data", destination=mongod.database_url("bound"))
    database.rocketchat_settings.delete_many({})
    imported(export, settings)
    assert opened(settings).startswith(ADDRESS)
    for id in ("first", "second"):
        database.rocketchat_settings.replace_one({"_id": "uniqueID"}, {"value": id}, upsert=True)
        assert opened(settings) == f"server {id}"
    database.users.delete_many({"importIds": {"$exists": True}})
    database.rocketchat_room.delete_many({"importIds": {"$exists": True}})
    assert opened(settings) == "server second"
    database.rocketchat_settings.replace_one({"_id": "uniqueID"}, {"value": "third"})
    assert "is missing, or is not what the imports" in refusal(settings)


def test_a_store_that_has_imported_nothing_may_change_its_destination(tmp_path: Path, export: Path) -> None:
    opened(Settings(data=tmp_path / "data"))
    other = Settings(data=tmp_path / "data", destination=f"sqlite:{tmp_path / 'other.sqlite3'}")
    opened(other)
    assert bound_destination(other.data, "") == other.destination
    imported(export, other)
    assert "is another destination" in refusal(Settings(data=tmp_path / "data"))


# ---------------------------------------------------------------- secrets


def test_a_password_is_not_kept_and_asked_for(
    tmp_path: Path, mongod: Mongod, database: Database[dict[str, Any]], export: Path
) -> None:
    database.command("createUser", "bob", pwd="hunter2", roles=["readWrite"])
    url = mongod.database_url("bound").replace("//", "//bob:hunter2@")
    try:
        imported(export, Settings(data=tmp_path / "data", destination=url))
        assert b"hunter2" not in b"".join(path.read_bytes() for path in (tmp_path / "data").iterdir())
        done = chatferry("dump", USERS, "--data", tmp_path / "data")
        assert done.returncode == 2
        assert f"belongs to {mongod.database_url('bound')}, whose password is not kept" in done.stderr
        assert "--destination or CHATFERRY_DESTINATION" in done.stderr
        done = chatferry("dump", USERS, "--data", tmp_path / "data", CHATFERRY_DESTINATION=url)
        assert done.returncode == 0 and "UALICE001" in done.stdout
    finally:
        database.command("dropUser", "bob")


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("", ""),
        ("memory:", "memory:"),
        ("sqlite:/data/a@b:c.sqlite3", "sqlite:/data/a@b:c.sqlite3"),
        ("mongodb://h:1,i:2/db?replicaSet=rs&tls=true", "mongodb://h:1,i:2/db?replicaSet=rs&tls=true"),
        ("mongodb://bob:p%40ss@h:1/db?replicaSet=rs", "mongodb://h:1/db?replicaSet=rs"),
        ("mongodb+srv://bob:x@h/db", "mongodb+srv://h/db"),
        (
            "mongodb://CN%3Dbob@h/db?authMechanism=MONGODB-X509",
            "mongodb://CN%3Dbob@h/db?authMechanism=MONGODB-X509",
        ),
        ("mongodb://h/db?tlsCertificateKeyFilePassword=x&tls=true", "mongodb://h/db?tls=true"),
        ("mongodb://h/db?authMechanismProperties=AWS_SESSION_TOKEN:x", "mongodb://h/db"),
    ],
)
def test_urls_without_secrets(url: str, kept: str) -> None:
    assert without_secrets(url) == kept


# ---------------------------------------------------------------- stores that were used before


@pytest.fixture
def used(tmp_path: Path) -> Settings:
    """A data directory from before stores were bound."""
    with tarfile.open(UNVERSIONED) as archive:
        archive.extractall(tmp_path / "data", filter="data")
    return Settings(data=tmp_path / "data")


def test_a_used_store_is_bound_to_the_workspace_that_has_its_imports(used: Settings) -> None:
    opened(used)
    assert bound_url(used) == ""


def test_a_used_store_is_not_bound_to_a_workspace_that_has_nothing_of_it(used: Settings) -> None:
    used.workspace_path.rename(used.data / "real.sqlite3")
    with pytest.raises(SettingsError, match=r"went into another destination.* Name theirs with"):
        bound_destination(used.data, "")
    with closing(open_bound(replace(used, data=used.data / "new"), Store())) as empty:
        founded(empty)
    shutil.move(used.data / "new" / "workspace.sqlite3", used.workspace_path)
    assert "has nothing of them" in refusal(used)
    named = replace(used, destination=f"sqlite:{used.data / 'real.sqlite3'}")
    opened(named)
    assert bound_destination(used.data, "") == named.destination


def test_a_used_store_that_cannot_tell_is_bound_to_what_is_named(used: Settings) -> None:
    with Store(used.store_path) as store:
        store.staging.clear("")
        for operation in store.operations.latest(9):
            store.staging.clear(operation.id)
    assert "Name theirs with --destination" in refusal(used)
    opened(replace(used, destination=used.destination_url))
    opened(used)


def test_a_workspace_in_memory_is_never_bound(tmp_path: Path, export: Path) -> None:
    settings = Settings(data=tmp_path / "data", destination="memory:")
    imported(export, settings)
    with Store(settings.store_path) as store:
        assert store.binding.get() is None
    assert (
        documents_of(founded(open_bound(replace(settings, data=tmp_path / "new"), Store())), MESSAGES) == []
    )
