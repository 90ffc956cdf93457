"""Rocket.Chat's ids and tokens.

Three forms: 17 characters of an alphabet without look-alikes (users, operations, direct subscriptions),
24 lower-case hexadecimal digits (rooms, other subscriptions, uploads), 43 url-safe characters (tokens).
Imported documents get derived ids: the same source gives the same id in every run.
"""

import base64
import hashlib
import secrets

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTWXYZabcdefghijkmnopqrstuvwxyz"
_PAIRS = [first + second for second in ALPHABET for first in ALPHABET]


def new_id() -> str:
    """Return a random id of 17 characters."""
    return "".join(secrets.choice(ALPHABET) for _ in range(17))


def new_token() -> str:
    """Return a random login token of 43 characters."""
    return secrets.token_urlsafe(32)


def hash_token(token: str) -> str:
    """Return a login token as it is stored: base64 of its SHA-256."""
    return base64.b64encode(hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()).decode()


def derived_id(*source: str) -> str:
    """Return an id of 17 characters that depends on nothing but `source`."""
    number = int.from_bytes(_digest(source))
    pairs = []
    for _ in range(9):
        number, rest = divmod(number, len(_PAIRS))
        pairs.append(_PAIRS[rest])
    return "".join(pairs)[:17]


def derived_hex(*source: str) -> str:
    """Return an id of 24 hexadecimal digits that depends on nothing but `source`."""
    return _digest(source).hex()[:24]


def _digest(source: tuple[str, ...]) -> bytes:
    return hashlib.blake2b("\0".join(source).encode("utf-8", "surrogatepass"), digest_size=16).digest()
