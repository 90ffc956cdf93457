"""Permissions of users, with a short cache of the roles of each permission. Users are never cached."""

import time
from collections.abc import Collection

from chatferry.accounts import roles_of
from chatferry.destinations import Destination, Lookup
from chatferry.documents import Document

MEMORY = 1.0  # seconds that a role keeps a permission after it was taken away


class Grants:
    """A cache of permissions: at a busy MongoDB looking them up is half of the time that a call waits.

    The cache can only allow a call: before a refusal the permission is looked up.
    """

    def __init__(self) -> None:
        self._roles: dict[str, tuple[float, frozenset[str]]] = {}  # with the time until which they hold

    def of(self, user: Document, permissions: Collection[str], destination: Destination) -> frozenset[str]:
        """Return which of the permissions the user's roles have."""
        own, now = roles_of(user), time.monotonic()
        granted = {permission for permission in permissions if own & self._remembered(permission, now)}
        if unclear := set(permissions) - granted:
            documents = destination.find(Lookup.PERMISSION_ID, unclear)
            roles = {document["_id"]: roles_of(document) for document in documents}
            self._roles |= {name: (now + MEMORY, roles.get(name, frozenset())) for name in unclear}
            granted |= {permission for permission in roles if own & roles[permission]}
        return frozenset(granted)

    def _remembered(self, permission: str, now: float) -> frozenset[str]:
        until, roles = self._roles.get(permission, (0.0, frozenset[str]()))
        return roles if now < until else frozenset()
