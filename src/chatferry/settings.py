"""Settings: read once from the command line and the environment, then frozen."""

import os
from collections.abc import Mapping
from importlib.util import find_spec
from ipaddress import ip_address, ip_network
from pathlib import Path
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from chatferry.accounts import TokenRules, admin_settings
from chatferry.archive import Limits
from chatferry.destinations import is_server
from chatferry.destinations.throttled import Pace
from chatferry.downloads import DEFAULT_RULES, Rules
from chatferry.downloads.addresses import HOSTS, parse_hosts
from chatferry.errors import SettingsError
from chatferry.extras import advice
from chatferry.sizes import MIB


class Settings(Struct, frozen=True, kw_only=True):
    """All settings of a process.

    destination              the URL of the destination; "" for the workspace in the data directory
    max_upload               bytes
    upload_silence           seconds that an upload may pause before it is broken off
    upload_kept              seconds that a resumable upload is kept after that
    uploads_kept             ms that archives are kept after the end of their operation
    login_days, login_tokens
                             how long login tokens last, and how many a user has
    longest_outage           seconds that an import waits for a destination
    most_deaths              how often the process may die over an operation at the same place
    min_free                 bytes that uploads leave free on the disk; None for a suitable number
    import_dirs              the directories below which server files may be imported
    most_connections, most_connections_of_one
                             at once, of all addresses and of one
    connection_wait          seconds that a connection may wait for a call
    trusted_proxies          addresses and networks whose X-Forwarded-For is believed
    workers                  processes that read and convert beside this one; None for as many as are worth it
    serving                  whether this process answers calls meanwhile: it leaves the work to `workers`,
                             and they give way to it
    cluster                  the address of a scheduler whose workers import messages; "" for none
    text_index_last          whether the text index of messages is dropped, and built after an import
    metrics_token            the token that reads metrics; "" for none
    """

    data: Path = Path("data")
    host: str = "127.0.0.1"
    port: int = 3000
    destination: str = ""
    max_upload: int = 100 * 1024 * MIB
    upload_silence: int = 60
    upload_kept: int = 24 * 60 * 60
    uploads_kept: int = 0
    login_days: int = 90
    login_tokens: int = 50
    longest_outage: int = 24 * 60 * 60
    most_deaths: int = 3
    min_free: int | None = None
    import_dirs: tuple[Path, ...] = ()
    limits: Limits = Limits()
    rate_limit: bool = True
    most_connections: int = 1000
    most_connections_of_one: int = 100
    connection_wait: int = 15
    trusted_proxies: tuple[str, ...] = ()
    tls_cert: Path | None = None
    tls_key: Path | None = None
    downloads: Rules = DEFAULT_RULES
    workers: int | None = None
    serving: bool = False
    pace: Pace = Pace()
    cluster: str = ""
    text_index_last: bool = False
    metrics_token: str = ""

    @property
    def is_open(self) -> bool:
        """Return whether passwords and tokens may travel beyond this machine for everybody to read."""
        return not (self.tls_cert or self.trusted_proxies or is_loopback(self.host))

    @property
    def store_path(self) -> Path:
        return self.data / "store.sqlite3"

    @property
    def workspace_path(self) -> Path:
        """Return the workspace in the data directory, which is the destination if none is named."""
        return self.data / "workspace.sqlite3"

    @property
    def uploads(self) -> Path:
        return self.data / "uploads"

    @property
    def fetched(self) -> Path:
        """Return where archives are downloaded to, and files on their way to the destination."""
        return self.data / "downloads"

    @property
    def audit_log(self) -> Path:
        return self.data / "audit.log"

    @property
    def destination_url(self) -> str:
        """Return the destination: by default an embedded workspace in the data directory."""
        return self.destination or f"sqlite:{self.workspace_path}"

    @property
    def token_rules(self) -> TokenRules:
        """Return the rules of login tokens; a Rocket.Chat server sees to its own."""
        return TokenRules(0, 0) if self.server_database else TokenRules(self.login_days, self.login_tokens)

    @property
    def disks(self) -> tuple[Path, ...]:
        """Return the folders of this machine on whose disks databases grow while an import runs."""
        scheme, _, path = self.destination_url.partition(":")
        workspace = Path(path.removeprefix("//")).parent
        return (self.data, workspace) if scheme == "sqlite" and workspace != self.data else (self.data,)

    @property
    def server_database(self) -> str:
        """Return the database's name, if the destination is a Rocket.Chat server's; "" if it is ours."""
        return unquote(urlsplit(self.destination).path.strip("/")) if is_server(self.destination) else ""


