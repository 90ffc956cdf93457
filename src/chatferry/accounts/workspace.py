"""What a new workspace starts with: its administrator, permissions, the bot and the general room."""

import secrets
from collections.abc import Mapping

from chatferry.accounts.passwords import hash_password
from chatferry.accounts.roles import PERMISSION_ROLES
from chatferry.destinations import Destination, Lookup
from chatferry.documents import PERMISSIONS, ROOMS, USERS, Change, Date, Document, Insert
from chatferry.errors import SettingsError
from chatferry.ids import new_id
from chatferry.records import ROCKET_CAT


def open_workspace(
    destination: Destination, server_database: str, environment: Mapping[str, str], now: Date
) -> tuple[str, str] | None:
    """Make sure that there is a workspace to import into. Return what `ensure_admin` returns.

    An embedded workspace gets what is missing. In `server_database`, a database that a Rocket.Chat server
    keeps, nothing is made: it must have users.
    """
    if not server_database:
        found_workspace(destination, now)
        return ensure_admin(destination, environment, now)
    if next(destination.dump(USERS), None) is None:
        raise SettingsError(
            f"The database {server_database} holds no users: it is not, or not yet, a Rocket.Chat server's. "
            "Check its name in the URL, or start Rocket.Chat on it first: chatferry makes no accounts there."
        )
    return None


def found_workspace(destination: Destination, now: Date) -> None:
    """Give a workspace what every Rocket.Chat server starts with, as far as it is missing."""
    known = {permission["_id"] for permission in destination.find(Lookup.PERMISSION_ID, [*PERMISSION_ROLES])}
    changes: list[Change] = [
        Insert(PERMISSIONS, {"_id": permission, "roles": list(roles)})
        for permission, roles in PERMISSION_ROLES.items()
        if permission not in known
    ]
    if not destination.find(Lookup.USER_ID, [ROCKET_CAT]):
        changes += [Insert(USERS, _rocket_cat(now)), Insert(ROOMS, _general(now))]
    if changes:
        destination.apply(changes)


def _rocket_cat(now: Date) -> Document:
    return {
        "_id": ROCKET_CAT,
        "createdAt": now,
        "avatarOrigin": "local",
        "name": "Rocket.Cat",
        "username": "rocket.cat",
        "status": "online",
        "statusDefault": "online",
        "utcOffset": 0,
        "active": True,
        "type": "bot",
        "roles": ["bot"],
    }


def _general(now: Date) -> Document:
    return {
        "_id": "GENERAL",
        "ts": now,
        "t": "c",
        "name": "general",
        "usernames": [],
        "msgs": 0,
        "usersCount": 0,
        "default": True,
    }


def ensure_admin(
    destination: Destination, environment: Mapping[str, str], now: Date
) -> tuple[str, str] | None:
    """Create the first administrator if there is none.

    Name, password and address come from ADMIN_USERNAME, ADMIN_PASS and ADMIN_EMAIL, as for a Rocket.Chat
    server. Without ADMIN_PASS the password is random. Return username and random password, to be shown once.
    """
    if destination.find(Lookup.USER_ROLE, ["admin"]):
        return None
    username = environment.get("ADMIN_USERNAME") or "admin"
    given = environment.get("ADMIN_PASS", "")
    password = given or secrets.token_urlsafe(12)
    add_admin(destination, new_id(), username, password, environment.get("ADMIN_EMAIL", ""), now)
    return None if given else (username, password)


def add_admin(
    destination: Destination, id: str, username: str, password: str, email: str, now: Date
) -> Document:
    """Add an administrator with a password, and return the account."""
    document = administrator(id, username, now)
    document["services"] = {"password": {"bcrypt": hash_password(password)}}
    if email:
        document["emails"] = [{"address": email, "verified": True}]
    rejections = destination.apply([Insert(USERS, document)])
    if rejections:
        raise SettingsError(f"The administrator {username} cannot be created: {rejections[0].reason}.")
    return document


def administrator(id: str, username: str, now: Date) -> Document:
    """Return the account of an administrator who cannot log in yet."""
    return {
        "_id": id,
        "createdAt": now,
        "type": "user",
        "username": username,
        "name": username,
        "roles": ["admin"],
        "active": True,
        "status": "offline",
    }
