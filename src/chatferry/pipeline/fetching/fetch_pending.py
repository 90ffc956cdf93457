"""Pending files and avatars as an operation."""

from msgspec.structs import replace

from chatferry.destinations import Destination
from chatferry.importers import PENDING_FILES
from chatferry.operations import Counts, Operation, Status
from chatferry.pipeline import commands
from chatferry.pipeline.fetching.avatars import count_avatars, fetch_avatars
from chatferry.pipeline.fetching.files import fetch_files
from chatferry.pipeline.fetching.run import FetchRun
from chatferry.store import Store


def pending_operation(key: str, user_id: str, store: Store, destination: Destination) -> Operation:
    """Return an operation that will fetch what is pending; it is done already if nothing is."""
    count = store.pending_files.count() if key == PENDING_FILES else count_avatars(destination)
    operation = commands.new_operation(key, user_id, Status.IMPORTING_FILES if count else Status.DONE)
    return replace(operation, count=Counts(messages=count, total=count)) if count else operation


def fetch_pending(run: FetchRun) -> Operation:
    """Fetch what is pending. Done a second time it goes on where it stopped."""
    if run.operation.importer_key == PENDING_FILES:
        fetch_files(run)
    else:
        fetch_avatars(run)
    return run.finish()
