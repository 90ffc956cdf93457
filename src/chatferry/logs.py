"""Logging: one line per event on stderr, as text or JSON, with no secret and no control character.

Loggers are named `chatferry.<area>`. Nothing in the path of a single message may log.
"""

import json
import logging
import re
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from enum import StrEnum

from chatferry.redaction import without_secrets

LONGEST_VALUE = 1000  # characters of one field
_LONGEST_NAME = 60
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,15}://\S+")  # bounded, so that it stays linear
_CREDENTIAL = re.compile(r"xox[a-z.]*-[\w-]+|xapp-[\w-]+", re.IGNORECASE)
_SECRET_FIELD = re.compile(r"token|passw|pwd|secret|credential|cookie|authorization", re.IGNORECASE)
_PLAIN = re.compile(r"[^\s\"=\\]+")


REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the call that is being answered; every line that is logged meanwhile has it as `request`."""


class LogLevel(StrEnum):
    """The least important events that are logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """What a line of the log looks like."""

    TEXT = "text"
    JSON = "json"


def set_up(level: LogLevel, format: LogFormat) -> None:
    """Send the log of this process to stderr; libraries log warnings and errors only.

    Libraries write addresses and headers at lower levels, some with secrets.
    """
    handler = _Handler(sys.stderr)
    handler.setFormatter(JsonFormatter() if format == LogFormat.JSON else TextFormatter())
    handler.setLevel(level.upper())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("chatferry").setLevel(level.upper())


def event(log: logging.Logger, text: str, /, level: int = logging.INFO, **fields: object) -> None:
    """Log an event: constant words, and fields for everything that varies; leave out fields that are None."""
    log_event(log, text, level, fields)


def log_event(log: logging.Logger, text: str, level: int, fields: Mapping[str, object]) -> None:
    """Log an event whose fields are in a mapping."""
    if log.isEnabledFor(level):
        log.log(level, text, extra={"fields": fields})


class TextFormatter(logging.Formatter):
    """Make `2026-11-30T08:44:44.123Z INFO chatferry.uploads upload received operation=Xyz bytes=12`."""

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={_quoted(value)}" for name, value in _fields(record).items())
        return f"{_time(record)} {record.levelname} {record.name} {_harmless(_text(record))}{fields}"


class JsonFormatter(logging.Formatter):
    """Make one JSON object with `time`, `level`, `logger`, `event` and the event's own fields.

    Characters beyond ASCII are escaped, so that none of them can do anything to a terminal.
    """

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": _text(record),
        }
        return json.dumps({**entry, **_fields(record), **entry})


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]  # generic for mypy alone
    """Writes to stderr. Work goes on where nobody reads it any more, or the disk behind it is full."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # the name is logging's
        pass


def safe(value: object) -> str:
    """Return a value as text that may be shown: cut, and without tokens and secret parts of addresses."""
    text = str(value)
    if len(text) > LONGEST_VALUE:
        text = f"{text[:LONGEST_VALUE]}…"
    if "://" in text:
        text = _ADDRESS.sub(lambda found: without_secrets(found[0]), text)
    return _CREDENTIAL.sub("***", text)


def _text(record: logging.LogRecord) -> str:
    try:
        return safe(record.getMessage())
    except (TypeError, ValueError):  # a library's arguments do not fit its format
        return safe(record.msg)


def _fields(record: logging.LogRecord) -> dict[str, object]:
    given: Mapping[str, object] = getattr(record, "fields", {})
    fields = {name: _value(name, value) for name, value in given.items() if value is not None}
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        fields["error"] = safe(f"{type(error).__name__}: {error}")
    if request := REQUEST_ID.get():
        fields["request"] = request
    return fields


def _value(name: str, value: object) -> object:
    if _SECRET_FIELD.search(name[:_LONGEST_NAME]):
        return "***"
    return value if isinstance(value, bool | int | float) else safe(value)


def _quoted(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if _PLAIN.fullmatch(text):
        return _harmless(text)
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{_harmless(escaped)}"'


def _harmless(text: str) -> str:
    """Return the text with control, bidirectional and other invisible characters escaped, line breaks too."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
