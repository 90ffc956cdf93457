"""The workspace and the operations that Rocket.Chat's documentation shows, for `chatferry serve --demo`."""

from datetime import datetime

from chatferry import accounts
from chatferry.destinations import Destination
from chatferry.documents import Date
from chatferry.operations import Operation, Status
from chatferry.store import Store

USER = "d26x6zSkaPSe5gCyy"
TOKEN = "Zu-Z6eKzIIz7MCCRGeHi29bYkXZCJ4SxFC0JAasqm92"
CURRENT = "7PbvsnKJD9ZAqw38C"
# The page of the latest operations was written before the current one of the other page began.
UNLISTED = frozenset({CURRENT})

_RESTART = "2021-10-27T08:32:42.609Z"
_AVATARS, _FILES, _CSV = (
    ("pending-avatars", "Pending Avatars"),
    ("pending-files", "Pending Files"),
    ("csv", "CSV"),
)
# In order of creation: of operations that changed at the same time the youngest is listed first.
_OPERATIONS = (
    ("9mCbRPTbF9QHQ3RM6", _AVATARS, 1635247489080, Status.DONE, _RESTART),
    ("NRqiLZ4bADfGwMRMz", _CSV, 1635247067385, Status.FILE_LOADED, _RESTART),
    ("XckCNn9ZsdywHso4f", _AVATARS, 1635277452755, Status.DONE, _RESTART),
    ("zYc5kuFRaszfqCegB", _AVATARS, 1635277492185, Status.DONE, _RESTART),
    ("96WJDaxXpwXC3fTD5", _FILES, 1635277590992, Status.SELECTION, _RESTART),
    ("YzSCu9WgqJ3wutF4T", _FILES, 1635280596592, Status.DONE, _RESTART),
    ("MJxTRZsYdho8Ww2qq", _AVATARS, 1635280600083, Status.SELECTION, "2021-10-27T11:26:24.430Z"),
    (CURRENT, _AVATARS, 1635337234169, Status.DONE, "2021-10-27T12:20:34.184Z"),
)


def furnish(store: Store, destination: Destination, now: Date) -> None:
    """Put the documented user, token and operations into an empty store and workspace."""
    accounts.found_workspace(destination, now)
    accounts.add_admin(destination, USER, "demo", "demo", "", now)
    accounts.issue_token(destination, USER, now, TOKEN)
    for id, (key, name), ts, status, updated in _OPERATIONS:
        is_upload = status == Status.FILE_LOADED
        store.operations.add(
            Operation(
                id=id,
                type=name,
                importer_key=key,
                ts=ts,
                status=status,
                valid=id == CURRENT,
                user=USER,
                updated_at=round(datetime.fromisoformat(updated).timestamp() * 1000),
                content_type="image/svg+xml" if is_upload else None,
                file="2021926111747_d26x6zSkaPSe5gCyy_pp.svg" if is_upload else None,
            )
        )
