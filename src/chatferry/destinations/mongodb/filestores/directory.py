"""Files in a directory of this machine, named as Rocket.Chat's file store `FileSystem` names them."""

import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from chatferry.destinations.mongodb.filestores.protocol import Settle, settled
from chatferry.destinations.rules import ChangeError
from chatferry.disks import disk_error, write_all
from chatferry.documents import Document
from chatferry.errors import ChatferryError, SettingsError
from chatferry.sizes import MIB

_SETTING = "Rocket.Chat's setting FileUpload_FileSystemPath"
_NAME = re.compile(r"[A-Za-z0-9_-][^/\0]{0,200}")
_PIECE = MIB
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
_OLD = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # neither a link nor a pipe that somebody has put there
_MODE = 0o644  # Rocket.Chat may run as somebody else


class Directory:
    """Uploads and avatars lie side by side in one directory; their ids differ."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    @staticmethod
    def place(document: Document) -> Document:
        return {}

    def write(self, document: Document, content: Iterable[bytes]) -> Settle:
        """Write the file under another name, and rename it when it is on the disk."""
        self._require()
        name = _name(document)
        if not name:
            raise ChangeError("its _id cannot be the name of a file")
        unfinished = self._path / f".{name}.chatferry"
        try:
            self._write(unfinished, content)
            with self._plain_errors():
                unfinished.replace(self._path / name)
                self._sync()
        except BaseException:
            with suppress(OSError):
                unfinished.unlink()
            raise
        return settled

    def read(self, document: Document, start: int) -> Iterator[bytes]:
        self._require()
        name = _name(document)
        file = self._opened(name) if name else None
        if file is None:
            return
        try:
            while piece := self._piece(file, start):
                yield piece
                start += len(piece)
        finally:
            os.close(file)

    def _require(self) -> None:
        """Raise SettingsError if the directory is missing: nobody would look for files in a new one."""
        if not self._path.is_absolute():
            raise SettingsError(
                f"{_SETTING} is {str(self._path)!r}, which is no absolute path. Set one, move the files "
                "to it, start chatferry again, and fetch what is pending."
            )
        if not self._path.is_dir():
            raise SettingsError(
                f"{self._path}, which {_SETTING} names, is no directory of this machine that can be entered. "
                "Run chatferry where Rocket.Chat runs and as the same user, or mount the directory at the "
                "same path; then fetch what is pending."
            )

    def _write(self, path: Path, content: Iterable[bytes]) -> None:
        with self._plain_errors():
            path.unlink(missing_ok=True)  # what a write that broke off has left
            file = os.open(path, _NEW, _MODE)
        try:
            with self._plain_errors():
                os.fchmod(file, _MODE)  # whatever the umask of this process
            for piece in content:
                with self._plain_errors():
                    write_all(file, piece)
            with self._plain_errors():
                os.fsync(file)
        finally:
            os.close(file)

    def _sync(self) -> None:
        """Bring the new name to the disk, too."""
        directory = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _opened(self, name: str) -> int | None:
        """Open the file; return None if there is no regular file of this name."""
        try:
            file = os.open(self._path / name, _OLD)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO):
                return None
            raise self._trouble(error) from error
        if stat.S_ISREG(os.fstat(file).st_mode):
            return file
        os.close(file)
        return None

    def _piece(self, file: int, start: int) -> bytes:
        with self._plain_errors():
            return os.pread(file, _PIECE, start)

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._trouble(error) from error

    def _trouble(self, error: OSError) -> ChatferryError:
        return disk_error(
            f"{self._path}, which {_SETTING} names: {error.strerror}. Run chatferry as the user that "
            "Rocket.Chat runs as, and check the permissions of the directory and the room on its disk; then "
            "fetch what is pending.",
            error,
        )


def _name(document: Document) -> str:
    """Return the file's name in the directory; "" if that would lie outside of the directory."""
    extension = document.get("extension")  # Rocket.Chat's own uploads have one
    name = f"{document['_id']}.{extension}" if extension else str(document["_id"])
    return name if _NAME.fullmatch(name) else ""
