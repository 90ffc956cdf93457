"""Where documents go: a workspace of chatferry's own, or the database of a Rocket.Chat server.

Other packages know the protocol and open a destination by its URL; `kinds` is the one place that knows which
there are.
"""

from chatferry.destinations.kinds import (
    MONGO_INDEXES,
    DestinationKind,
    is_server,
    kind_of,
    open_destination,
    open_lease,
    open_text_index,
)
from chatferry.destinations.protocol import ADDRESS, Destination, Lookup, Packed, Rejection

__all__ = [
    "ADDRESS",
    "MONGO_INDEXES",
    "Destination",
    "DestinationKind",
    "Lookup",
    "Packed",
    "Rejection",
    "is_server",
    "kind_of",
    "open_destination",
    "open_lease",
    "open_text_index",
]
