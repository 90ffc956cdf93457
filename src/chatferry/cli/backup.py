"""Backups of a data directory, made while chatferry works in it, and brought back into an empty directory.

The store is copied first, the workspace last. So a copied store knows of nothing that is not in the copied
workspace. What it does not know of is done again, which gives the same documents.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from chatferry import private
from chatferry.disks import disk_error, sqlite_error
from chatferry.errors import SettingsError
from chatferry.operations import ENDS, Status, Summary, has_begun
from chatferry.reports.shown import several
from chatferry.settings import Settings
from chatferry.store import Store

STORE, WORKSPACE = "store.sqlite3", "workspace.sqlite3"
UPLOADS, DOWNLOADS = "uploads", "downloads"
_UNSURE = ".part"  # behind the name of a store until all that belongs to it is there
_TRIES = 3  # to find the archives that a store needs: they go with the end of their operations
_WITHOUT = ENDS | {Status.NEW, Status.UPLOADING, Status.DOWNLOADING}
"""Where an operation needs no archive, or not yet."""
_PATIENCE = 60  # seconds to wait for a process that writes

_decode = msgspec.msgpack.Decoder(Summary).decode


class Contents(Struct, frozen=True):
    """What a backup holds beside the store. `elsewhere`: the URL of the database with the documents."""

    has_workspace: bool
    archives: int
    elsewhere: str = ""

    def __str__(self) -> str:
        archives = several(self.archives, "archive") if self.archives else ""
        return ", ".join(filter(None, ("the store", "the workspace" * self.has_workspace, archives)))


class _Told(Struct, frozen=True):
    """What a store says: its destination ("": the workspace in the data directory), and whether it was used.

    `archives` is where archives may lie in the data directory, `needed` those that work goes on with.
    """

    destination: str
    is_used: bool
    archives: frozenset[Path]
    needed: frozenset[Path]


def make_backup(settings: Settings, folder: Path) -> Contents:
    """Copy what a data directory holds into an empty directory, and check the copies.

    Raise SettingsError or DestinationError if that cannot be done.
    """
    if not settings.store_path.exists():
        raise SettingsError(f"{settings.data} holds no store. Give the directory of the imports with --data.")
    with _filling(folder, "Give a new directory."):
        unsure = folder / f"{STORE}{_UNSURE}"
        for _ in range(_TRIES):
            _copy_database(settings.store_path, unsure)
            told = _told(unsure)
            found = {place for place in told.archives if _copied(settings.data / place, folder / place)}
            if told.needed <= found:
                break
        workspace = _workspace(told, settings)
        if has_workspace := workspace is not None and workspace.exists():
            _copy_database(workspace, folder / WORKSPACE)
        elif workspace and told.is_used:
            raise SettingsError(
                f"{workspace} is missing. If the documents of {settings.data} are elsewhere, name their "
                "destination to any other command with --destination, once, then make the backup."
            )
        unsure.rename(folder / STORE)
        _settle(folder)
    return Contents(has_workspace, len(found), "" if workspace else told.destination)


def restore(folder: Path, settings: Settings) -> Contents:
    """Bring a backup into an empty data directory, and check what was brought.

    Raise SettingsError or DestinationError if that cannot be done.
    """
    if not (folder / STORE).is_file():
        raise SettingsError(f"{folder} holds no backup: {STORE} is missing. Give the directory of a backup.")
    with _filling(settings.data, "Give an empty directory with --data."):
        unsure = settings.data / f"{STORE}{_UNSURE}"
        _copy_database(folder / STORE, unsure)
        told = _told(unsure)
        found = {place for place in told.archives if _copied(folder / place, settings.data / place)}
        is_here = _workspace(told, settings) is not None
        if has_workspace := is_here and (folder / WORKSPACE).exists():
            _copy_database(folder / WORKSPACE, settings.workspace_path)
        elif is_here and told.is_used:
            raise SettingsError(f"{folder} is not whole: {WORKSPACE} is missing. Take another backup.")
        with Store(unsure) as store:
            _make_at_home(store, settings, found, has_workspace)
        unsure.rename(settings.store_path)
        _settle(settings.data)
    return Contents(has_workspace, len(found), "" if is_here else told.destination)


def _make_at_home(store: Store, settings: Settings, archives: set[Path], has_workspace: bool) -> None:
    """Let a store know where its archives and its workspace are now."""
    with store.transaction():
        for place in archives:
            operation = store.operations.get(place.name)
            if operation is not None:
                store.operations.save(replace(operation, archive=str(settings.data / place)))
        known = store.binding.get()
        if known and has_workspace:
            store.binding.put(replace(known, url="", is_whole=True))


def _workspace(told: _Told, settings: Settings) -> Path | None:
    """Return where the embedded workspace lies; None if the documents are in another database."""
    scheme, _, path = told.destination.partition(":")
    if scheme == "sqlite":
        return Path(path)
    return None if scheme else settings.workspace_path


def _told(store: Path) -> _Told:
    """Read a copied store. It may have the layout of an older chatferry, and keeps it."""
    with _plain_errors(store), closing(sqlite3.connect(store)) as db:
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        url = db.execute("SELECT url FROM binding").fetchone() if "binding" in tables else None
        operations = [_decode(data) for (data,) in db.execute("SELECT data FROM operations")]
        uploads = [Path(UPLOADS, id) for (id,) in db.execute("SELECT id FROM uploads")]
    kept: dict[Path, Status] = {}
    for one in operations:
        path = Path(one.archive)
        if path.name == one.id and path.parent.name in (UPLOADS, DOWNLOADS):
            kept[Path(path.parent.name, path.name)] = one.status
    return _Told(
        destination=str(url[0]) if url else "",
        is_used=any(has_begun(one.status) for one in operations),
        archives=frozenset([*kept, *uploads]),
        needed=frozenset(place for place, status in kept.items() if status not in _WITHOUT),
    )


# ---------------------------------------------------------------- copying


@contextmanager
def _filling(folder: Path, remedy: str) -> Iterator[None]:
    """Fill an empty directory; if that fails, it is empty again. Errors say where and why."""
    try:
        private.make_folder(folder)
        if there := sorted(path.name for path in folder.iterdir() if path.name != "lost+found"):
            raise SettingsError(f"{folder} is not empty: it has {there[0]}. {remedy}")
    except OSError as error:
        raise disk_error(f"{folder} cannot be used: {error.strerror}.", error) from error
    try:
        yield
    except BaseException as error:
        _empty(folder)
        if isinstance(error, OSError):
            text = f"{error.filename or folder} cannot be copied: {error.strerror}."
            raise disk_error(text, error) from error
        raise


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            if path.name != "lost+found":
                shutil.rmtree(path)
        else:
            path.unlink()


def _copy_database(source: Path, target: Path) -> None:
    """Copy a database as it is at this moment, also while a process writes to it, and check the copy."""
    private.make_file(target)
    with _plain_errors(source), closing(_connected(source)) as here, closing(_connected(target)) as there:
        here.backup(there)
        (verdict,) = there.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise SettingsError(f"{source} is damaged: {verdict}. Take a backup from before.")


def _connected(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=_PATIENCE)


def _copied(source: Path, target: Path) -> bool:
    """Copy a file; False if it is not there."""
    if not source.is_file():
        return False
    private.make_folder(target.parent)
    target.unlink(missing_ok=True)
    private.make_file(target)
    try:
        shutil.copyfile(source, target)
    except FileNotFoundError:
        target.unlink()
        return False
    shutil.copystat(source, target)
    return True


def _settle(folder: Path) -> None:
    """Bring what was copied onto the disk."""
    for path in (folder, *folder.rglob("*")):
        file = os.open(path, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


@contextmanager
def _plain_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        plain = sqlite_error(str(path), error)
        raise plain or SettingsError(f"{path} cannot be copied: {error}.") from error
