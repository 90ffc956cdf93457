"""The audit log: log-ins, tokens, uploads and control of imports, one JSON object per line.

Actions go to a file of their own, whatever the level of the log is, and to the log too.
"""

import logging
import os
from io import FileIO, TextIOWrapper
from logging.handlers import WatchedFileHandler
from pathlib import Path

from chatferry import private
from chatferry.logs import JsonFormatter, log_event
from chatferry.observing.current import CURRENT

LOG = logging.getLogger("chatferry.audit")
_COMPLAINTS = logging.getLogger("chatferry.observing")


def set_up(path: Path) -> None:
    """Append audited actions to this file, which only its owner may read."""
    handler = _AuditFile(path, encoding="utf-8")
    handler.setFormatter(JsonFormatter())
    for former in LOG.handlers[:]:
        LOG.removeHandler(former)
        former.close()
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)


def record(action: str, /, **fields: object) -> None:
    """Record an action with the caller of the current call, or with the user id of a command's process."""
    call = CURRENT.get()
    if call is None:
        who: dict[str, object] = {"uid": os.getuid()}
    else:
        who = {"address": call.address, "user": call.user or None}
    log_event(LOG, action, logging.INFO, {**who, **fields})


class _AuditFile(WatchedFileHandler):
    """A file that is opened again after it was moved, so that it can be rotated."""

    def _open(self) -> TextIOWrapper:
        descriptor = private.opener(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.fchmod(descriptor, private.FILE)
        return TextIOWrapper(FileIO(descriptor, "a"), self.encoding, write_through=True)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # the name is logging's
        """Log that an action is missing from the file."""
        _COMPLAINTS.error("the audit log cannot be written", exc_info=True, extra={"fields": {}})
