"""Permissions, roles, and whose accounts they are."""

from chatferry.destinations import Destination, Lookup
from chatferry.documents import PERMISSIONS, ROLES, Date, Document, decode
from chatferry.errors import SettingsError

PERMISSION_ROLES = {
    "api-bypass-rate-limit": ["admin", "bot", "app"],
    "create-personal-access-tokens": ["admin", "user"],
    "run-import": ["admin"],
    "view-import-operations": ["admin"],
}
"""The permissions that chatferry asks for, and the roles that have them by default in Rocket.Chat."""

DEFAULT_ROLES = frozenset(
    {
        *("admin", "anonymous", "app", "auditor", "auditor-log", "bot", "guest", "leader"),
        *("livechat-agent", "livechat-manager", "livechat-monitor", "moderator", "owner", "user"),
    }
)
"""The roles that every Rocket.Chat server has."""

MOST_ROLES = 10_000  # that a server is asked for


def existing_roles(destination: Destination) -> frozenset[str]:
    """Return the ids of a workspace's roles: every server's, its own, and roles that have a permission."""
    own = {str(role["_id"]) for role in destination.server_documents(ROLES, MOST_ROLES)}
    permissions = (decode(line) for line in destination.dump(PERMISSIONS))
    return DEFAULT_ROLES.union(own, *map(roles_of, permissions))


def roles_of(user: Document) -> frozenset[str]:
    return frozenset(user.get("roles") or ())


def starter_named(destination: Destination, username: str) -> Document:
    """Return the account in whose name an import is started. Raise SettingsError if that cannot be."""
    found = destination.find(Lookup.USERNAME, [username])
    if not found:
        raise SettingsError(f"There is no user {username} in this workspace. Give --as a username.")
    if not found[0].get("active", True):
        raise SettingsError(f"{username} is deactivated. Give --as somebody who is active.")
    return found[0]


def first_administrator(destination: Destination) -> Document | None:
    """Return the active administrator with the oldest account; of equals the one with the smallest `_id`."""
    found = destination.find(Lookup.USER_ROLE, ["admin"])
    return min((admin for admin in found if admin.get("active", True)), key=_age, default=None)


def _age(user: Document) -> tuple[int, str]:
    created = user.get("createdAt")
    return created.ms if isinstance(created, Date) else 0, user["_id"]
