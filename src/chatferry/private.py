"""Files and directories for their owner alone: what lies in the data directory is other people's mail.

`for_one_alone` sets the umask of a process. The other functions do not rely on it.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

FILE, FOLDER, OTHERS = 0o600, 0o700, 0o077
OWN = (
    "lock",
    "*.log",
    "store.sqlite3*",
    "workspace.sqlite3*",
    "uploads",
    "downloads",
    "known.msgpack",
    "first-password",
)
"""What chatferry keeps in the data directory. Other files there are not its own."""


def for_one_alone() -> None:
    """Give every file that this process and its children make to their owner alone."""
    os.umask(OTHERS)


def opener(path: str, flags: int) -> int:
    """Open a file as `open(..., opener=opener)` needs it: a new one is its owner's alone."""
    return os.open(path, flags, FILE)


def make_file(path: Path) -> None:
    """Make an empty file, unless there is one; SQLite gives its mode to the files beside a database.

    A file that is there is not opened: closing it would end the locks that this process has on it.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE))


def make_folder(path: Path) -> None:
    """Make a directory and all missing directories above it."""
    for missing in reversed([folder for folder in (path, *path.parents) if not folder.exists()]):
        missing.mkdir(mode=FOLDER, exist_ok=True)
    path.mkdir(mode=FOLDER, exist_ok=True)  # raises what is wrong with a path that is no directory


def tighten(data: Path) -> list[Path]:
    """Take chatferry's own files in a data directory from everybody but their owner.

    Return the files that other accounts can still use, because they belong to somebody else.
    """
    return [path for path in _own(data) if not _is_tightened(path)]


def is_open(data: Path) -> bool:
    """Return whether other accounts may look into the data directory."""
    return bool(data.stat().st_mode & OTHERS)


def _own(data: Path) -> Iterator[Path]:
    for pattern in OWN:
        for path in data.glob(pattern):
            yield path
            for folder, folders, files in os.walk(path):
                yield from (Path(folder, name) for name in (*folders, *files))


def _is_tightened(path: Path) -> bool:
    """Tighten one file. Only links that lead to a larger disk are followed."""
    try:
        mode = path.stat(follow_symlinks=path.name in ("uploads", "downloads")).st_mode
        if stat.S_ISLNK(mode) or not mode & OTHERS:
            return True
        path.chmod(stat.S_IMODE(mode) & ~OTHERS)
    except FileNotFoundError:  # removed since it was listed
        return True
    except PermissionError:
        return False
    return True
