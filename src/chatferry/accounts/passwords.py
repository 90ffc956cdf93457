"""Passwords: bcrypt of the hexadecimal SHA-256 of the text, as Rocket.Chat keeps them."""

import hashlib
import os
import secrets
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache

import bcrypt

from chatferry.accounts.people import is_active
from chatferry.destinations import Destination
from chatferry.documents import USERS, Document, Update

# A hash takes a core for 70 ms. One core stays free, and hashing gives way on all other cores.
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


def is_password(user: Document | None, password: str, *, is_hashed: bool = False) -> bool:
    """Return whether this, or its SHA-256, is the active user's password, as slowly for a missing user."""
    account = user or {}
    stored = account.get("services", {}).get("password", {}).get("bcrypt", "")
    candidate = (password.lower() if is_hashed else _digest(password)).encode("utf-8", "replace")[:72]
    known = (stored or _nobodys_hash()).encode()
    try:
        is_right = _hashers().submit(bcrypt.checkpw, candidate, known).result()
    except ValueError:  # no bcrypt hash, or a NUL in the candidate
        is_right = False
    return is_right and bool(stored) and is_active(account)


def has_password(user: Document) -> bool:
    """Return whether anybody can log in with a password as this active user."""
    stored = user.get("services", {}).get("password", {}).get("bcrypt")
    return bool(stored) and is_active(user)


def set_password(destination: Destination, user: Document, password: str) -> None:
    """Give an account a password. Sessions that are open stay open."""
    news = {"services.password.bcrypt": hash_password(password)}
    destination.apply([Update(collection=USERS, id=user["_id"], set=news)])


def needs_second_factor(user: Document) -> bool:
    """Return whether Rocket.Chat asks this user for a code of an app, or by e-mail, too."""
    services = user.get("services", {})
    if services.get("totp", {}).get("enabled") is True:
        return True
    is_reachable = any(email.get("verified") is True for email in user.get("emails", ()))
    return is_reachable and services.get("email2fa", {}).get("enabled") is True
