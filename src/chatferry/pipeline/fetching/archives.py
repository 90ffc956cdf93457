"""Archives given by their URL, on their way to the data directory."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from chatferry import private
from chatferry.clock import now
from chatferry.downloads import Request
from chatferry.downloads.failures import EXPORT_AGAIN
from chatferry.downloads.fetch_one import Check, ask, fetch
from chatferry.errors import DownloadError
from chatferry.operations import Operation, Status, advance
from chatferry.settings import Settings
from chatferry.store import Store

_SILENCE = 20  # seconds that somebody who waits for the answer is made to wait


def ask_for_archive(operation: Operation, settings: Settings, check: Check) -> None:
    """Raise DownloadError if the archive would not come right now."""
    rules = settings.downloads
    silence = min(_SILENCE, rules.idle_seconds)
    hasty = replace(rules, attempts=1, idle_seconds=silence, total_seconds=2 * silence)
    with _about_an_archive():
        ask(_request(operation), hasty, check)


def download_archive(operation: Operation, store: Store, settings: Settings, check: Check) -> Operation:
    """Bring an operation's archive to the disk. Return the operation, ready to be read.

    Continues where an earlier download broke off, if the host can. Raise DownloadError.
    """
    private.make_folder(settings.fetched)
    with _about_an_archive():
        fetch(_request(operation), settings.downloads, check)
    loaded = replace(advance(operation, Status.FILE_LOADED, now()), url="")
    store.operations.save(loaded)
    return loaded


def _request(operation: Operation) -> Request:
    path = Path(operation.archive)
    return Request(url=operation.url, path=path, key=operation.id, resumable=True)


@contextmanager
def _about_an_archive() -> Iterator[None]:
    """Give another remedy for a web page in place of an archive than for files of an export."""
    try:
        yield
    except DownloadError as error:
        if error.remedy != EXPORT_AGAIN:
            raise
        error.remedy = "Give an address that leads to the file itself, without logging in, or upload the file"
        raise
