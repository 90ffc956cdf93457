"""What a new workspace starts with: its administrator, permissions, the bot and the general room."""

import re
import secrets
from collections.abc import Mapping

from chatferry.accounts.passwords import has_password, hash_password, is_password, set_password
from chatferry.accounts.people import is_active, is_username
from chatferry.accounts.roles import PERMISSION_ROLES, first_administrator
from chatferry.destinations import Destination, Lookup
from chatferry.documents import PERMISSIONS, ROOMS, USERS, Change, Date, Document, Insert
from chatferry.errors import SettingsError
from chatferry.ids import new_id
from chatferry.records import ROCKET_CAT


def open_workspace(
    destination: Destination,
    server_database: str,
    environment: Mapping[str, str],
    now: Date,
    is_served: bool = False,
) -> tuple[str, str] | None:
    """Make sure that there is a workspace to import into. Return what `ensure_admin` returns.

    An embedded workspace gets what is missing. In `server_database`, a database that a Rocket.Chat server
    keeps, nothing is made: it must have users. `is_served`: people are to log in.
    """
    if not server_database:
        found_workspace(destination, now)
        return ensure_admin(destination, environment, now, is_served)
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
    destination: Destination, environment: Mapping[str, str], now: Date, is_served: bool = False
) -> tuple[str, str] | None:
    """Create the first administrator if there is none, and make sure that somebody can log in if `is_served`.

    Name, password and address come from ADMIN_USERNAME, ADMIN_PASS and ADMIN_EMAIL, as for a Rocket.Chat
    server. Without ADMIN_PASS the account gets a random password if people are to log in, otherwise none.
    Return username and random password, to be shown once.
    """
    username, given, email = admin_settings(environment)
    made_up = secrets.token_urlsafe(12) if is_served else ""
    admins = destination.find(Lookup.USER_ROLE, ["admin"])
    if not admins:
        add_admin(destination, new_id(), username, given or made_up, email, now)
        return (username, made_up) if made_up and not given else None
    if not is_served or any(map(has_password, admins)):
        return None
    named = [account for account in admins if account.get("username") == username and is_active(account)]
    account = named[0] if named else first_administrator(destination)
    if account is None:
        return None
    is_given = bool(named and given)  # ADMIN_PASS is for the account that ADMIN_USERNAME names
    set_password(destination, account, given if is_given else made_up)
    return None if is_given else (account["username"], made_up)


def admin_settings(environment: Mapping[str, str]) -> tuple[str, str, str]:
    """Return the first administrator's username, password and address, as the environment gives them.

    Raise SettingsError if no account could have them.
    """
    username = environment.get("ADMIN_USERNAME") or "admin"
    email = environment.get("ADMIN_EMAIL", "")
    if not is_username(username):
        raise SettingsError(
            f"ADMIN_USERNAME is {username!r}. It may have letters, digits, dots, hyphens and underscores."
        )
    if email and not re.fullmatch(r"[^@\s]+@[^@\s]+", email):
        raise SettingsError(
            f"ADMIN_EMAIL is {email!r}. It must be an e-mail address, such as admin@example.org."
        )
    return username, environment.get("ADMIN_PASS", ""), email


def unused_admin_settings(destination: Destination, environment: Mapping[str, str]) -> list[str]:
    """Return the ADMIN_ variables that count for nothing: the workspace has its administrator already."""
    username, password, email = admin_settings(environment)
    if not environment.keys() & {"ADMIN_USERNAME", "ADMIN_PASS", "ADMIN_EMAIL"}:
        return []
    found = destination.find(Lookup.USERNAME, [username])
    account = found[0] if found and "admin" in found[0].get("roles", ()) else None
    if account is None:
        return [name for name in ("ADMIN_USERNAME", "ADMIN_PASS", "ADMIN_EMAIL") if environment.get(name)]
    known = {entry.get("address", "").lower() for entry in account.get("emails", ())}
    unused = ["ADMIN_PASS"] if password and not is_password(account, password) else []
    return unused + (["ADMIN_EMAIL"] if email and email.lower() not in known else [])


def add_admin(
    destination: Destination, id: str, username: str, password: str, email: str, now: Date
) -> Document:
    """Add an administrator, who cannot log in without a password, and return the account."""
    document = administrator(id, username, now)
    if password:
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
