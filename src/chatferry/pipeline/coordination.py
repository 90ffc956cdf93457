"""One chatferry at a time imports into a destination that several could write to."""

from typing import TYPE_CHECKING

from chatferry.destinations import open_lease
from chatferry.store import Store

if TYPE_CHECKING:
    from chatferry.destinations.mongodb.lease import Lease


class SoleImporter:
    """Holds the lease of the destination that `url` names while an operation writes to it, as a context.

    With the URL "" nothing is done. It may be entered again. Entering raises DestinationError if another
    chatferry holds the lease.
    """

    def __init__(self, operation_id: str, url: str, store: Store) -> None:
        self._operation_id = operation_id
        self._url = url
        self._store = store
        self._lease: Lease | None = None

    def check(self) -> None:
        """Raise DestinationError if the lease was lost. Any thread may ask."""
        if (lease := self._lease) is not None:
            lease.check()

    def __enter__(self) -> None:
        if not self._url:
            return
        lease = open_lease(self._url)
        try:
            lease.acquire(self._operation_id, lambda id_: self._store.operations.get(id_) is not None)
        except BaseException:
            lease.close()
            raise
        self._lease = lease

    def __exit__(self, *error: object) -> None:
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.close()
