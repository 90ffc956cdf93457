"""The lock of a data directory: one process at a time works in it, a command or a server."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from chatferry import private
from chatferry.cli import terminal
from chatferry.errors import SettingsError
from chatferry.observing import audit
from chatferry.settings import Settings

_SERVER = "a server"
"""What the file of the lock holds while a server holds the lock."""


@contextmanager
def only_worker(settings: Settings, *, serves: bool = False) -> Iterator[None]:
    """Hold the lock of a data directory. Raises SettingsError if another process holds it."""
    private.make_folder(settings.data)
    with open(settings.data / "lock", "a", opener=private.opener) as lock:
        if not _is_taken(lock):
            raise SettingsError(
                f"Another chatferry works in {settings.data}. Wait for it, upload to the one that serves, "
                "or give another directory with --data."
            )
        lock.truncate(0)
        lock.write(_SERVER if serves else "")
        lock.flush()
        terminal.warn_of_readers(
            settings.data, private.is_open(settings.data), private.tighten(settings.data)
        )
        audit.set_up(settings.audit_log)
        yield


def _is_taken(lock: IO[str]) -> bool:
    """Take the lock and return True, unless another process holds it."""
    for pause in (0.02, 0.05, 0.1, 0.0):  # `is_served` holds it for a moment
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(pause)
        else:
            return True
    return False


def is_served(settings: Settings) -> bool:
    """Return whether a server holds the lock of a data directory."""
    return _holder(settings.data) == _SERVER


def is_worked_in(data: Path) -> bool:
    """Return whether a process holds the lock of a data directory, a command or a server."""
    return _holder(data) is not None


def _holder(data: Path) -> str | None:
    """Return what the file of the lock holds while a process holds the lock; None if none does."""
    try:
        with (data / "lock").open(encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return lock.read()
    except (FileNotFoundError, NotADirectoryError):
        pass
    return None
