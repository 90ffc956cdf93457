"""Accounts of a workspace: passwords, login tokens, permissions, and what a new workspace starts with.

Formats are Rocket.Chat's: a password is kept as bcrypt of the hexadecimal SHA-256 of its text, a login token
as base64 of its SHA-256 in `services.resume.loginTokens`.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from functools import cache

import bcrypt

from chatferry.destinations import Destination, Lookup
from chatferry.documents import PERMISSIONS, ROOMS, USERS, Date, Document, Insert, Update
from chatferry.errors import SettingsError
from chatferry.ids import hash_token, new_id, new_token
from chatferry.records import ROCKET_CAT

ADMIN_PERMISSIONS = ("run-import", "view-import-operations")
_TOKENS = "services.resume.loginTokens"


def open_workspace(
    destination: Destination, environment: Mapping[str, str], now: Date
) -> tuple[str, str] | None:
    """Make sure that a workspace has what it starts with and an administrator; see `ensure_admin`."""
    found_workspace(destination, now)
    return ensure_admin(destination, environment, now)


def found_workspace(destination: Destination, now: Date) -> None:
    """Give an empty workspace what every Rocket.Chat server starts with; harmless to repeat."""
    if destination.find(Lookup.USER_ID, [ROCKET_CAT]):
        return
    destination.apply(
        [
            Insert(USERS, _rocket_cat(now)),
            Insert(ROOMS, _general(now)),
            *(
                Insert(PERMISSIONS, {"_id": permission, "roles": ["admin"]})
                for permission in ADMIN_PERMISSIONS
            ),
        ]
    )


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
    server. Without ADMIN_PASS the password is random. Returns username and random password, to be shown once.
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
    """A new administrator with a password."""
    document: Document = {
        "_id": id,
        "createdAt": now,
        "type": "user",
        "username": username,
        "name": username,
        "roles": ["admin"],
        "active": True,
        "status": "offline",
        "services": {"password": {"bcrypt": hash_password(password)}},
    }
    if email:
        document["emails"] = [{"address": email, "verified": True}]
    rejections = destination.apply([Insert(USERS, document)])
    if rejections:
        raise SettingsError(f"The administrator {username} cannot be created: {rejections[0].reason}.")
    return document


# ---------------------------------------------------------------- passwords


def hash_password(password: str) -> str:
    return bcrypt.hashpw(_digest(password).encode(), bcrypt.gensalt(10, prefix=b"2b")).decode()


def _digest(password: str) -> str:
    return hashlib.sha256(password.encode("utf-8", "surrogatepass")).hexdigest()


@cache
def _nobodys_hash() -> str:
    return hash_password(secrets.token_urlsafe())


def user_of_login(destination: Destination, login: str) -> Document | None:
    """The account with this username, or with this e-mail if it holds an "@"."""
    users = destination.find(Lookup.USER_EMAIL if "@" in login else Lookup.USERNAME, [login])
    return users[0] if users else None


def is_password(user: Document | None, password: str, *, is_hashed: bool = False) -> bool:
    """Whether this is the active user's password; takes as long for nobody as for somebody.

    `is_hashed`: the password is given as its SHA-256.
    """
    account = user or {}
    stored = account.get("services", {}).get("password", {}).get("bcrypt", "")
    candidate = (password.lower() if is_hashed else _digest(password)).encode("utf-8", "replace")[:72]
    try:
        is_right = bcrypt.checkpw(candidate, (stored or _nobodys_hash()).encode())
    except ValueError:  # no bcrypt hash, or a NUL in the candidate
        is_right = False
    return is_right and bool(stored) and account.get("active", True) is True


# ---------------------------------------------------------------- tokens


def issue_token(destination: Destination, user_id: str, now: Date, token: str = "") -> str:
    """A login token for a user; only its hash is kept."""
    token = token or new_token()
    entry = {"when": now, "hashedToken": hash_token(token)}
    destination.apply([Update(collection=USERS, id=user_id, add={_TOKENS: (entry,)})])
    return token


def revoke_token(destination: Destination, user_id: str, token: str) -> None:
    pull = {_TOKENS: ("hashedToken", hash_token(token))}
    destination.apply([Update(collection=USERS, id=user_id, pull=pull)])


def user_of_token(destination: Destination, user_id: str, token: str) -> Document | None:
    """The active account with this id and login token. All failures do the same work."""
    users = destination.find(Lookup.USER_ID, [user_id])
    user = users[0] if users else {}
    wanted = hash_token(token).encode()
    entries = user.get("services", {}).get("resume", {}).get("loginTokens", [])
    found = [hmac.compare_digest(str(entry.get("hashedToken", "")).encode(), wanted) for entry in entries]
    return user if any(found) and user.get("active", True) else None


def user_with_token(destination: Destination, token: str) -> Document | None:
    """The active account that has this login token."""
    users = destination.find(Lookup.USER_TOKEN, [hash_token(token)])
    return users[0] if users and users[0].get("active", True) else None


def user_named(destination: Destination, name: str) -> Document | None:
    """The account with this username, e-mail or id."""
    lookups = [Lookup.USER_EMAIL] if "@" in name else [Lookup.USERNAME, Lookup.USER_ID]
    for lookup in lookups:
        if users := destination.find(lookup, [name]):
            return users[0]
    return None


def may(destination: Destination, user: Document, permission: str) -> bool:
    """Whether one of the user's roles has the permission."""
    granted = destination.find(Lookup.PERMISSION_ID, [permission])
    return any(set(user.get("roles", ())) & set(entry.get("roles", ())) for entry in granted)
