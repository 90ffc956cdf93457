"""The servers that the tests of refusals and of file names share."""

import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from chatferry.clock import now
from chatferry.ids import new_id
from chatferry.operations import Operation, Status
from chatferry.store import Store
from tests.support.paths import GOLDEN
from tests.support.serving import Server, add_users, latest, login, serving
from tests.support.states import Stand


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes uploads of 1 MiB and never gets an operation."""
    data = tmp_path_factory.mktemp("refusing") / "data"
    add_users(
        data,
        {
            "plain": ["user"],
            "powerless": [],
            "starter": ["starter"],
            "watcher": ["watcher"],
            "inactive": ["user"],
        },
        run_import=("starter",),
        view_import_operations=("watcher",),
    )
    with serving(data, CHATFERRY_MAX_UPLOAD_MIB="1") as running:
        yield running


@pytest.fixture(scope="session")
def http(server: Server) -> Iterator[httpx.Client]:
    with login(server) as admin:
        yield admin


@pytest.fixture(scope="session")
def powerless(server: Server) -> Iterator[httpx.Client]:
    """Somebody who may do nothing."""
    with login(server, "powerless", "powerless") as nobody_special:
        yield nobody_special


@pytest.fixture(scope="session")
def plain(server: Server) -> Iterator[httpx.Client]:
    """Somebody who is there like everybody."""
    with login(server, "plain", "plain") as somebody:
        yield somebody


@pytest.fixture
def nothing_is_left(server: Server, http: httpx.Client) -> Iterator[None]:
    """Check that a test left no operation, no file and no logged failure on `server`."""
    yield
    assert latest(http) == []
    log = server.data / "errors.log"
    failures = log.read_text() if log.exists() else ""
    log.unlink(missing_ok=True)  # the next test is not to blame
    assert failures == ""
    assert server.uploads == []
    assert [path.name for path in server.data.parent.iterdir()] == ["data"]
    stores = [f"{name}.sqlite3{more}" for name in ("store", "workspace") for more in ("", "-wal", "-shm")]
    assert {path.name for path in server.data.iterdir()} <= {
        *stores,
        "audit.log",
        "lock",
        "stderr",
        "uploads",
    }


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders on the machine of the server `library`: one allowed, two not."""
    root = tmp_path_factory.mktemp("shelf")
    for folder in ("allowed/inside", "allowed-not", "outside"):
        (root / folder).mkdir(parents=True)
        shutil.copy(GOLDEN, root / folder / "export.zip")
    with zipfile.ZipFile(GOLDEN) as archive:
        archive.extractall(root / "allowed" / "folder")
    (root / "allowed" / "within.zip").symlink_to(root / "allowed" / "inside" / "export.zip")
    (root / "allowed" / "out.zip").symlink_to(root / "outside" / "export.zip")
    (root / "allowed" / "out").symlink_to(root / "outside")
    (root / "allowed" / "loop").symlink_to("loop")
    (root / "allowed" / "nowhere.zip").symlink_to(root / "gone.zip")
    os.mkfifo(root / "allowed" / "pipe")
    return root


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory, shelf: Path) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("library") / "data"
    dirs = os.pathsep.join([str(shelf / "allowed"), str(shelf / "another")])
    with serving(data, CHATFERRY_IMPORT_DIRS=dirs) as running:
        yield running


@pytest.fixture(scope="session")
def librarian(library: Server) -> Iterator[httpx.Client]:
    with login(library) as admin:
        yield admin


@pytest.fixture
def stand(library: Server, librarian: httpx.Client) -> Iterator[Stand]:
    """Makes an operation with an archive the current one of `library`; nobody works on it, so it stays so."""

    def put(status: Status, *, valid: bool = True, key: str = "slack") -> None:
        with Store(library.data / "store.sqlite3") as store, store.transaction():
            last = store.operations.last()
            moment = max(now(), last.ts + 1 if last else 0)
            store.operations.invalidate_all(moment)
            operation = Operation(
                id=new_id(),
                type="Slack",
                importer_key=key,
                ts=moment,
                status=status,
                valid=valid,
                user=librarian.headers["X-User-Id"],
                updated_at=moment,
                archive="/nowhere/export.zip",
            )
            store.operations.add(operation)

    yield put
    librarian.post("import.clear")
