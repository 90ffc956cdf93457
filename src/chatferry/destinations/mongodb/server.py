"""A MongoDB server: opened by its URL, waited for when it is away, its errors in plain words."""

import logging
import time
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    InvalidURI,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    WriteConcernError,
)
from pymongo.read_preferences import ReadPreference
from pymongo.uri_parser import parse_uri
from pymongo.write_concern import WriteConcern

from chatferry.destinations.mongodb.bson_documents import OPTIONS
from chatferry.errors import ChatferryError, DestinationError, NoRoomError, SettingsError

Row = dict[str, Any]
P = ParamSpec("P")
T = TypeVar("T")

PATIENCE = 30.0  # seconds that a server may be away
_DEFAULTS: dict[str, Any] = {
    "appname": "chatferry",
    "serverSelectionTimeoutMS": 10_000,  # until a server that does not answer counts as away
    "connectTimeoutMS": 10_000,
}
"""Options of the URL that have another default here."""
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 3.0  # seconds between two tries

_PASSING = {
    6, 7, 89, 91, 112, 133, 134, 189, 202, 246, 251, 262, 290, 317, 358, 384, 9001, 10107, 11600, 11602,
    13388, 13435, 13436,
}  # fmt: skip
"""Codes of errors that end by themselves: a step-down, a shutdown, a conflict with another writer ..."""
_PASSING_LABELS = ("TransientTransactionError", "UnknownTransactionCommitResult", "RetryableWriteError")

DUPLICATE, DISK_FULL, NOT_CONFIRMED = 11000, 14031, 64
_TROUBLE = {
    8000: "it refuses the name or password; check both in the URL",
    11: "it refuses the name or password; check both in the URL, and authSource",
    18: "it refuses the name or password; check both in the URL, and authSource",
    13: "this user may not do that; give it the role readWrite on this database",
    DISK_FULL: "its disk is full; make room there, then try again",
    NOT_CONFIRMED: (
        "not enough members have confirmed a write in time; check the replica set, or wtimeoutMS in the URL"
    ),
    79: "it does not know the write concern; check w in the URL",
    100: "it has fewer members than the write concern asks for; check w in the URL",
}

_KINDS: dict[int, type[ChatferryError]] = {DISK_FULL: NoRoomError, NOT_CONFIRMED: DestinationError}
"""Of these the ones that end without another URL."""

_USE = "Use mongodb://HOST:PORT/DATABASE?replicaSet=NAME"
_log = logging.getLogger(__name__)


