"""Checks of a TLS certificate and its key."""

import ssl
from pathlib import Path

from chatferry.errors import SettingsError

_REASONS = {
    "KEY_VALUES_MISMATCH": "the key is not that of the certificate",
    "EE_KEY_TOO_SMALL": "the key is too short: make one of 2048 bits or more",
    "CA_MD_TOO_WEAK": "the certificate is signed with too weak a method: get a new one",
}
_NO_PEM = "the files are no PEM, the text with BEGIN CERTIFICATE and BEGIN PRIVATE KEY"


def check_certificate(certificate: Path, key: Path | None) -> None:
    """Raise SettingsError for unusable files. Without `key` the certificate's file holds the key too."""
    for path in (certificate, key):
        if path is not None:
            _check_readable(path)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as error:
        reason = _REASONS.get(error.reason or "", _NO_PEM)
        files = f"{certificate} and {key}" if key else f"{certificate} (without --tls-key it holds both)"
        raise SettingsError(f"--tls-cert, --tls-key: {files} cannot be used: {reason}.") from error


def _check_readable(path: Path) -> None:
    try:
        path.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"--tls-cert, --tls-key: {path} cannot be read: {error.strerror or error}. Check the path and "
            "its permissions."
        ) from error


def _no_password() -> str:
    """Refuse keys with a password, for which OpenSSL would ask at the terminal."""
    raise SettingsError(
        "--tls-key: the key is encrypted, and nobody is there to type its password. Take the password off: "
        "openssl pkey -in KEY -out NEWKEY"
    )
