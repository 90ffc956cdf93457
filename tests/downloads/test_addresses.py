"""Which addresses and hosts may be reached."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatferry.downloads.addresses import check_addresses, is_exempt, kind_of_refused, parse_hosts
from chatferry.errors import DownloadError, SettingsError

REFUSED = {
    "loopback": ["127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"],
    "private": ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fd00:ec2::254", "fec0::1",
                "::ffff:10.0.0.1", "64:ff9b::a00:1"],
    "link-local": ["169.254.169.254", "fe80::1", "fe80::1%eth0", "::ffff:169.254.169.254"],
    "metadata": ["168.63.129.16"],
    "multicast": ["224.0.0.1", "239.255.255.255", "ff02::1"],
    "unspecified": ["0.0.0.0", "0.1.2.3", "::"],
    "carrier-grade NAT": ["100.64.0.1", "100.100.100.200", "100.127.255.255"],
    "reserved": ["240.0.0.1", "255.255.255.255", "192.0.0.192", "2001:10::1", "::7f00:1", "100::1",
                 "64:ff9b:1::7f00:1", "5f00::1", "4000::1"],
    "documentation": ["192.0.2.1", "198.51.100.7", "203.0.113.7", "2001:db8::1", "3fff::1"],
    "benchmarking": ["198.18.0.1", "198.19.255.255"],
    "6to4": ["2002:7f00:1::", "2002:a00:1::1"],
    "6to4 relay": ["192.88.99.1"],
    "Teredo": ["2001:0:5ef5:79fd::1"],
    "unreadable": ["", "localhost", "127.1", "1.2.3.4.5", "::g", "010.0.0.1"],
}  # fmt: skip
NAT64 = IPv6Network("64:ff9b::/96")
PUBLIC = [
    "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "193.0.0.1", "223.255.255.255",
    "168.63.129.17", "2600::1", "2a00:1450:4001:80e::200e", "2001:4860:4860::8888", "::ffff:8.8.8.8",
    "64:ff9b::808:808",
]  # fmt: skip


@pytest.mark.parametrize(("kind", "address"), [(kind, a) for kind, found in REFUSED.items() for a in found])
def test_an_address_that_is_not_public_is_refused(kind: str, address: str) -> None:
    assert kind_of_refused(address) == kind


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_not(address: str) -> None:
    assert kind_of_refused(address) == ""


@given(st.ip_addresses(v=4))
def test_addresses_that_the_standard_library_calls_private_are_refused(address: IPv4Address) -> None:
    if not address.is_global or address.is_multicast or address.is_reserved:
        assert kind_of_refused(str(address))


@given(st.ip_addresses(v=6))
def test_that_holds_for_ipv6(address: IPv6Address) -> None:
    if address.ipv4_mapped or address in NAT64:
        return  # judged by the address within
    if not address.is_global or address.is_multicast or address.is_reserved:
        assert kind_of_refused(str(address))


@given(st.ip_addresses(v=4))
def test_an_address_within_another_is_judged_as_itself(address: IPv4Address) -> None:
    kind = kind_of_refused(str(address))
    assert kind_of_refused(str(ip_address(f"::ffff:{address}"))) == kind
    assert kind_of_refused(str(ip_address(f"64:ff9b::{address}"))) == kind


@pytest.mark.parametrize(
    "addresses", [["8.8.8.8", "10.0.0.1"], ["10.0.0.1", "8.8.8.8"], ["8.8.8.8", "::1"], []]
)
def test_one_bad_address_or_none_is_enough_to_refuse_a_name(addresses: list[str]) -> None:
    with pytest.raises(DownloadError) as caught:
        check_addresses("files.example", addresses)
    assert caught.value.is_final
    assert "files.example" in caught.value.reason
    for told in (*addresses, "private", "loopback"):  # the address of an internal name is nobody's business
        assert told not in str(caught.value)


def test_only_good_addresses_are_no_reason_to_refuse() -> None:
    check_addresses("files.example", ["8.8.8.8", "2600::1"])


@pytest.mark.parametrize(
    ("host", "port", "is_named"),
    [
        ("files.example", 80, True),
        ("FILES.example.", 9000, True),
        ("other.example", 8080, True),
        ("other.example", 80, False),
        ("sub.files.example", 80, False),
        ("fd00::7", 8080, True),
        ("fd00::7", 80, False),
    ],
)
def test_the_setting_names_hosts_with_and_without_port(host: str, port: int, is_named: bool) -> None:
    hosts = parse_hosts(" files.example, Other.example:8080,,[fd00::7]:8080 ")
    assert is_exempt(host, port, hosts) == is_named


@pytest.mark.parametrize(
    "text",
    ["http://x", "*.example", "a b", "x:", "x:0", "x:65536", "x:http", "fd00::7", "käse.example", "x/y"],
)
def test_an_entry_that_names_no_host_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"CHATFERRY_DOWNLOAD_HOSTS holds .*files\.example\.com"):
        parse_hosts(f"files.example,{text}")
