"""Rate limits: an address may call an endpoint so often in a window of time, then not until it ends."""

import threading
import time
from collections import OrderedDict
from ipaddress import IPv6Address, ip_address

from msgspec import Struct

CALLS, WINDOW = 10, 60.0  # Rocket.Chat's defaults; seconds
MOST_WINDOWS = 50_000  # in memory: some ten MiB


class RateState(Struct, frozen=True):
    """What is left of a caller's limit after a call. `wait`: seconds until the window ends."""

    allowed: bool
    remaining: int
    wait: float


class _RateWindow(Struct):
    ends: float
    calls: int = 0


class RateLimiter:
    """A counter of calls. With too many callers it forgets the one with the oldest window."""

    def __init__(self, calls: int = CALLS, window: float = WINDOW, most: int = MOST_WINDOWS) -> None:
        self.calls = calls
        self._window = window
        self._most = most
        self._lock = threading.Lock()
        self._windows: OrderedDict[tuple[str, str], _RateWindow] = OrderedDict()

    def take(self, address: str, route: str) -> RateState:
        """Count a call. Thread-safe."""
        with self._lock:
            return self._taken(address, route)

    def look(self, address: str, route: str) -> RateState:
        """Return the state that a call would have, without counting it. Thread-safe."""
        with self._lock:
            moment = time.monotonic()
            self._forget(moment)
            window = self._windows.get((neighbourhood(address), route), _RateWindow(moment + self._window))
            remaining = max(0, self.calls - window.calls)
            return RateState(allowed=remaining > 0, remaining=remaining, wait=window.ends - moment)

    def give_back(self, address: str, route: str) -> None:
        """Uncount a call. Thread-safe."""
        with self._lock:
            window = self._windows.get((neighbourhood(address), route))
            if window is not None and window.calls:
                window.calls -= 1

    def _taken(self, address: str, route: str) -> RateState:
        moment = time.monotonic()
        self._forget(moment)
        key = (neighbourhood(address), route)
        if key not in self._windows:
            if len(self._windows) >= self._most:
                self._windows.popitem(last=False)
            self._windows[key] = _RateWindow(moment + self._window)
        window = self._windows[key]
        window.calls += 1
        return RateState(
            allowed=window.calls <= self.calls,
            remaining=max(0, self.calls - window.calls),
            wait=window.ends - moment,
        )

    def _forget(self, moment: float) -> None:
        """Drop windows that have ended. All have one length, so that the first to begin ends first."""
        while self._windows and next(iter(self._windows.values())).ends <= moment:
            self._windows.popitem(last=False)


def neighbourhood(address: str) -> str:
    """Return the key of a caller: an IPv4 address, or the IPv6 /64 network that one customer has."""
    try:
        parsed = ip_address(address)
    except ValueError:  # an invalid address from a proxy
        return address[:64]
    if isinstance(parsed, IPv6Address):
        return str(parsed.ipv4_mapped or int(parsed) >> 64)
    return str(parsed)
