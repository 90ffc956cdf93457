"""Limits on failed log-ins of an account, from one address and from all addresses."""

import threading
from collections import OrderedDict

from chatferry.api.auth.rate_limit import RateLimiter, neighbourhood

HERE, HERE_SECONDS = 8, 300.0
ANYWHERE, ANYWHERE_SECONDS = 50, 600.0
MOST_KNOWN = 10_000  # remembered addresses


class LoginAttempts:
    """A counter of log-in attempts. Each counts before its password is checked, so parallel ones count too.

    An attacker with many addresses reaches the second limit, and then the owner cannot log in from a new
    address. At addresses where the owner has logged in since the start only the first limit counts.
    """

    def __init__(self, here: int = HERE, anywhere: int = ANYWHERE, most_known: int = MOST_KNOWN) -> None:
        self._here = RateLimiter(here, HERE_SECONDS)
        self._anywhere = RateLimiter(anywhere, ANYWHERE_SECONDS)
        self._most_known = most_known
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def begin(self, account: str, address: str) -> float:
        """Count an attempt. Return 0 if it may be made, otherwise the seconds to wait."""
        here = self._here.take(address, account)
        if not here.allowed:
            return here.wait
        anywhere = self._anywhere.take("", account)
        return 0.0 if anywhere.allowed or self._is_known(account, address) else anywhere.wait

    def succeed(self, account: str, address: str) -> None:
        """Uncount the attempt, because its password was right."""
        self._here.give_back(address, account)
        self._anywhere.give_back("", account)
        with self._lock:
            self._known[(account, neighbourhood(address))] = None
            if len(self._known) > self._most_known:
                self._known.popitem(last=False)

    def _is_known(self, account: str, address: str) -> bool:
        with self._lock:
            return (account, neighbourhood(address)) in self._known
