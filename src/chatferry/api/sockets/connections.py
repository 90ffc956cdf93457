"""Connections: how many there may be, in all and from one address, and for how long nothing may move on one.

Where there are as many as may be, a new one takes the place of the one that has waited longest: silent
connections keep nobody out. One on which a call is being answered is never closed for another.
"""

import logging
from collections import Counter
from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import Protocol

from msgspec import Struct

from chatferry.api.auth.rate_limit import neighbourhood
from chatferry.logs import event
from chatferry.observing.seldom import Seldom

LOG = logging.getLogger("chatferry.connections")


class Limits(Struct, frozen=True):
    """The most connections in all and from one address; the addresses of `proxies` have many callers.

    In seconds: `wait`, for a TLS handshake, the head of a call, or the rest of one that is answered, and
    `stall`, in which the other end takes nothing of an answer.
    """

    connections: int
    per_address: int
    proxies: tuple[str, ...] = ()
    wait: float = 15.0
    stall: float = 60.0


class Line(Protocol):
    """What a connection lies on."""

    def unsent(self) -> int:
        """Return how many bytes of an answer wait to be taken."""
        ...

    def end(self) -> None:
        """Close it; if it is being closed already, at once."""
        ...

    def abort(self) -> None:
        """Close it at once."""
        ...


class Peer(Struct, eq=False):
    """A connection and who is at its other end.

    `since`: since when it waits for a call, if none is being answered (`is_busy`). `unsent`: how much of an
    answer waits to be taken, and `moved`, when that was another number.
    """

    caller: str
    descriptor: int
    line: Line
    since: float
    is_busy: bool = False
    unsent: int = 0
    moved: float = 0.0

    def is_overdue(self, limits: Limits, now: float) -> bool:
        """Return whether it has taken too long over a call or over an answer."""
        unsent = self.line.unsent()
        if unsent != self.unsent:
            self.unsent, self.moved = unsent, now
        if unsent:
            return now - self.moved > limits.stall
        return not self.is_busy and now - self.since > limits.wait


class Connections:
    """All connections. For the event loop alone."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._proxies = tuple(map(ip_network, limits.proxies))
        self._peers: dict[int, Peer] = {}  # by descriptor
        self._callers: dict[str, dict[Peer, None]] = {}
        self._waiting: dict[Peer, None] = {}  # who waits longest comes first
        self._refused = Counter[str]()
        self._seldom = Seldom()

    def __len__(self) -> int:
        return len(self._peers)

    def admit(self, address: str, descriptor: int, line: Line, now: float) -> bool:
        """Take a connection in, if there is room or somebody who waits can make some."""
        caller = "" if self._is_proxy(address) else neighbourhood(address)
        own = self._callers.get(caller, {}) if caller else {}
        if len(own) >= self._limits.per_address and not self._made_room(own):
            self.refused("one address may not have more")
            return False
        if len(self._peers) >= self._limits.connections and not self._made_room(self._waiting):
            self.refused("there may not be more in all")
            return False
        peer = Peer(caller, descriptor, line, now)
        self._peers[descriptor] = peer
        self._callers.setdefault(caller, {})[peer] = None
        self._waiting[peer] = None
        return True

    def _is_proxy(self, address: str) -> bool:
        return bool(self._proxies) and any(ip_address(address) in network for network in self._proxies)

    def _made_room(self, peers: Iterable[Peer]) -> bool:
        """Close the connection that has waited longest, if one of these waits."""
        waiting = (peer for peer in peers if not peer.is_busy)
        longest = next(waiting, None) if peers is self._waiting else min(waiting, key=_since, default=None)
        if longest is None:
            return False
        self._forget(longest)
        longest.line.abort()
        return True

    def at(self, descriptor: int) -> Peer | None:
        """Return the peer of a connection, None if it had to make room meanwhile."""
        return self._peers.get(descriptor)

    def busy(self, peer: Peer) -> None:
        """Note that a call of this peer has begun."""
        peer.is_busy = True
        self._waiting.pop(peer, None)

    def waits(self, peer: Peer, now: float) -> None:
        """Note that a call of this peer is answered."""
        if self._peers.get(peer.descriptor) is peer:
            peer.is_busy, peer.since = False, now
            self._waiting.pop(peer, None)
            self._waiting[peer] = None

    def closed(self, descriptor: int) -> None:
        """Note that a connection is closed."""
        if peer := self._peers.get(descriptor):
            self._forget(peer)

    def _forget(self, peer: Peer) -> None:
        self._peers.pop(peer.descriptor, None)
        self._waiting.pop(peer, None)
        others = self._callers.get(peer.caller, {})
        others.pop(peer, None)
        if not others:
            self._callers.pop(peer.caller, None)

    def refused(self, why: str) -> None:
        """Note that a connection was refused."""
        self._refused[why] += 1

    def sweep(self, now: float) -> None:
        """End what is overdue, and tell of refusals, of each kind once a minute."""
        for peer in list(self._peers.values()):
            if peer.is_overdue(self._limits, now):
                peer.line.end()
        for why in [why for why in self._refused if self._seldom.may(why, now)]:
            refused = self._refused.pop(why)
            event(LOG, "connections refused", logging.WARNING, why=why, refused=refused)


def _since(peer: Peer) -> float:
    return peer.since
