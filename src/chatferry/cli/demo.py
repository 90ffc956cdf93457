"""The workspace and the operations that Rocket.Chat's documentation shows, for `chatferry serve --demo`."""

from chatferry import accounts
from chatferry.api.description.examples import CURRENT, OPERATIONS, TOKEN, USER
from chatferry.destinations import Destination
from chatferry.documents import Date
from chatferry.store import Store

# The page of the latest operations was written before the current one of the other page began.
UNLISTED = frozenset({CURRENT})


def seed_demo(store: Store, destination: Destination, now: Date) -> None:
    """Put the documented user, token and operations into an empty store and workspace."""
    accounts.found_workspace(destination, now)
    user = accounts.add_admin(destination, USER, "demo", "demo", "", now)
    accounts.issue_token(destination, user, now, token=TOKEN)
    for operation in OPERATIONS:
        store.operations.add(operation)
