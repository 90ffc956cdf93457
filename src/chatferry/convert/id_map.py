"""Import ids of an archive, mapped to accounts and rooms of a destination."""

from collections.abc import Mapping
from typing import TypeVar

from msgspec import Struct

T = TypeVar("T")


class MappedUser(Struct, frozen=True, gc=False):
    """The account of a user of the archive.

    `absent` says why there is none: "not selected" or "failed"; then `username` is the archive's.
    """

    id: str
    username: str
    name: str = ""
    active: bool = True
    absent: str = ""


class MappedRoom(Struct, frozen=True, gc=False):
    """The room of a channel of the archive; `absent` as for users."""

    id: str
    name: str
    absent: str = ""


class IdMap(Struct, frozen=True):
    """Import ids and their accounts and rooms. `rewrite`: also overwrite messages that people have edited."""

    users: dict[str, MappedUser]
    rooms: dict[str, MappedRoom]
    scope: str = ""
    rewrite: bool = False

    def logged_map(self) -> "LoggedIdMap":
        """Return a map that logs every look-up from now on."""
        return LoggedIdMap(LoggedLookups(self.users), LoggedLookups(self.rooms), self.scope)


class LoggedLookups(dict[str, T | None]):
    """Accounts or rooms by import id; holds the ids that were looked up with `[]`, None for unknown ones."""

    def __init__(self, known: Mapping[str, T]) -> None:
        self._find = known.get

    def __missing__(self, id: str) -> T | None:
        found = self[id] = self._find(id)
        return found


class LoggedIdMap(Struct, frozen=True):
    """An `IdMap` that logs every look-up."""

    users: LoggedLookups[MappedUser]
    rooms: LoggedLookups[MappedRoom]
    scope: str = ""
