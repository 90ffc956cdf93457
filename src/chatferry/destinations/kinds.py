"""The kinds of destinations, told apart by the scheme of a URL, and opening one."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from chatferry.destinations.protocol import Destination
from chatferry.errors import SettingsError

if TYPE_CHECKING:
    from chatferry.destinations.mongodb import Lease, TextIndex

MONGO_INDEXES = "CHATFERRY_MONGO_INDEXES"
"""The setting that allows indexes of `importIds` to be made in Rocket.Chat's database where they lack."""


class DestinationKind(Struct, frozen=True):
    """A kind of destination.

    schemes    the beginnings of its URLs
    open       opens the destination of a URL, given the seconds after which a question to a server has failed
    is_server  whether it is the database of a Rocket.Chat server: several processes may write, imports take
               turns by a lease, messages may have a text index, and accounts are the server's
    """

    schemes: tuple[str, ...]
    open: Callable[[str, float | None], Destination]
    is_server: bool = False


def _sqlite(url: str, patience: float | None) -> Destination:
    from chatferry.destinations.sqlite import SqliteDestination

    path = url.partition(":")[2].removeprefix("//")
    if not path:
        raise _unknown(url)
    return SqliteDestination(Path(path))


def _memory(url: str, patience: float | None) -> Destination:
    from chatferry.destinations.memory import MemoryDestination

    return MemoryDestination()


def _mongodb(url: str, patience: float | None) -> Destination:
    from chatferry.destinations.mongodb import MongoDestination

    allowed = os.environ.get(MONGO_INDEXES, "")
    if allowed not in ("", "on", "off"):
        raise SettingsError(f"{MONGO_INDEXES} is {allowed!r}. It must be on or off.")
    return MongoDestination(url, make_indexes=allowed == "on" and patience is None, patience=patience)


KINDS = (
    DestinationKind(("sqlite",), _sqlite),
    DestinationKind(("memory",), _memory),
    DestinationKind(("mongodb", "mongodb+srv"), _mongodb, is_server=True),
)


def kind_of(url: str) -> DestinationKind:
    """Return the kind of the destination that a URL names. Raises SettingsError if it names none."""
    scheme = url.partition(":")[0]
    for kind in KINDS:
        if scheme in kind.schemes:
            return kind
    raise _unknown(url)


def is_server(url: str) -> bool:
    """Return whether a URL names the database of a Rocket.Chat server."""
    return any(kind.is_server for kind in KINDS if url.partition(":")[0] in kind.schemes)


def open_destination(url: str, patience: float | None = None) -> Destination:
    """Open the destination that a URL names. `patience` is that of `DestinationKind.open`."""
    return kind_of(url).open(url, patience)


def open_text_index(url: str) -> "TextIndex":
    """Open the text index of messages in the database of a Rocket.Chat server."""
    from chatferry.destinations.mongodb import TextIndex

    return TextIndex(url)


def open_lease(url: str) -> "Lease":
    """Return the lease by which imports into the database of a Rocket.Chat server take turns."""
    from chatferry.destinations.mongodb import Lease

    return Lease(url)


def _unknown(url: str) -> SettingsError:
    shown = f"{url.partition(':')[0]}:..." if "@" in url else url  # what stands before an @ may be a password
    return SettingsError(
        f"{shown!r} names no destination. Use sqlite:PATH (an embedded workspace), "
        "mongodb://HOST:PORT/DATABASE?replicaSet=NAME (Rocket.Chat's own database) "
        "or memory: (nothing is kept)."
    )
