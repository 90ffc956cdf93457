"""URLs: which ones are asked for, where redirects lead, and how messages show them."""

import re
from urllib.parse import unquote_plus

import httpx

from chatferry.downloads import Rules
from chatferry.downloads.addresses import HOSTS, is_exempt
from chatferry.downloads.faults import CHECK_ADDRESS, AttemptError

PORTS = {"http": 80, "https": 443}
USUAL_PORTS = {80, 443, 8080, 8443}

_LONGEST_SHOWN = 300
_LONGEST_HARMLESS = 15  # longer values of a query may be anything; tokens are rarely shorter
_SECRET_NAMES = re.compile(
    r"t|sig|hm|code|(x-)?(amz|goog|ms)-.*"
    r"|.*(token|secret|signature|credential|passw|pwd|auth|key|session|jwt|policy).*",
    re.DOTALL,
)
_SLACK_TOKEN = re.compile(r"xox[a-z.]*-[\w-]+|xapp-[\w-]+", re.IGNORECASE)
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+", re.IGNORECASE)
_USER = re.compile(r"\A((?:[a-z][a-z0-9+.-]*:)?[/\\]+)?[^/\\?#]*@", re.IGNORECASE)


def accepted_url(text: str, rules: Rules) -> httpx.URL:
    """The URL, if it is one that may be asked for. Raises AttemptError."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        raise _refused("this is no valid address", CHECK_ADDRESS) from None
    if url.scheme not in PORTS:
        raise _refused("only http and https addresses can be fetched", CHECK_ADDRESS)
    if not url.host:
        raise _refused("the address names no host", CHECK_ADDRESS)
    if not _HOST.fullmatch(host_of(url)):
        raise _refused("this is no valid address", CHECK_ADDRESS)
    if url.userinfo:
        raise _refused("the address holds a user name or password", "Use an address without them")
    port = port_of(url)
    if not 0 < port < 65536:
        raise _refused(f"there is no port {port}", CHECK_ADDRESS)
    if port not in USUAL_PORTS and not is_exempt(host_of(url), port, rules.hosts):
        raise _refused(
            f"port {port} is not one that files are usually offered at",
            f"If the host can be trusted, name {host_of(url)}:{port} in {HOSTS}",
        )
    return url.copy_with(fragment=None)


def next_url(url: httpx.URL, location: str, rules: Rules) -> httpx.URL:
    """Where a redirect from `url` leads, if it is an address that may be asked for. Raises AttemptError."""
    try:
        return accepted_url(str(url.join(location)), rules)
    except httpx.InvalidURL:
        raise _refused("the host redirects to no valid address", CHECK_ADDRESS) from None
    except AttemptError as fault:
        raise _refused(f"the host redirects elsewhere, and there {fault.why}", fault.remedy) from None


def host_of(url: httpx.URL) -> str:
    """The host as it is resolved: in ASCII, and without brackets."""
    return url.raw_host.decode("ascii")


def port_of(url: httpx.URL) -> int:
    return PORTS[url.scheme] if url.port is None else url.port


def is_same_origin(one: httpx.URL, other: httpx.URL) -> bool:
    return (one.scheme, host_of(one), port_of(one)) == (other.scheme, host_of(other), port_of(other))


def without_secrets(text: str) -> str:
    """The URL as messages show it: no user, no fragment, no query value that could be a token."""
    address, question, query = text.strip().partition("#")[0].partition("?")
    address = _USER.sub(r"\1***@", address, count=1)
    if not _is_valid(address):  # where its host ends is anybody's guess
        address = re.sub(r".*@", "***@", address, flags=re.DOTALL)
    fields = (_without_value(field) for field in re.split("[&;]", query))
    shown = _SLACK_TOKEN.sub("***", address) + question + "&".join(fields)
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in shown)
    return shown if len(shown) <= _LONGEST_SHOWN else f"{shown[:_LONGEST_SHOWN]}…"


def holds_secret(text: str) -> bool:
    """Whether a URL has a user, or a value that is a token by its name or its looks."""
    fields = [field.partition("=") for field in re.split("[?&;]", text.partition("#")[0])[1:]]
    is_named = any(_SECRET_NAMES.fullmatch(unquote_plus(name).lower()) for name, _, value in fields if value)
    return is_named or bool(_USER.search(text) or _SLACK_TOKEN.search(text))


def _is_valid(address: str) -> bool:
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL:
        return False
    return url.scheme in PORTS and bool(url.host)


def _without_value(field: str) -> str:
    name, equals, value = field.partition("=")
    if not equals:
        return name if len(name) <= _LONGEST_HARMLESS else "***"
    is_secret = _SECRET_NAMES.fullmatch(unquote_plus(name).lower()) or len(value) > _LONGEST_HARMLESS
    shown = _SLACK_TOKEN.sub("***", name if len(name) <= 2 * _LONGEST_HARMLESS else "***")
    return f"{shown}=***" if is_secret or _SLACK_TOKEN.search(value) else f"{shown}={value}"


def _refused(why: str, remedy: str) -> AttemptError:
    return AttemptError(why, remedy, is_final=True, is_refused=True)
