"""Readiness: a probe, bounded in time, of each thing that the server needs."""

import logging
import threading
import time
from collections.abc import Callable, Mapping

from msgspec import Struct

from chatferry.errors import DestinationError
from chatferry.logs import event
from chatferry.observing.seldom import Seldom

LOG = logging.getLogger("chatferry.ready")
PATIENCE = 3.0  # seconds for a probe
KEPT = 2.0  # seconds for which a result is used again: anybody may ask as often as they like
_SLOW = "does not answer in time"

Probe = Callable[[], str]
"""Looks at one thing. Returns what is wrong with it, in words that strangers may read; "" if it is well."""


class Finding(Struct, frozen=True, omit_defaults=True):
    """The result of a probe; `why` it is not ok."""

    ok: bool
    why: str = ""


class Readiness:
    """The probes and their latest results.

    Each probe runs in a thread of its own: a hanging one blocks neither calls nor the end of the process.
    """

    def __init__(self, probes: Mapping[str, Probe]) -> None:
        self._probes = {name: _Probing(name, probe) for name, probe in probes.items()}
        self._looking = threading.Lock()
        self._findings: dict[str, Finding] = {
            name: Finding(False, "was not looked at yet") for name in probes
        }
        self._until = 0.0

    def look(self) -> dict[str, Finding]:
        """Return the results, at most some seconds old. One caller runs the probes; others do not wait."""
        if time.monotonic() < self._until or not self._looking.acquire(blocking=False):
            return self._findings
        try:
            findings = self._look()
            for name, finding in findings.items():
                _log_change(name, self._findings[name], finding)
            self._findings = findings
            self._until = time.monotonic() + KEPT
        finally:
            self._looking.release()
        return findings

    def _look(self) -> dict[str, Finding]:
        for probing in self._probes.values():
            probing.begin()
        deadline = time.monotonic() + PATIENCE
        return {name: probing.finding(deadline) for name, probing in self._probes.items()}


class _Probing:
    """A probe that runs again only after its last run has ended."""

    def __init__(self, name: str, probe: Probe) -> None:
        self._name = name
        self._probe = probe
        self._thread: threading.Thread | None = None
        self._why = ""
        self._seldom = Seldom()

    def begin(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name=f"probe-{self._name}", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        try:
            self._why = self._probe()
        except Exception as error:  # its text may name hosts and paths: it is for the log only
            self._why = "is away" if isinstance(error, DestinationError) else "cannot be used"
            if self._seldom.may(str(error), time.monotonic()):
                event(LOG, "a probe failed", logging.WARNING, what=self._name, reason=error)

    def finding(self, deadline: float) -> Finding:
        """Return the result of the run if it ends in time."""
        if self._thread is not None:
            self._thread.join(max(0.0, deadline - time.monotonic()))
            if self._thread.is_alive():
                return Finding(False, _SLOW)
        return Finding(not self._why, self._why)


def _log_change(name: str, before: Finding, after: Finding) -> None:
    if after.ok and not before.ok:
        event(LOG, "ready", what=name)
    elif not after.ok and after != before:
        event(LOG, "not ready", logging.WARNING, what=name, why=after.why)
