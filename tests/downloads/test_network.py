"""Which hosts are connected to, and how."""

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from msgspec.structs import replace

from chatferry.downloads import Request, Rules
from chatferry.downloads.fetch_one import fetch
from chatferry.downloads.network import World
from chatferry.errors import DownloadError
from tests.support.filehost import FileHost, hosting

NAME = "files.example"


def get(url: str, folder: Path, rules: Rules, outside: World) -> bytes:
    fetch(Request(url=url, path=folder / "file"), rules, outside=outside)
    return (folder / "file").read_bytes()


def refused(url: str, folder: Path, rules: Rules, outside: World) -> DownloadError:
    with pytest.raises(DownloadError) as caught:
        get(url, folder, rules, outside)
    return caught.value


# ---------------------------------------------------------------- addresses


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "127.1", "0"])
def test_this_machine_is_not_asked_whatever_it_is_called(
    host: FileHost, tmp_path: Path, outside: World, name: str
) -> None:
    port = 8080  # one that is usual, so that only the address can be the reason
    error = refused(f"http://{name}:{port}/a", tmp_path, Rules(), outside)
    assert error.is_final
    assert "chatferry asks only public hosts" in error.reason
    assert "CHATFERRY_DOWNLOAD_HOSTS" in error.remedy


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["8.8.8.8", "127.0.0.1"],
        ["127.0.0.1", "8.8.8.8"],
        ["::ffff:127.0.0.1"],
        ["10.0.0.1", "::1"],
    ],
)
def test_nothing_is_sent_to_a_name_with_a_bad_address(
    host: FileHost, tmp_path: Path, naps: list[float], addresses: list[str]
) -> None:
    rules = Rules(hosts=frozenset({f"other.example:{host.port}"}))
    outside = World(resolve=lambda *_: addresses, sleep=naps.append)
    error = refused(f"http://{NAME}/a", tmp_path, rules, outside)
    assert "chatferry asks only public hosts" in error.reason
    assert not host.asked
    assert not naps


def test_a_name_is_looked_up_once_and_that_address_is_connected_to(
    host: FileHost, tmp_path: Path, outside: World
) -> None:
    answers = iter([["127.0.0.1"]])
    url = f"http://{NAME}:{host.port}/a"
    host.put("/a", b"hello")
    rules = Rules(hosts=frozenset({NAME}))
    assert get(url, tmp_path, rules, replace(outside, resolve=lambda *_: next(answers))) == b"hello"
    assert host.asked[0][1]["Host"] == f"{NAME}:{host.port}"
    assert next(answers, None) is None


def test_a_name_that_changes_its_address_is_checked_again(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World
) -> None:
    """A redirect to a name whose address was good before, and is bad at the moment of connecting."""
    url = host.put("/a", lambda to: to.head(302, location=f"http://{NAME}:8080/b", content_length=0))
    answers = {"127.0.0.1": ["127.0.0.1"], NAME: ["169.254.169.254"]}
    error = refused(url, tmp_path, rules, replace(outside, resolve=lambda name, _: answers[name]))
    assert f"{NAME} leads to an address that is not public" in error.reason
    assert "169.254" not in str(error)  # which address a name has inside is nobody's to know


def test_the_next_address_is_tried_if_one_does_not_answer(
    host: FileHost, tmp_path: Path, outside: World
) -> None:
    url = f"http://{NAME}:{host.port}/a"
    host.put("/a", b"hello")
    resolving = replace(outside, resolve=lambda *_: ["127.0.0.2", "127.0.0.1"])
    assert get(url, tmp_path, Rules(hosts=frozenset({NAME})), resolving) == b"hello"


@pytest.mark.parametrize(
    ("failure", "is_final"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), True),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), False),
        (OSError("no network"), False),
        (UnicodeError("label too long"), True),
    ],
)
def test_a_name_without_address_is_a_failure_with_a_reason(
    tmp_path: Path, outside: World, naps: list[float], failure: Exception, is_final: bool
) -> None:
    def resolve(name: str, port: int) -> list[str]:
        raise failure

    error = refused(f"http://{NAME}/a", tmp_path, Rules(), replace(outside, resolve=resolve))
    assert error.is_final == is_final
    assert NAME in error.reason
    assert bool(naps) != is_final


def test_names_that_cannot_exist_are_refused(tmp_path: Path, outside: World) -> None:
    for name in ("a" * 70 + ".example", "..", "a..b"):
        assert refused(f"http://{name}/", tmp_path, Rules(attempts=1), outside).reason


def test_proxies_of_the_environment_are_not_used(
    host: FileHost, tmp_path: Path, rules: Rules, outside: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hosting() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url("/"))
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        assert get(host.put("/a", b"hello"), tmp_path, rules, outside) == b"hello"
        assert not proxy.asked


# ---------------------------------------------------------------- encryption


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure(authority: trustme.CA) -> Iterator[FileHost]:
    """A host with a certificate for its name, though not for its address."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(NAME).configure_cert(server)
    with hosting(server) as found:
        found.put("/a", b"hello")
        yield found


def trusting(authority: trustme.CA, naps: list[float]) -> World:
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return World(resolve=lambda *_: ["127.0.0.1"], sleep=naps.append, tls=lambda: client)


ANY = Rules(hosts=frozenset({NAME, "other.example", "127.0.0.1"}))


def test_a_certificate_is_that_of_the_name(
    secure: FileHost, tmp_path: Path, authority: trustme.CA, naps: list[float]
) -> None:
    assert get(f"https://{NAME}:{secure.port}/a", tmp_path, ANY, trusting(authority, naps)) == b"hello"
    assert secure.asked[0][1]["Host"] == f"{NAME}:{secure.port}"


@pytest.mark.parametrize("name", ["other.example", "127.0.0.1"])
def test_a_certificate_for_another_name_is_refused(
    secure: FileHost, tmp_path: Path, authority: trustme.CA, naps: list[float], name: str
) -> None:
    error = refused(f"https://{name}:{secure.port}/a", tmp_path, ANY, trusting(authority, naps))
    assert error.is_final
    assert f"the certificate of {name} is not valid" in error.reason
    assert not secure.asked


def test_a_certificate_of_nobody_is_refused(secure: FileHost, tmp_path: Path, outside: World) -> None:
    unknown = replace(outside, resolve=lambda *_: ["127.0.0.1"])
    error = refused(f"https://{NAME}:{secure.port}/a", tmp_path, ANY, unknown)
    assert "certificate" in error.reason
    assert not secure.asked


def test_a_host_that_does_not_encrypt_is_no_secure_host(
    host: FileHost, tmp_path: Path, authority: trustme.CA, naps: list[float]
) -> None:
    url = f"https://{NAME}:{host.port}/a"
    error = refused(url, tmp_path, replace(ANY, attempts=2), trusting(authority, naps))
    assert f"no encrypted connection to {NAME}" in error.reason
    assert not host.asked
