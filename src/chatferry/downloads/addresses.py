"""Which addresses may be connected to: public ones, and the hosts that a setting names."""

import re
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from chatferry.errors import DownloadError, SettingsError

HOSTS = "CHATFERRY_DOWNLOAD_HOSTS"

_REFUSED = [
    (ip_network(network), kind)
    for network, kind in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "metadata"),  # Azure's, though in the middle of public addresses
        ("169.254.0.0/16", "link-local"),  # 169.254.169.254: metadata of most clouds
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("fc00::/7", "private"),  # fd00:ec2::254: metadata of Amazon's cloud
        ("fe80::/10", "link-local"),
        ("fec0::/10", "private"),
        ("ff00::/8", "multicast"),
        ("2001::/32", "Teredo"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("3fff::/20", "documentation"),
    )
]
_PUBLIC_IPV6 = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_HOST = re.compile(r"(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?")


def kind_of_refused(address: str) -> str:
    """Return the kind of an address that must not be connected to; "" if it may be."""
    try:
        found = ip_address(address)
    except ValueError:
        return "unreadable"
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    elif found in _NAT64:  # how networks without IPv4 reach hosts that have nothing else
        found = IPv4Address(int(found) & 0xFFFF_FFFF)
    named = next((kind for network, kind in _REFUSED if found in network), "")
    return named or ("" if found.version == 4 or found in _PUBLIC_IPV6 else "reserved")


def check_addresses(host: str, addresses: Collection[str]) -> None:
    """Raise DownloadError if a name leads nowhere, or to an address that must not be connected to."""
    if not addresses:
        raise DownloadError(f"{host} has no address", "Check the address", is_final=True)
    if any(map(kind_of_refused, addresses)):
        raise DownloadError(  # which address it is, or of what kind, is nobody's business
            f"{host} leads to an address that is not public, and chatferry asks only public hosts",
            f"If the host can be trusted, name it in {HOSTS}",
            is_final=True,
            is_refused=True,
        )


def is_exempt(host: str, port: int, hosts: Collection[str]) -> bool:
    """Return whether the setting names this host, with this port or without a port."""
    name = host.lower().rstrip(".")
    name = f"[{name}]" if ":" in name else name
    return name in hosts or f"{name}:{port}" in hosts


def parse_hosts(text: str) -> frozenset[str]:
    """Return the hosts that the setting names, separated by commas. Raise SettingsError."""
    entries = [entry.strip().lower() for entry in text.split(",") if entry.strip()]
    for entry in entries:
        found = _HOST.fullmatch(entry)
        if found is None or int(found[1] or 1) not in range(1, 65536):
            raise SettingsError(
                f"{HOSTS} holds {entry!r}. Each entry is a host's name or address in ASCII, with or without "
                "a port: files.example.com, 10.0.0.7:8080 or [fd00::7]:8080."
            )
    return frozenset(entries)
