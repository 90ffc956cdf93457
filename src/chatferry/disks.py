"""What errors of disks and of SQLite mean: which come to an end by themselves, and what to do."""

import errno
import sqlite3

from chatferry.errors import ChatferryError, DestinationError, NoRoomError, SettingsError

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
