"""Where documents go, in words and as JSON."""

from pathlib import Path

from chatferry.destinations import Destination, is_server
from chatferry.destinations.urls import without_secrets
from chatferry.documents import ROOMS, USERS
from chatferry.reports.shown import several
from chatferry.store import Store

NO_DESTINATION = "memory:"
"""The URL of a destination that keeps nothing: a dry run belongs to it."""


def destination_of(store: Store, data: Path) -> str:
    """Return what people call the destination that a store belongs to; `data` is its directory."""
    binding = store.binding.get()
    return shown_destination(binding.url if binding else "", data)


def shown_destination(url: str, data: Path) -> str:
    """Return what people call the destination of a URL; "" is the workspace in the data directory, `data`."""
    scheme, _, path = without_secrets(url).partition(":")
    if is_server(url):
        address, _, rest = path.removeprefix("//").partition("/")
        return f"Rocket.Chat's database {rest.partition('?')[0]} at {address.rpartition('@')[2]}"
    if not url:
        return f"the embedded workspace in {data}"
    if scheme == "sqlite":
        return f"the embedded workspace {path.removeprefix('//')}"
    return "memory that keeps nothing"


def described_destination(destination: Destination, url: str, data: Path, is_new: bool) -> str:
    """Return what people call a destination, and what is in it before an import."""
    name = shown_destination(url, data)
    if is_new:
        return f"{name.replace('the embedded', 'a new embedded', 1)}: for trying, nobody chats there"
    accounts, rooms = destination.count(USERS), destination.count(ROOMS)
    return f"{name} ({several(accounts, 'account')}, {several(rooms, 'room')})"


def destination_json(store: Store) -> dict[str, str] | None:
    """Return kind and URL of the destination that a store belongs to; None if it belongs to none yet.

    The URL has no secrets. That of the workspace in the data directory is "sqlite:workspace.sqlite3".
    """
    binding = store.binding.get()
    if binding is None:
        return None
    url = binding.url or "sqlite:workspace.sqlite3"
    kinds = {"sqlite": "embedded", "memory": "memory"}
    return {"kind": kinds.get(url.partition(":")[0], "rocketchat"), "url": url}
