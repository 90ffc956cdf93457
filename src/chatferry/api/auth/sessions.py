"""Log-in, log-out, the caller's account and the versions of the server."""

import time
from math import ceil
from typing import Any

from chatferry import __version__, accounts
from chatferry.api import wire
from chatferry.api.services import TOO_MANY, Call
from chatferry.clock import now
from chatferry.documents import Date, Document
from chatferry.errors import RequestError
from chatferry.observing import audit
from chatferry.observing.current import note_user

SPOKEN_VERSION = "8.8"  # the Rocket.Chat release whose API this is
_SECOND_FACTOR = (
    "This account needs a second factor, for which chatferry does not ask. Log in at Rocket.Chat and use "
    "that token, or a personal access token. [totp-required]"
)
_CLIENTS = {"desktop": "3.9.6", "mobile": "4.39.0"}


class LoginError(RequestError):
    """The answer to every failed log-in, unless only the second factor is missing."""

    def __init__(self, reason: str = "Unauthorized", message: str = "") -> None:
        self.message = message or reason
        super().__init__(reason, status=401)


def login(call: Call) -> wire.JSON:
    """Log in with a username or e-mail and password, or with a valid token."""
    body: Any = call.body
    resume = body.get("resume")
    rules = call.services.settings.token_rules
    with call.services.reading() as destination:
        if isinstance(resume, str):
            user = accounts.user_with_token(destination, resume, rules, now())
        else:
            user = accounts.user_of_login(destination, _login_name(body))
    if isinstance(resume, str):
        if user is None:
            raise _refused(user)
        token = resume
    else:
        account = str(user["_id"]) if user else f"?{_login_name(body)[:100].lower()}"
        _begin_attempt(call, account, user)
        password, is_hashed = _password(body)
        if not accounts.is_password(user, password, is_hashed=is_hashed) or user is None:
            raise _refused(user)
        if call.services.attempts is not None:
            call.services.attempts.succeed(account, call.address)
        if accounts.needs_second_factor(user):
            raise _refused(user, "totp-required", _SECOND_FACTOR)
        with call.services.destination() as destination:
            token = accounts.issue_token(destination, user, Date.at(now()), rules)
    note_user(user["_id"])
    audit.record("log-in")
    data = {"userId": user["_id"], "authToken": token, "me": wire.me(user, call.site)}
    return {"status": "success", "data": data}


def _begin_attempt(call: Call, account: str, user: Document | None) -> None:
    """Refuse an attempt after too many failed ones, before its password is checked."""
    wait = call.services.attempts.begin(account, call.address) if call.services.attempts is not None else 0
    if wait:
        id = str(user["_id"]) if user else ""
        if call.services.refusals.may(id, time.monotonic()):  # otherwise anybody could fill the disk
            audit.record("log-in refused", account=id or None, reason="too many attempts")
        raise RequestError(TOO_MANY.format(ceil(wait)), status=429)


def _refused(user: Document | None, reason: str = "Unauthorized", message: str = "") -> LoginError:
    """Audit a refused log-in, without the typed name: people type passwords there."""
    audit.record("log-in refused", account=user["_id"] if user else None, reason=reason)
    return LoginError(reason, message)


def _login_name(body: wire.JSON) -> str:
    user = body.get("user")
    if isinstance(user, dict):
        user = user.get("username") or user.get("email")
    for name in (user, body.get("username"), body.get("email")):
        if isinstance(name, str) and name:
            return name
    return ""


def _password(body: wire.JSON) -> tuple[str, bool]:
    """Return the password, and whether it is already hashed with SHA-256, as Meteor clients do."""
    password = body.get("password")
    if isinstance(password, dict) and password.get("algorithm") == "sha-256":
        return str(password.get("digest", "")), True
    return (password, False) if isinstance(password, str) else ("", False)


def logout(call: Call) -> wire.JSON:
    """Log out: the token of this session becomes invalid."""
    with call.services.destination() as destination:
        accounts.revoke_token(destination, call.user["_id"], call.token)
    audit.record("log-out")
    return {"status": "success", "data": {"message": "You've been logged out!"}}


def me(call: Call) -> wire.JSON:
    """Return the caller's account."""
    return wire.me(call.user, call.site)


def info(call: Call) -> wire.JSON:
    """Return the versions of this server."""
    return {
        "version": SPOKEN_VERSION,
        "minimumClientVersions": _CLIENTS,
        "chatferry": {"version": __version__},
    }
