"""Login tokens, kept as base64 of their SHA-256 in `services.resume.loginTokens`, as in Rocket.Chat."""

import hmac
from typing import Any

from msgspec import Struct

from chatferry.destinations import Destination, Lookup
from chatferry.documents import USERS, Date, Document, Update
from chatferry.ids import hash_token, new_token

_TOKENS = "services.resume.loginTokens"
_PERSONAL = "personalAccessToken"
_DAY = 24 * 60 * 60 * 1000  # ms


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
    """Return whether a token came of a log-in. A personal access token has no `when`."""
    return entry.get("type") != _PERSONAL and isinstance(entry.get("when"), Date)


def issue_token(
    destination: Destination, user: Document, now: Date, rules: TokenRules | None = None, token: str = ""
) -> str:
    """Return a new login token for a user; only its hash is kept. Remove tokens that have ended."""
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
    """Return a personal access token, which is a login token with a name; only its hash is kept."""
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
    """Return the entries of a user's personal access tokens, in the order in which they were made."""
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
    """Return the active account with this id and login token. All failures do the same work."""
    return _active(destination.find(Lookup.USER_ID, [user_id]), token, rules, now)


def user_with_token(destination: Destination, token: str, rules: TokenRules, now: int) -> Document | None:
    """Return the active account that has this login token."""
    return _active(destination.find(Lookup.USER_TOKEN, [hash_token(token)]), token, rules, now)


def _active(users: list[Document], token: str, rules: TokenRules, now: int) -> Document | None:
    """Return the first account, if it is active and has this login token."""
    user = users[0] if users else {}
    wanted = hash_token(token).encode()
    entries = _token_entries(user)
    found = [hmac.compare_digest(str(entry.get("hashedToken", "")).encode(), wanted) for entry in entries]
    lasting = [is_it and not rules.is_over(entry, now) for is_it, entry in zip(found, entries, strict=True)]
    return user if any(lasting) and user.get("active", True) else None
