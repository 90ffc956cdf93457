"""URLs: which ones are asked for, and where redirects lead."""

import re

import httpx

from chatferry.downloads import Rules
from chatferry.downloads.addresses import HOSTS, is_exempt
from chatferry.downloads.failures import CHECK_ADDRESS
from chatferry.errors import DownloadError

PORTS = {"http": 80, "https": 443}
USUAL_PORTS = {80, 443, 8080, 8443}

_TELL_OWNER = "Tell the host's owner"
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+", re.IGNORECASE)


def accepted_url(text: str, rules: Rules) -> httpx.URL:
    """Return the URL, if it may be asked for. Raise DownloadError."""
    try:
        url = httpx.URL(text).copy_with(fragment=None)
    except (httpx.InvalidURL, UnicodeError):
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
    return url


def next_url(url: httpx.URL, location: str, rules: Rules) -> httpx.URL:
    """Return where a redirect from `url` leads, if that may be asked for. Raise DownloadError."""
    try:
        following = accepted_url(str(url.join(location)), rules)
    except (httpx.InvalidURL, UnicodeError):
        raise _refused("the host redirects to no valid address", CHECK_ADDRESS) from None
    except DownloadError as fault:
        raise _refused(f"the host redirects elsewhere, and there {fault.reason}", fault.remedy) from None
    if (url.scheme, following.scheme) == ("https", "http"):
        raise _refused("the host redirects from https to http, which others can read and change", _TELL_OWNER)
    return following


def host_of(url: httpx.URL) -> str:
    """Return the host as it is resolved: in ASCII, and without brackets."""
    return url.raw_host.decode("ascii")


def port_of(url: httpx.URL) -> int:
    return PORTS[url.scheme] if url.port is None else url.port


def origin_of(text: str) -> str:
    """Return the host and port of a URL as the rules name hosts; "" if it has none."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        return ""
    name = host_of(url).lower().rstrip(".")
    return f"{f'[{name}]' if ':' in name else name}:{url.port or PORTS.get(url.scheme, 0)}"


def is_same_origin(one: httpx.URL, other: httpx.URL) -> bool:
    return (one.scheme, host_of(one), port_of(one)) == (other.scheme, host_of(other), port_of(other))


def _refused(why: str, remedy: str) -> DownloadError:
    return DownloadError(why, remedy, is_final=True, is_refused=True)