class Server:
    """A client of the database that a URL names. `name` is what people see: no user, no password.

    `patience`: seconds after which an operation has failed, None for as long as it takes, and half a minute
    more where the server is away. `fixed`: options that count whatever the URL says.
    """

    def __init__(self, url: str, patience: float | None = None, **fixed: Any) -> None:
        self._patience = PATIENCE
        if patience is not None:
            self._patience, fixed["timeoutMS"] = 0.0, int(patience * 1000)
        parsed = _parsed(url)
        options = parsed["options"]
        hosts = ",".join(host if port is None else f"{host}:{port}" for host, port in parsed["nodelist"])
        self.name = f"mongodb://{hosts}/{parsed['database']}"
        own = {option: value for option, value in _DEFAULTS.items() if option not in options}
        try:
            self.client: MongoClient[Row] = MongoClient(url, **own, **fixed, retryWrites=True)
        except (PyMongoError, ValueError) as error:
            raise SettingsError(f"{self.name}: an option of the URL cannot be used. {_USE}.") from error
        self.write_concern = _write_concern(options, self.name)
        self.database: Database[Row] = self.client.get_database(
            parsed["database"], OPTIONS, ReadPreference.PRIMARY, self.write_concern
        )

    def require(self) -> None:
        """Raise unless the server answers, takes writes and supports transactions."""
        try:
            found = self.database.command("hello")
            self.database.command("listCollections", nameOnly=True, authorizedCollections=True)
        except PyMongoError as error:
            raise self.plain(error) from error
        if "setName" not in found and found.get("msg") != "isdbgrid":
            raise SettingsError(
                f"{self.name} is no replica set, which Rocket.Chat and chatferry need. "
                "Start mongod with --replSet and call rs.initiate()."
            )

    def patiently(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the result of the work; repeat it while the server is away or a transaction conflicts."""
        deadline, delay = 0.0, _FIRST_DELAY
        while True:
            try:
                return work(*args, **kwargs)
            except PyMongoError as error:
                deadline = deadline or time.monotonic() + self._patience
                if not is_passing(error) or time.monotonic() >= deadline:
                    raise self.plain(error) from error
                _log.info("%s: %s; trying again", self.name, type(error).__name__)
            time.sleep(delay)
            delay = min(2 * delay, _LONGEST_DELAY)

    def plain(self, error: PyMongoError) -> ChatferryError:
        """Return the error that people see: an outage, or something that has to be set differently."""
        code = min(_codes(error) & _TROUBLE.keys(), default=0)
        if code:
            return _KINDS.get(code, SettingsError)(f"{self.name}: {_TROUBLE[code]}.")
        if is_passing(error) or isinstance(error, ConnectionFailure) or error.timeout:
            return DestinationError(
                f"{self.name}: the server does not answer, or has no primary. Check the address, and that it "
                "runs; then start again: what has been imported stays."
            )
        return SettingsError(f"{self.name}: the server answers with an error: {_told(error):.300}")


def _parsed(url: str) -> dict[str, Any]:
    """Return the parts of the URL. No error repeats the URL: it holds a password."""
    try:
        parsed: dict[str, Any] = parse_uri(url)
    except (InvalidURI, ConfigurationError, ValueError, OSError):
        raise SettingsError(
            f"The URL of the MongoDB destination cannot be read, or its host is not known. {_USE}; "
            "in a name or password write : / @ % as %3A %2F %40 %25."
        ) from None
    if not parsed["database"]:
        raise SettingsError(
            "The URL of the MongoDB destination names no database. Write the name of Rocket.Chat's, usually "
            f"rocketchat, behind the host. {_USE}."
        )
    return parsed


def _write_concern(options: dict[str, Any], name: str) -> WriteConcern:
    """Return the write concern of the URL; by default `majority`, in the journal."""
    w = options.get("w", "majority")
    if w == 0:
        raise SettingsError(f"{name}: w=0 would lose errors. Leave w out, or take w=1 or more.")
    return WriteConcern(w, options.get("wTimeoutMS"), options.get("journal", True))


def is_passing(error: PyMongoError) -> bool:
    """Return whether the same may work a little later."""
    if isinstance(error, AutoReconnect | NetworkTimeout) or any(map(error.has_error_label, _PASSING_LABELS)):
        return True
    return not _codes(error).isdisjoint(_PASSING)


def _codes(error: PyMongoError) -> set[int]:
    """Return the server's codes of the error."""
    if isinstance(error, BulkWriteError):
        faults = [*error.details.get("writeErrors", ()), *error.details.get("writeConcernErrors", ())]
        return {fault["code"] for fault in faults if "code" in fault}
    if isinstance(error, OperationFailure | WriteConcernError):
        return {error.code} if error.code is not None else set()
    return set()


def _told(error: PyMongoError) -> str:
    """Return the server's message without documents, which a bulk's error would bring."""
    faults = error.details.get("writeErrors") if isinstance(error, BulkWriteError) else None
    return str(faults[0].get("errmsg")) if faults else (str(error) or type(error).__name__)


def refused_documents(error: BulkWriteError) -> list[Row]:
    """Return the faults of a bulk with single documents; raise the error if it is of another kind."""
    faults: list[Row] = error.details.get("writeErrors", [])
    if is_passing(error) or not faults or any(fault["code"] == DISK_FULL for fault in faults):
        raise error
    return faults


def refusal(fault: Row) -> str:
    """Return why the server did not write one document."""
    if fault["code"] == DUPLICATE:
        fields = ", ".join(fault.get("keyPattern", {})) or "value of a unique index"
        return f"another document has the same {fields}"
    return f"MongoDB refuses it: {fault.get('errmsg', fault['code'])!s:.300}"
