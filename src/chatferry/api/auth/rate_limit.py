"""How often an address may call an endpoint: so many calls in a window, then none until the window ends."""

import threading
import time
from collections import OrderedDict
from ipaddress import IPv6Address, ip_address

from msgspec import Struct

CALLS, WINDOW = 10, 60.0  # Rocket.Chat's defaults; seconds
MOST_WINDOWS = 50_000  # what is remembered at once: some ten MiB


class Standing(Struct, frozen=True):
    """Where a caller stands after a call; `wait` is in seconds, until the window ends."""

    allowed: bool
    remaining: int
    wait: float


class _Window(Struct):
    ends: float
    calls: int = 0


class RateLimiter:
    """Counts calls. Of very many callers the one whose window began first is forgotten first."""

    def __init__(self, calls: int = CALLS, window: float = WINDOW, most: int = MOST_WINDOWS) -> None:
        self.calls = calls
        self._window = window
        self._most = most
        self._lock = threading.Lock()
        self._windows: OrderedDict[tuple[str, str], _Window] = OrderedDict()

    def take(self, address: str, route: str) -> Standing:
        """Count a call. Any thread may."""
        with self._lock:
            return self._taken(address, route)

    def look(self, address: str, route: str) -> Standing:
        """Return where a further call would stand, without counting it. Any thread may."""
        with self._lock:
            moment = time.monotonic()
            self._forget(moment)
            window = self._windows.get((neighbourhood(address), route), _Window(moment + self._window))
            remaining = max(0, self.calls - window.calls)
            return Standing(allowed=remaining > 0, remaining=remaining, wait=window.ends - moment)

    def give_back(self, address: str, route: str) -> None:
        """Count one call less. Any thread may."""
        with self._lock:
            window = self._windows.get((neighbourhood(address), route))
            if window is not None and window.calls:
                window.calls -= 1

    def _taken(self, address: str, route: str) -> Standing:
        moment = time.monotonic()
        self._forget(moment)
        key = (neighbourhood(address), route)
        if key not in self._windows:
            if len(self._windows) >= self._most:
                self._windows.popitem(last=False)
            self._windows[key] = _Window(moment + self._window)
        window = self._windows[key]
        window.calls += 1
        return Standing(
            allowed=window.calls <= self.calls,
            remaining=max(0, self.calls - window.calls),
            wait=window.ends - moment,
        )

    def _forget(self, moment: float) -> None:
        """All windows are of one length: the first to begin is the first to end."""
        while self._windows and next(iter(self._windows.values())).ends <= moment:
            self._windows.popitem(last=False)


def neighbourhood(address: str) -> str:
    """What counts as one caller: an IPv4 address, or an IPv6 network of 64 bits, which one customer has."""
    try:
        parsed = ip_address(address)
    except ValueError:  # what a proxy made up
        return address[:64]
    if isinstance(parsed, IPv6Address):
        return str(parsed.ipv4_mapped or int(parsed) >> 64)
    return str(parsed)
