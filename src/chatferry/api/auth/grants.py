"""Who may do what. What a permission's roles were a moment ago is remembered, and nothing of people."""

import time
from collections.abc import Collection

from chatferry.accounts import roles_of
from chatferry.destinations import Destination, Lookup
from chatferry.documents import Document

MEMORY = 1.0  # seconds that a role has a permission which has just been taken from it


class Grants:
    """Beside a busy MongoDB the look-up of permissions is half of the time that a call waits.

    What is remembered can only let somebody pass: before somebody is refused the permission is looked up.
    """

    def __init__(self) -> None:
        self._roles: dict[str, tuple[float, frozenset[str]]] = {}  # and until when they count

    def of(self, user: Document, permissions: Collection[str], destination: Destination) -> frozenset[str]:
        """Those of the permissions that one of the user's roles has."""
        own, now = roles_of(user), time.monotonic()
        granted = {permission for permission in permissions if own & self._remembered(permission, now)}
        if unclear := set(permissions) - granted:
            found = destination.find(Lookup.PERMISSION_ID, unclear)
            roles = {entry["_id"]: roles_of(entry) for entry in found}
            self._roles |= {name: (now + MEMORY, roles.get(name, frozenset())) for name in unclear}
            granted |= {permission for permission in roles if own & roles[permission]}
        return frozenset(granted)

    def _remembered(self, permission: str, now: float) -> frozenset[str]:
        until, roles = self._roles.get(permission, (0.0, frozenset[str]()))
        return roles if now < until else frozenset()
