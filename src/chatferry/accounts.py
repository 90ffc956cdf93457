"""Accounts of a workspace: passwords, login tokens, permissions, and what a new workspace starts with.

Formats are Rocket.Chat's: a password is kept as bcrypt of the hexadecimal SHA-256 of its text, a login token
as base64 of its SHA-256 in `services.resume.loginTokens`.
"""

import hashlib
import hmac
import os
import secrets
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from typing import Any

import bcrypt
from msgspec import Struct

from chatferry.destinations import Destination, Lookup
from chatferry.documents import (
    PERMISSIONS,
    ROLES,
    ROOMS,
    USERS,
    Change,
    Date,
    Document,
    Insert,
    Update,
    decode,
)
from chatferry.errors import SettingsError
from chatferry.ids import hash_token, new_id, new_token
from chatferry.records import ROCKET_CAT

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
_TOKENS = "services.resume.loginTokens"
_PERSONAL = "personalAccessToken"
_DAY = 24 * 60 * 60 * 1000  # ms


def open_workspace(
    destination: Destination, server_database: str, environment: Mapping[str, str], now: Date
) -> tuple[str, str] | None:
    """Make sure that there is a workspace to import into; see `ensure_admin` for what comes back.

    A workspace of ours is given what it lacks. In `server_database`, a database that a Rocket.Chat server
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
    """Give a workspace what it lacks of what every Rocket.Chat server starts with; harmless to repeat."""
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


# ---------------------------------------------------------------- passwords

# A hash takes a core for 70 ms. One core is left to everybody else, and who needs the others goes first.
_NICENESS = 5


@cache
def _hashers() -> ThreadPoolExecutor:
    """Return the threads in which all passwords are hashed."""
    return ThreadPoolExecutor(max(1, (os.cpu_count() or 2) - 1), "hashing", _give_way)


def _give_way() -> None:
    if sys.platform == "linux":  # where a thread has a niceness of its own
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


def hash_password(password: str) -> str:
    salt = bcrypt.gensalt(10, prefix=b"2b")
    return _hashers().submit(bcrypt.hashpw, _digest(password).encode(), salt).result().decode()


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
    known = (stored or _nobodys_hash()).encode()
    try:
        is_right = _hashers().submit(bcrypt.checkpw, candidate, known).result()
    except ValueError:  # no bcrypt hash, or a NUL in the candidate
        is_right = False
    return is_right and bool(stored) and account.get("active", True) is True


def needs_second_factor(user: Document) -> bool:
    """Whether Rocket.Chat asks this user for more than the password: a code of an app, or by e-mail."""
    services = user.get("services", {})
    if services.get("totp", {}).get("enabled") is True:
        return True
    is_reachable = any(email.get("verified") is True for email in user.get("emails", ()))
    return is_reachable and services.get("email2fa", {}).get("enabled") is True


# ---------------------------------------------------------------- tokens


class TokenRules(Struct, frozen=True):
    """How long login tokens last, in days, and how many an account has: as in Rocket.Chat.

    Personal access tokens never end. `days` and `most` are 0 where a Rocket.Chat server sees to that itself.
    """

    days: int = 90
    most: int = 50

    def is_over(self, entry: Document, now: int) -> bool:
        """Return whether a token has ended."""
        return bool(self.days) and _is_login(entry) and entry["when"].ms + self.days * _DAY <= now

    def superfluous(self, user: Document, now: int) -> list[str]:
        """Return the hashes of the tokens that go when the user gets another: ended ones, and the oldest."""
        entries = sorted(filter(_is_login, _token_entries(user)), key=lambda entry: int(entry["when"].ms))
        lasting = [entry for entry in entries if not self.is_over(entry, now)]
        spare = len(entries) - len(lasting) + (max(0, len(lasting) + 1 - self.most) if self.most else 0)
        return [str(entry.get("hashedToken", "")) for entry in entries[:spare]]


def _is_login(entry: Document) -> bool:
    """Whether a token came of a log-in. A personal access token has no `when`."""
    return entry.get("type") != _PERSONAL and isinstance(entry.get("when"), Date)


def issue_token(
    destination: Destination, user: Document, now: Date, rules: TokenRules | None = None, token: str = ""
) -> str:
    """A login token for a user; only its hash is kept. Tokens that have ended go."""
    token = token or new_token()
    entry = {"when": now, "hashedToken": hash_token(token)}
    gone = (rules or TokenRules()).superfluous(user, now.ms)
    changes = [Update(collection=USERS, id=user["_id"], add={_TOKENS: (entry,)})]
    if gone:
        changes.insert(0, Update(collection=USERS, id=user["_id"], pull={_TOKENS: ("hashedToken", *gone)}))
    destination.apply(changes)
    return token


def revoke_token(destination: Destination, user_id: str, token: str) -> None:
    pull = {_TOKENS: ("hashedToken", hash_token(token))}
    destination.apply([Update(collection=USERS, id=user_id, pull=pull)])


def issue_personal_token(
    destination: Destination, user_id: str, name: str, now: Date, *, bypass_two_factor: bool
) -> str:
    """A personal access token: a login token with a name of its own; only its hash is kept."""
    token = new_token()
    entry = {
        "hashedToken": hash_token(token),
        "type": _PERSONAL,
        "createdAt": now,
        "lastTokenPart": token[-6:],
        "name": name,
        "bypassTwoFactor": bypass_two_factor,
    }
    destination.apply([Update(collection=USERS, id=user_id, add={_TOKENS: (entry,)})])
    return token


def personal_tokens(user: Document) -> list[Document]:
    """The entries of a user's personal access tokens, in the order in which they were made."""
    return [entry for entry in _token_entries(user) if entry.get("type") == _PERSONAL]


