"""Finding an account by what people call it."""

import re

from chatferry.destinations import Destination, Lookup
from chatferry.documents import Document


def user_of_login(destination: Destination, login: str) -> Document | None:
    """Return the account with this username, or with this e-mail if it holds an "@"."""
    users = destination.find(Lookup.USER_EMAIL if "@" in login else Lookup.USERNAME, [login])
    return users[0] if users else None


def user_named(destination: Destination, name: str) -> Document | None:
    """Return the account with this username, e-mail or id."""
    lookups = [Lookup.USER_EMAIL] if "@" in name else [Lookup.USERNAME, Lookup.USER_ID]
    for lookup in lookups:
        if users := destination.find(lookup, [name]):
            return users[0]
    return None


def is_username(text: str) -> bool:
    """Return whether an account may have this username, as Rocket.Chat checks it by default."""
    return re.fullmatch(r"[0-9a-zA-Z\-_.]+", text) is not None


def is_active(account: Document) -> bool:
    """Return whether an account may be used."""
    return account.get("active", True) is True