def from_environment(  # noqa: PLR0913  # the settings that the command line has options for
    environment: Mapping[str, str] = os.environ,
    *,
    data: Path = Path("data"),
    host: str = "127.0.0.1",
    port: int = 3000,
    destination: str = "",
    workers: int | None = None,
    cluster: str = "",
    text_index_last: bool = False,
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
) -> Settings:
    """Return the settings of this process: the given ones, and those of the environment."""
    defaults = Limits()
    if not is_server(destination):  # a Rocket.Chat server has the variables for itself
        admin_settings(environment)
    pace = Pace(
        messages_per_second=_number_or_off(environment, "CHATFERRY_MESSAGES_PER_SECOND"),
        latency=_number_or_off(environment, "CHATFERRY_MAX_LATENCY_MS") / 1000,
    )
    _judge_cluster(cluster, destination, pace)
    if text_index_last and not is_server(destination):
        raise SettingsError(
            "--text-index-last is for MongoDB only: messages have no text index elsewhere. Leave it out, or "
            "give --destination mongodb://HOST:PORT/DATABASE?replicaSet=NAME."
        )
    if tls_key and not tls_cert:
        raise SettingsError("--tls-key is the key of a certificate: give that too, with --tls-cert.")
    return Settings(
        data=data,
        host=host,
        port=port,
        destination=destination,
        workers=workers,
        cluster=cluster,
        text_index_last=text_index_last,
        tls_cert=tls_cert,
        tls_key=tls_key,
        max_upload=_number(environment, "CHATFERRY_MAX_UPLOAD_MIB", 100 * 1024) * MIB,
        upload_silence=_number(environment, "CHATFERRY_UPLOAD_SILENCE_SECONDS", 60),
        upload_kept=_number(environment, "CHATFERRY_UPLOAD_KEPT_SECONDS", 24 * 60 * 60),
        login_days=_number(environment, "CHATFERRY_LOGIN_DAYS", 90),
        login_tokens=_number(environment, "CHATFERRY_LOGIN_TOKENS", 50),
        uploads_kept=_number_or_off(environment, "CHATFERRY_KEEP_UPLOADS_HOURS") * 60 * 60 * 1000,
        most_deaths=_number(environment, "CHATFERRY_MAX_DEATHS", 3),
        longest_outage=_number(environment, "CHATFERRY_MAX_OUTAGE_SECONDS", 24 * 60 * 60),
        min_free=_mebibytes(environment, "CHATFERRY_MIN_FREE_MIB"),
        import_dirs=tuple(
            Path(entry).resolve()
            for entry in environment.get("CHATFERRY_IMPORT_DIRS", "").split(os.pathsep)
            if entry
        ),
        limits=Limits(
            entries=_number(environment, "CHATFERRY_MAX_ENTRIES", defaults.entries),
            entry_bytes=_number(environment, "CHATFERRY_MAX_ENTRY_MIB", defaults.entry_bytes // MIB) * MIB,
            total_bytes=_number(environment, "CHATFERRY_MAX_TOTAL_MIB", defaults.total_bytes // MIB) * MIB,
            ratio=_number(environment, "CHATFERRY_MAX_RATIO", defaults.ratio),
            names_bytes=_number(environment, "CHATFERRY_MAX_NAMES_MIB", defaults.names_bytes // MIB) * MIB,
        ),
        rate_limit=_switch(environment, "CHATFERRY_RATE_LIMIT", True),
        most_connections=_number(environment, "CHATFERRY_MAX_CONNECTIONS", 1000),
        most_connections_of_one=_number(environment, "CHATFERRY_MAX_CONNECTIONS_PER_ADDRESS", 100),
        connection_wait=_number(environment, "CHATFERRY_CONNECTION_WAIT_SECONDS", 15),
        trusted_proxies=_networks(environment, "CHATFERRY_TRUSTED_PROXIES"),
        downloads=Rules(
            hosts=parse_hosts(environment.get(HOSTS, "")),
            limit=_number(environment, "CHATFERRY_MAX_DOWNLOAD_MIB", DEFAULT_RULES.limit // MIB) * MIB,
            proxies=_switch(environment, "CHATFERRY_ARCHIVE_PROXIES", False),
        ),
        pace=pace,
        metrics_token=_token(environment, "CHATFERRY_METRICS_TOKEN"),
    )


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches what listens on this host."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _judge_cluster(cluster: str, destination: str, pace: Pace) -> None:
    if cluster and not is_server(destination):
        raise SettingsError(
            "--cluster imports into MongoDB only: workers elsewhere cannot write to a file of this machine. "
            "Give --destination mongodb://HOST:PORT/DATABASE?replicaSet=NAME, or leave --cluster out."
        )
    if cluster and pace.is_limited:
        raise SettingsError(
            "--cluster imports as fast as it can. Leave it out, or CHATFERRY_MESSAGES_PER_SECOND and "
            "CHATFERRY_MAX_LATENCY_MS: only one process keeps a pace."
        )
    if cluster and find_spec("distributed") is None:
        raise SettingsError(advice("--cluster", "cluster"))


def _switch(environment: Mapping[str, str], name: str, default: bool) -> bool:
    text = environment.get(name, "")
    if text not in ("", "on", "off"):
        raise SettingsError(f"{name} is {text!r}. It must be on or off.")
    return text == "on" if text else default


def _networks(environment: Mapping[str, str], name: str) -> tuple[str, ...]:
    texts = tuple(text.strip() for text in environment.get(name, "").split(",") if text.strip())
    for text in texts:
        try:
            ip_network(text)
        except ValueError as error:
            raise SettingsError(
                f"{name}: {text!r} is neither an address nor a network such as 10.0.0.0/8."
            ) from error
    return texts


def _token(environment: Mapping[str, str], name: str) -> str:
    token = environment.get(name, "")
    if token and not (token.isascii() and token.isprintable() and " " not in token and len(token) >= 16):
        raise SettingsError(f"{name} must have at least 16 letters, digits or signs, and no spaces.")
    return token


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise SettingsError(f"{name} is {text!r}. It must be a whole number above 0.")
    return int(text)


def _mebibytes(environment: Mapping[str, str], name: str) -> int | None:
    """Return the setting in bytes, 0 for none at all; None if it is not set."""
    return _number_or_off(environment, name) * MIB if environment.get(name, "") else None


def _number_or_off(environment: Mapping[str, str], name: str) -> int:
    """Return the number of a setting; 0, like no value, is off."""
    text = environment.get(name, "")
    return 0 if text.strip("0") == "" and text.isascii() else _number(environment, name, 0)