def revoke_personal_token(destination: Destination, user_id: str, entry: Document) -> None:
    pull = {_TOKENS: ("hashedToken", entry["hashedToken"])}
    destination.apply([Update(collection=USERS, id=user_id, pull=pull)])


def _token_entries(user: Document) -> list[Document]:
    holder: Any = user
    for step in ("services", "resume", "loginTokens"):
        holder = holder.get(step) if isinstance(holder, dict) else None
    return [entry for entry in holder if isinstance(entry, dict)] if isinstance(holder, list) else []


def user_of_token(
    destination: Destination, user_id: str, token: str, rules: TokenRules, now: int
) -> Document | None:
    """The active account with this id and login token. All failures do the same work."""
    users = destination.find(Lookup.USER_ID, [user_id])
    user = users[0] if users else {}
    return user if _has_token(user, token, rules, now) and user.get("active", True) else None


def user_with_token(destination: Destination, token: str, rules: TokenRules, now: int) -> Document | None:
    """The active account that has this login token."""
    users = destination.find(Lookup.USER_TOKEN, [hash_token(token)])
    user = users[0] if users else {}
    return user if _has_token(user, token, rules, now) and user.get("active", True) else None


def _has_token(user: Document, token: str, rules: TokenRules, now: int) -> bool:
    wanted = hash_token(token).encode()
    entries = _token_entries(user)
    found = [hmac.compare_digest(str(entry.get("hashedToken", "")).encode(), wanted) for entry in entries]
    return any(is_it and not rules.is_over(entry, now) for is_it, entry in zip(found, entries, strict=True))


def user_named(destination: Destination, name: str) -> Document | None:
    """The account with this username, e-mail or id."""
    lookups = [Lookup.USER_EMAIL] if "@" in name else [Lookup.USERNAME, Lookup.USER_ID]
    for lookup in lookups:
        if users := destination.find(lookup, [name]):
            return users[0]
    return None


# ---------------------------------------------------------------- roles


def existing_roles(destination: Destination) -> frozenset[str]:
    """The ids of a workspace's roles: those of every server, its own, and those that have a permission."""
    own = {str(role["_id"]) for role in destination.foreign(ROLES, MOST_ROLES)}
    permissions = (decode(line) for line in destination.dump(PERMISSIONS))
    return DEFAULT_ROLES.union(own, *map(roles_of, permissions))


def roles_of(user: Document) -> frozenset[str]:
    return frozenset(user.get("roles") or ())


def starter_named(destination: Destination, username: str) -> Document:
    """The account in whose name an import is started. Raises SettingsError if it cannot be."""
    found = destination.find(Lookup.USERNAME, [username])
    if not found:
        raise SettingsError(f"There is no user {username} in this workspace. Give --as a username.")
    if not found[0].get("active", True):
        raise SettingsError(f"{username} is deactivated. Give --as somebody who is active.")
    return found[0]


def first_administrator(destination: Destination) -> Document | None:
    """The active administrator whose account is the oldest; of equals the one with the smallest `_id`."""
    found = destination.find(Lookup.USER_ROLE, ["admin"])
    return min((admin for admin in found if admin.get("active", True)), key=_age, default=None)


def _age(user: Document) -> tuple[int, str]:
    created = user.get("createdAt")
    return created.ms if isinstance(created, Date) else 0, user["_id"]
