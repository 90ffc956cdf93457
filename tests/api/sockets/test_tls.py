"""Serving https, and the errors for certificates and keys that cannot be used."""

import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from chatferry.api.sockets.tls import check_certificate
from chatferry.errors import SettingsError
from chatferry.settings import Settings
from tests.support.serving import PATIENCE, Server, command, environment, login, run_import, serving, until

AUTHORITY = trustme.CA()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate and its key, both in one, and the key of another."""
    folder = tmp_path_factory.mktemp("files")
    issued, other = AUTHORITY.issue_cert("localhost"), AUTHORITY.issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    issued.private_key_and_cert_chain_pem.write_to_path(folder / "both.pem")
    other.private_key_pem.write_to_path(folder / "other.pem")
    secret = load_pem_private_key(issued.private_key_pem.bytes(), None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    (folder / "locked.pem").write_bytes(secret)
    (folder / "nonsense.pem").write_text("nonsense")
    return folder


@pytest.fixture(scope="module")
def server(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that speaks TLS, and waits for a second."""
    options = ("--tls-cert", str(files / "cert.pem"), "--tls-key", str(files / "key.pem"))
    data = tmp_path_factory.mktemp("tls") / "data"
    limits = {"CHATFERRY_CONNECTION_WAIT_SECONDS": "1", "CHATFERRY_MAX_CONNECTIONS_PER_ADDRESS": "20"}
    with serving(data, *options, **limits) as running:
        yield running


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


def info(server: Server) -> httpx.Response:
    address = server.address.replace("127.0.0.1", "localhost")
    return httpx.get(f"{address}/api/info", verify=trusting(), timeout=PATIENCE, trust_env=False)


def test_an_import_over_https(server: Server) -> None:
    assert server.address.startswith("https://127.0.0.1:")
    assert info(server).json()["success"] is True
    with login(server) as http:
        assert run_import(http)["status"] == "importer_done"
        assert http.get("me").json()["avatarUrl"] == f"{server.address}/avatar/admin"


def test_key_and_certificate_in_one_file_named_in_the_environment(files: Path, tmp_path: Path) -> None:
    with serving(tmp_path, CHATFERRY_TLS_CERT=str(files / "both.pem")) as server:
        assert info(server).status_code == 200


def test_nothing_is_said_without_tls(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection:
        connection.sendall(b"GET /api/info HTTP/1.1\r\nHost: x\r\n\r\n")
        assert not connection.recv(1 << 16).startswith(b"HTTP")


def test_connections_without_a_handshake_are_closed_and_block_nobody(server: Server) -> None:
    silent = [socket.create_connection(("127.0.0.1", server.port), PATIENCE) for _ in range(40)]
    assert info(server).status_code == 200
    for connection in silent:
        assert connection.recv(1) == b""
        connection.close()
    until(lambda: info(server).status_code == 200)


@pytest.mark.parametrize(
    ("certificate", "key", "told"),
    [
        ("none.pem", "", "none.pem cannot be read: No such file or directory."),
        ("cert.pem", ".", "cannot be read: Is a directory."),
        ("cert.pem", "", "(without --tls-key it holds both) cannot be used: the files are no PEM"),
        ("nonsense.pem", "key.pem", "cannot be used: the files are no PEM"),
        ("cert.pem", "other.pem", "the key is not that of the certificate."),
        ("cert.pem", "locked.pem", "--tls-key: the key is encrypted"),
    ],
)
def test_files_that_cannot_be_used(files: Path, certificate: str, key: str, told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        check_certificate(files / certificate, files / key if key else None)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--tls-key", "key.pem"], "--tls-key is the key of a certificate: give that too, with --tls-cert."),
        (["--tls-cert", "cert.pem", "--tls-key", "locked.pem"], "--tls-key: the key is encrypted"),
    ],
)
def test_options_that_cannot_be_used(files: Path, options: list[str], told: str) -> None:
    """That is one line, and the exit code of wrong usage."""
    run = subprocess.run(
        command("serve", "--port", "0", "--data", "data", *options),
        cwd=files,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        stdin=subprocess.DEVNULL,
    )
    assert (run.returncode, run.stdout, run.stderr.count("\n")) == (2, "", 1)
    assert told in run.stderr


@pytest.mark.parametrize(
    ("settings", "is_open"),
    [
        (Settings(), False),
        (Settings(host="localhost"), False),
        (Settings(host="::1"), False),
        (Settings(host="127.8.8.8"), False),
        (Settings(host="0.0.0.0"), True),
        (Settings(host="::"), True),
        (Settings(host="chat.example.org"), True),
        (Settings(host="0.0.0.0", trusted_proxies=("10.0.0.1",)), False),
        (Settings(host="0.0.0.0", tls_cert=Path("cert.pem")), False),
    ],
)
def test_plain_http_beyond_loopback_is_open(settings: Settings, is_open: bool) -> None:
    assert settings.is_open is is_open


def test_a_server_that_can_be_overheard_says_so(server: Server, tmp_path: Path) -> None:
    with serving(tmp_path, "--host", "0.0.0.0") as overheard:
        until(lambda: "serving beyond this machine without TLS" in log(overheard))
        assert "Passwords and tokens can be read on their way" in log(overheard)
    assert "can be read" not in log(server)


def log(server: Server) -> str:
    return (server.data / "stderr").read_text()
