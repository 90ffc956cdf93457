"""The lease of a database: of several chatferrys that could import into it, one does.

It is a document that ends by itself unless it is renewed. Times are those of the database server, so that the
clocks of the machines do not matter.
"""

import os
import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from bson.datetime_ms import DatetimeMS
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError, OperationFailure, PyMongoError
from pymongo.write_concern import WriteConcern

from chatferry.destinations.mongodb.server import Row, Server
from chatferry.documents import Date
from chatferry.errors import DestinationError, SettingsError

LEASES = "chatferry_leases"
ENDS_AFTER = 60.0  # seconds without a renewal
RENEWED_EVERY = 10.0  # seconds
_PATIENCE = 10.0  # seconds in which the server has to answer
_IMPORTS = "imports"
_NOT_ALLOWED = 13
_SAFE = WriteConcern("majority", 10_000, j=True)


class Lease:
    """The right to import into the database that `url` names, for one operation."""

    def __init__(self, url: str) -> None:
        self._server = Server(url, _PATIENCE)
        self._leases = self._server.database.get_collection(LEASES, write_concern=_SAFE)
        self._owner = secrets.token_hex(8)
        self._over = threading.Event()
        self._is_lost = False
        self._renewing: threading.Thread | None = None

    def acquire(self, operation_id: str, is_own: Callable[[str], bool]) -> None:
        """Take the lease, and renew it until `close`.

        `is_own` tells whether an operation is in this process's store: such a lease was left by a process
        that is gone, because one process at a time works in a data directory. Raise DestinationError if
        another chatferry holds the lease.
        """
        try:
            holder = self._server.patiently(self._take, operation_id, is_own)
        except SettingsError as error:
            cause = error.__cause__
            if not isinstance(cause, OperationFailure) or cause.code != _NOT_ALLOWED:
                raise
            raise SettingsError(
                f"{self._server.name}: this user may not write the collection {LEASES}, with which chatferry "
                "makes sure that only one imports at a time. Give it the role readWrite on this database."
            ) from error
        if holder is not None:
            raise DestinationError(self._refusal(holder))
        self._renewing = threading.Thread(target=self._renew_until_over, name="lease", daemon=True)
        self._renewing.start()

    def check(self) -> None:
        """Raise DestinationError if another chatferry has taken the lease over."""
        if self._is_lost:
            raise DestinationError(
                f"{self._server.name}: another chatferry imports into this database now, because this one "
                "could not renew its lease in time. Wait until that is done."
            )

    def close(self) -> None:
        """Give the lease back, if it is held. One that cannot be given back ends by itself."""
        self._over.set()
        if self._renewing is not None:
            self._renewing.join()
            with suppress(PyMongoError):
                self._leases.delete_one({"_id": _IMPORTS, "owner": self._owner})
        self._server.client.close()

    def _take(self, operation_id: str, is_own: Callable[[str], bool]) -> Row | None:
        """Take the lease if it is free; return the one that is held otherwise."""
        mine = self._mine(operation_id)
        # A lease that is missing has ended, too: nothing comes before every date.
        unless_held = {"$cond": [{"$lt": ["$ends", "$$NOW"]}, mine, "$$ROOT"]}
        while True:
            try:
                found = self._leases.find_one_and_update(
                    {"_id": _IMPORTS},
                    [{"$replaceWith": unless_held}],
                    upsert=True,
                    return_document=ReturnDocument.AFTER,
                )
            except DuplicateKeyError:  # two made the first lease at once
                continue
            row = found or {}
            if row.get("owner") == self._owner:
                return None
            if not is_own(str(row.get("operation"))):
                return row
            held = {"_id": _IMPORTS, "owner": row.get("owner")}
            if self._leases.update_one(held, [{"$replaceWith": mine}]).matched_count:
                return None

    def _mine(self, operation_id: str) -> Row:
        who = {"host": socket.gethostname(), "process": os.getpid(), "operation": operation_id}
        fields = {"_id": _IMPORTS, "owner": self._owner, **who}
        plain = {name: {"$literal": value} for name, value in fields.items()}
        return {**plain, "since": "$$NOW", "ends": _end()}

    def _renew_until_over(self) -> None:
        mine = {"_id": _IMPORTS, "owner": self._owner}
        while not self._over.wait(RENEWED_EVERY):
            try:
                found = self._leases.update_one(mine, [{"$set": {"ends": _end()}}])
            except PyMongoError:  # it is away: the next time may go better, and the import notices by itself
                continue
            if not found.matched_count:
                self._is_lost = True
                return

    def _refusal(self, holder: Row) -> str:
        since = holder.get("since")
        when = Date.at(int(since)).iso if isinstance(since, DatetimeMS) else "an unknown time"
        who = f"on {holder.get('host')} as process {holder.get('process')}"
        return (
            f"{self._server.name}: another chatferry has been importing into this database since {when}, "
            f"{who}. Wait until it is done, or stop it there; if it is gone, wait {ENDS_AFTER:.0f} seconds."
        )


def _end() -> dict[str, Any]:
    return {"$add": ["$$NOW", int(ENDS_AFTER * 1000)]}
