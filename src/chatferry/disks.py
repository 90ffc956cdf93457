"""Disks: how much is free and kept for the databases; what their errors and SQLite's mean, and what to do."""

import errno
import os
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from chatferry.errors import ChatferryError, DestinationError, NoRoomError, SettingsError
from chatferry.sizes import GIB, MIB

RESERVE = 512 * MIB  # bytes that uploads and downloads leave free, unless it is set
_SHARE = 20  # on a small disk the reserve is at most one part in so many
_LAST = 4  # one part in so many of the reserve stays for chatferry's own notes: imports wait before that
_LOOK = 0.02  # seconds between two tries
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_AWAY = {
    errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH,
    errno.ENODEV, errno.ENXIO, errno.EMFILE, errno.ENFILE,
}  # fmt: skip

_NO_ROOM = "the disk is full; make room and try again"
_TROUBLE: dict[int, tuple[type[ChatferryError], str]] = {
    sqlite3.SQLITE_BUSY: (
        DestinationError,
        "another process has been writing to it for too long; try again when that is done",
    ),
    sqlite3.SQLITE_FULL: (NoRoomError, _NO_ROOM),
    sqlite3.SQLITE_IOERR: (
        DestinationError,
        "the disk fails to read or write; check the disk and the room on it",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        SettingsError,
        "it cannot be opened; check that the directory exists and can be written",
    ),
    sqlite3.SQLITE_CORRUPT: (SettingsError, "the file is damaged; restore it from a backup"),
    sqlite3.SQLITE_NOTADB: (SettingsError, "this file is no database; name another file"),
    sqlite3.SQLITE_PERM: (
        SettingsError,
        "permission is missing; check the owner of the file and of its directory",
    ),
    sqlite3.SQLITE_READONLY: (
        SettingsError,
        "it cannot be written; check the permissions of the file and of its directory",
    ),
}


def is_full(error: OSError) -> bool:
    """Return whether the disk has no room for more."""
    return error.errno in _FULL


def is_away(error: OSError) -> bool:
    """Return whether the same may work later, when the disk has room again or is there again."""
    return is_full(error) or error.errno in _AWAY


def disk_error(text: str, error: OSError) -> ChatferryError:
    """Return what an error of the file system is: no room, an outage, or a setting that is wrong."""
    kind = NoRoomError if is_full(error) else DestinationError if is_away(error) else SettingsError
    return kind(text)


def outage(error: DestinationError | OSError) -> DestinationError | None:
    """Return the error if what it tells of may end by itself, else None."""
    if isinstance(error, DestinationError):
        return error
    if not is_away(error):
        return None
    where = f"{error.filename}: " if error.filename else ""
    kind = NoRoomError if is_full(error) else DestinationError
    return kind(f"{where}{error.strerror}. Check the disk and the room on it.")


def sqlite_error(what: str, error: sqlite3.Error) -> ChatferryError | None:
    """Return what an error means for the database `what`; None if it is a fault of the program."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without the details of extended codes
    if code not in _TROUBLE:
        return None
    kind, reason = _TROUBLE[code]
    return kind(f"{what}: {reason} ({error}).")


def switch_to_wal(db: sqlite3.Connection, patience: float) -> None:
    """Give a database a write-ahead log. Wait so many seconds for others that do so too: SQLite does not."""
    end = time.monotonic() + patience
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= end:
                raise
        time.sleep(_LOOK)


def write_all(file: int, data: bytes) -> None:
    """Write all of the data to an open file, given by its descriptor; one call may write a part."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]


class Disk(Struct, frozen=True):
    """The size of a disk, and what is free for this process, in bytes."""

    size: int
    free: int


def disk_of(folder: Path) -> Disk:
    """Return the disk of a folder, or of its nearest parent that exists."""
    while True:
        try:
            found = os.statvfs(folder)
        except FileNotFoundError:
            if folder == folder.parent:
                raise
            folder = folder.parent
        except OSError as error:
            raise disk_error(f"{folder}: {error.strerror}. Check the disk.", error) from error
        else:
            return Disk(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)


def reserve(wanted: int | None, disk: Disk) -> int:
    """Return the bytes of a disk that are kept for the databases; `wanted` is the setting, if it is set."""
    return min(RESERVE, disk.size // _SHARE) if wanted is None else wanted


def require_reserve(folder: Path, wanted: int | None) -> None:
    """Raise NoRoomError unless the whole reserve is free: something large is written that is no database."""
    disk = disk_of(folder)
    _require(folder, disk, reserve(wanted, disk))


def require_rest(folders: Iterable[Path], wanted: int | None) -> None:
    """Raise NoRoomError if databases have used up their reserve, all but the last part of it."""
    for folder in folders:
        disk = disk_of(folder)
        _require(folder, disk, reserve(wanted, disk) // _LAST)


def _require(folder: Path, disk: Disk, kept: int) -> None:
    if disk.free < kept:
        raise NoRoomError(
            f"The disk of {folder.absolute()} has less than the {shown(kept)} free that have to stay free "
            "(CHATFERRY_MIN_FREE_MIB). Make room."
        )


def shown(size: int) -> str:
    """Return a size for people."""
    if size >= GIB:
        return f"{size / GIB:,.1f} GiB"
    return f"{size / MIB:,.1f} MiB"
