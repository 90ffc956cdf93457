"""Room on disks: how much is free, and how much of it is kept for the databases."""

import os
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from chatferry.disks import disk_error
from chatferry.errors import NoRoomError

MIB = 1024 * 1024
RESERVE = 512 * MIB  # bytes that uploads and downloads leave free, unless it is set
_SHARE = 20  # on a small disk the reserve is at most one part in so many
_LAST = 4  # one part in so many of the reserve stays for chatferry's own notes: imports wait before that


class Disk(Struct, frozen=True):
    """What a disk holds, and what of it is free for this process, in bytes."""

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
    if size >= 1024 * MIB:
        return f"{size / 2**30:,.1f} GiB"
    return f"{size / MIB:,.1f} MiB"
