"""Personal access tokens: named login tokens for scripts. Only the answer that makes one shows its text."""

from chatferry import accounts
from chatferry.api import wire
from chatferry.api.services import Call
from chatferry.clock import now
from chatferry.destinations import Destination, Lookup
from chatferry.documents import Date, Document
from chatferry.errors import RequestError
from chatferry.observing import audit


def generate(call: Call) -> wire.JSON:
    """Make a named token for scripts; only this answer shows its text."""
    name, bypass = _name(call), bool(call.body.get("bypassTwoFactor"))
    with call.services.destination() as destination:
        if _entry(destination, call, name):
            raise _refused("A token with this name already exists", "already-exists", "generateToken")
        token = _issue(destination, call, name, bypass)
    audit.record("token made", name=name)
    return {"token": token}


def regenerate(call: Call) -> wire.JSON:
    """Replace the token with this name by a new one."""
    name = _name(call)
    with call.services.destination() as destination:
        entry = _revoked(destination, call, name, "regenerateToken")
        token = _issue(destination, call, name, bool(entry.get("bypassTwoFactor")))
    audit.record("token replaced", name=name)
    return {"token": token}


def remove(call: Call) -> wire.JSON:
    """Delete the token with this name."""
    name = _name(call)
    with call.services.destination() as destination:
        _revoked(destination, call, name, "removeToken")
    audit.record("token revoked", name=name)
    return {}


def list_all(call: Call) -> wire.JSON:
    """List the caller's tokens, without their text."""
    return {"tokens": [wire.personal_token(entry) for entry in accounts.personal_tokens(call.user)]}


def _name(call: Call) -> str:
    name = str(call.body.get("tokenName", ""))
    if not name:
        raise RequestError("The 'tokenName' param is required")
    return name


def _issue(destination: Destination, call: Call, name: str, bypass: bool) -> str:
    moment = Date.at(now())
    return accounts.issue_personal_token(
        destination, call.user["_id"], name, moment, bypass_two_factor=bypass
    )


def _revoked(destination: Destination, call: Call, name: str, method: str) -> Document:
    entry = _entry(destination, call, name)
    if entry is None:
        raise _refused("Token does not exist", "does-not-exists", method)
    accounts.revoke_personal_token(destination, call.user["_id"], entry)
    return entry


def _refused(reason: str, code: str, method: str) -> RequestError:
    details = {"method": f"personalAccessTokens:{method}"}
    return RequestError(reason, code=f"error-token-{code}", details=details)


def _entry(destination: Destination, call: Call, name: str) -> Document | None:
    """Return the caller's token with this name as it is stored now."""
    users = destination.find(Lookup.USER_ID, [call.user["_id"]])
    tokens = accounts.personal_tokens(users[0]) if users else []
    return next((entry for entry in tokens if entry.get("name") == name), None)
