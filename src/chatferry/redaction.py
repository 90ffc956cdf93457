"""Tokens in URLs: telling that there is one, and showing a URL without it."""

import re
from urllib.parse import unquote_plus

_LONGEST_SHOWN = 300
_LONGEST_HARMLESS = 15  # longer values of a query may be anything; tokens are rarely shorter
_SECRET_NAMES = re.compile(
    r"t|sig|hm|code|(x-)?(amz|goog|ms)-.*"
    r"|.*(token|secret|signature|credential|passw|pwd|auth|key|session|jwt|policy).*",
    re.DOTALL,
)
_SLACK_TOKEN = re.compile(r"xox[a-z.]{0,20}-[\w-]+|xapp-[\w-]+", re.IGNORECASE)
# A host as hosts are written (international names too), with a port or none, then a path.
_WEB_ADDRESS = re.compile(
    r"https?://(?:\*{3}@)?"
    r"(?P<host>\[[0-9a-f:.]+\]|[^\s\x00-\x1f\x7f/?#@\\:\[\]<>^`{|}\"%]+)"
    r"(?::(?P<port>[0-9]{0,5}))?(?:/[^\x00-\x1f\x7f]*)?",
    re.IGNORECASE,
)
_USER = re.compile(r"\A((?:[a-z][a-z0-9+.-]*:)?[/\\]+)?[^/\\?#]*@", re.IGNORECASE)


def without_secrets(text: str) -> str:
    """Return a URL as messages show it: no user, no fragment, no query value that may be a token."""
    address, question, query = text.strip().partition("#")[0].partition("?")
    address = _USER.sub(r"\1***@", address, count=1)
    if not _host(address):  # where its host ends is anybody's guess
        _, at, rest = address.rpartition("@")
        address = f"***@{rest}" if at else rest
    fields = (_without_value(field) for field in re.split("[&;]", query))
    shown = _SLACK_TOKEN.sub("***", address) + question + "&".join(fields)
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in shown)
    return shown if len(shown) <= _LONGEST_SHOWN else f"{shown[:_LONGEST_SHOWN]}…"


def holds_secret(text: str) -> bool:
    """Return whether a URL has a user, or a value that is a token by its name or its looks."""
    fields = [field.partition("=") for field in re.split("[?&;]", text.partition("#")[0])[1:]]
    is_named = any(_SECRET_NAMES.fullmatch(unquote_plus(name).lower()) for name, _, value in fields if value)
    return is_named or bool(_USER.search(text) or _SLACK_TOKEN.search(text))


def host_of(text: str) -> str:
    """Return the host of a URL in lower case; "" if it is no URL of a web server."""
    address = text.strip().partition("#")[0].partition("?")[0]
    return _host(_USER.sub(r"\1", address, count=1)).lower()


def _host(address: str) -> str:
    """Return the host of an address, if the address is valid."""
    match = _WEB_ADDRESS.fullmatch(address)
    return match["host"] if match and int(match["port"] or 0) < 65_536 else ""


def _without_value(field: str) -> str:
    name, equals, value = field.partition("=")
    if not equals:
        return name if len(name) <= _LONGEST_HARMLESS else "***"
    is_secret = _SECRET_NAMES.fullmatch(unquote_plus(name).lower()) or len(value) > _LONGEST_HARMLESS
    shown = _SLACK_TOKEN.sub("***", name if len(name) <= 2 * _LONGEST_HARMLESS else "***")
    return f"{shown}=***" if is_secret or _SLACK_TOKEN.search(value) else f"{shown}={value}"
