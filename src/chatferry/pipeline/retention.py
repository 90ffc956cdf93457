"""Removing what an operation needs no more after its end: archives, staged people, secret addresses.

Only archives that the server itself stored, below `uploads` and `downloads`, are ever deleted: never a file
that the operator named.
"""

import logging
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from chatferry.errors import ChatferryError
from chatferry.logs import event
from chatferry.operations import Status, Summary, is_over
from chatferry.pipeline.parallel import ID_MAP_FILE
from chatferry.redaction import holds_secret, without_secrets
from chatferry.settings import Settings
from chatferry.store import Store

FILES = "files"
"""The folder, among downloads, of files on their way to the destination."""
PARTIAL = ".part"

_log = logging.getLogger("chatferry.retention")


class Leftovers(Struct, frozen=True, kw_only=True):
    """What nobody needs any more.

    archives    files in the data directory
    staged      operations with staged records
    told        operations whose own address holds a secret
    addresses   addresses of files whose bytes are stored
    is_pending  whether files that are still to be fetched are given up
    """

    archives: tuple[Path, ...] = ()
    staged: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    addresses: tuple[tuple[str, str], ...] = ()
    is_pending: bool = False

    def __bool__(self) -> bool:
        return bool(self.archives or self.staged or self.told or self.addresses or self.is_pending)


def clear_away(store: Store, settings: Settings, now: int, *, is_idle: bool = False) -> None:
    """Remove what nobody needs any more. A file that cannot be removed now is removed another time.

    `is_idle`: no operation is being worked on, and no upload received.
    """
    try:
        remove(store, leftovers(store, settings, now, is_idle=is_idle))
    except (ChatferryError, OSError, sqlite3.Error) as error:
        event(_log, "what is left over cannot be removed", logging.WARNING, reason=str(error))


def leftovers(
    store: Store,
    settings: Settings,
    now: int,
    *,
    is_idle: bool = False,
    at_once: bool = False,
    pending: bool = False,
) -> Leftovers:
    """Find what nobody needs any more.

    `at_once`: whatever is said about keeping it a while. `pending`: files that are still to be fetched are no
    longer wanted.
    """
    over = _Judge(store, settings, now, is_idle, at_once, pending)
    return Leftovers(
        archives=tuple(_archives(store, settings, over, is_idle)),
        staged=tuple(id for id in store.staging.operations() if over.is_over(store.operations.get(id))),
        told=tuple(
            one.id
            for one in store.operations.addressed()
            if over.is_over(one) and (one.url or (holds_secret(one.archive) and not over.is_source(one)))
        ),
        addresses=tuple(
            (file.upload_id, file.message_id)
            for file in (store.pending_files.stored_with_address() if at_once else ())
        ),
        is_pending=pending and bool(store.pending_files.count() or store.avatar_addresses.count()),
    )


def described(found: Leftovers, store: Store) -> Iterator[str]:
    """Yield a line about each thing that is left over."""
    for path in found.archives:
        operation = store.operations.get(_operation_of(path))
        size = sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file())
        what = (
            f"archive of operation {operation.id}, {operation.status}" if operation else "an unfinished file"
        )
        yield f"{path}: {size:,} bytes, {what}"
    for id in found.staged:
        yield f"{store.staging.count(id):,} staged users, contacts and channels of operation {id}"
    for id in found.told:
        yield f"the address of the archive of operation {id}"
    if found.addresses:
        yield f"{len(found.addresses):,} addresses of files that are stored"
    if found.is_pending:
        files, avatars = store.pending_files.count(), store.avatar_addresses.count()
        yield f"{files:,} files that are still to be fetched, and {avatars:,} secret addresses of avatars"


def remove(store: Store, found: Leftovers) -> None:
    """Remove leftovers. The store overwrites what it held, in its write-ahead log too.

    An operation that failed cannot be taken up again then.
    """
    with store.transaction():
        for id in {*found.staged, *found.told, *map(_operation_of, found.archives)}:
            operation = store.operations.get(id)
            if operation is not None and operation.status == Status.FAILED:
                store.operations.invalidate(id)
        for id in found.staged:
            store.staging.reduce(id)
        for id in found.told:
            _forget_address(store, id)
        for upload_id, message_id in found.addresses:
            store.pending_files.forget_address(upload_id, message_id)
        if found.is_pending:
            store.pending_files.give_up()
            store.avatar_addresses.clear()
            store.part_cache.clear()  # so that importing again brings the files back
    for path in found.archives:
        discard(path)
    store.checkpoint()


def _operation_of(path: Path) -> str:
    """Return the id of the operation that has or had an archive at this path."""
    return path.name.removesuffix(PARTIAL)


def discard(path: Path) -> None:
    """Remove a file or a directory; a link, but not what it leads to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class _Judge:
    """Says what is over. Pending files are looked through when that is first asked for."""

    def __init__(
        self, store: Store, settings: Settings, now: int, is_idle: bool, at_once: bool, pending: bool
    ) -> None:
        self._store = store
        self._kept = 0 if at_once else settings.uploads_kept
        self._now = now
        self._is_idle = is_idle
        self._at_once = at_once
        self.gives_up = pending
        self._sources: set[str] | None = set() if pending else None

    def is_over(self, operation: Summary | None) -> bool:
        return operation is None or is_over(operation, self._now, self._is_idle, self._at_once)

    def is_archive_over(self, operation: Summary) -> bool:
        has_rested = operation.updated_at + self._kept <= self._now
        return self.is_over(operation) and has_rested and not self.is_source(operation)

    def is_source(self, operation: Summary) -> bool:
        """Return whether bytes of pending files lie in an operation's archive."""
        if self._sources is None:
            self._sources = self._store.pending_files.sources()
        return operation.id in self._sources


def _archives(store: Store, settings: Settings, over: _Judge, is_idle: bool) -> Iterator[Path]:
    """Yield archives that the server stored, whole and in part, and that nobody needs any more."""
    known = settings.data / ID_MAP_FILE
    if is_idle and known.exists():
        yield known
    arriving = {upload.id for upload in store.uploads.all()}
    for folder in (settings.uploads, settings.fetched):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path == settings.fetched / FILES:
                yield from _files(store, path, over, is_idle)
                continue
            operation = store.operations.get(_operation_of(path))
            if operation is not None:
                if over.is_archive_over(operation):
                    yield path
            elif is_idle and path.name not in arriving and (path.is_file() or path.suffix == PARTIAL):
                yield path  # it never became an operation


def _files(store: Store, folder: Path, over: _Judge, is_idle: bool) -> Iterator[Path]:
    """Yield files that were on their way to the destination and cannot go on."""
    is_wanted = bool(store.pending_files.count()) and not over.gives_up
    for path in sorted(folder.iterdir()) if is_idle else ():
        if not is_wanted or path.suffix != PARTIAL:
            yield path


def _forget_address(store: Store, operation_id: str) -> None:
    operation = store.operations.get(operation_id)
    if operation is not None:
        archive = operation.archive
        shown = without_secrets(archive) if holds_secret(archive) else archive
        store.operations.save(replace(operation, url="", archive=shown))
