"""Limits on connections: their number, in all and per address, and how long one may be idle.

At the limit a new connection replaces the one that has waited longest, so that idle connections keep nobody
out. A connection whose call is being answered is never closed for another one.
"""

import logging
from collections import Counter
from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from operator import attrgetter
from typing import Protocol

from msgspec import Struct

from chatferry.api.auth.rate_limit import neighbourhood
from chatferry.logs import event
from chatferry.observing.seldom import Seldom

LOG = logging.getLogger("chatferry.connections")


class ConnectionLimits(Struct, frozen=True):
    """Limits on connections.

    connections, per_address  the most connections in all, and of one address
    proxies                   addresses with many callers, for which `per_address` does not hold
    wait                      seconds for a TLS handshake, the head of a call, or the rest of an answered one
    stall                     seconds in which the client takes nothing of an answer
    """

    connections: int
    per_address: int
    proxies: tuple[str, ...] = ()
    wait: float = 15.0
    stall: float = 60.0


class Line(Protocol):
    """The transport of a connection."""

    def unsent(self) -> int:
        """Return how many bytes of an answer the client has not taken."""
        ...

    def end(self) -> None:
        """Close the connection; if that has begun already, at once."""
        ...

    def abort(self) -> None:
        """Close the connection at once."""
        ...


class Peer(Struct, eq=False):
    """A connection and its client.

    is_busy  whether a call is being answered
    since    when the connection began to wait for a call
    unsent   bytes of an answer that the client has not taken
    moved    when `unsent` changed
    """

    caller: str
    descriptor: int
    line: Line
    since: float
    is_busy: bool = False
    unsent: int = 0
    moved: float = 0.0

    def is_overdue(self, limits: ConnectionLimits, now: float) -> bool:
        """Return whether the client takes too long to send a call or to take an answer."""
        unsent = self.line.unsent()
        if unsent != self.unsent:
            self.unsent, self.moved = unsent, now
        if unsent:
            return now - self.moved > limits.stall
        return not self.is_busy and now - self.since > limits.wait


class Connections:
    """All connections. Use it in the event loop only."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._proxies = tuple(map(ip_network, limits.proxies))
        self._peers: dict[int, Peer] = {}  # by descriptor
        self._callers: dict[str, dict[Peer, None]] = {}
        self._waiting: dict[Peer, None] = {}  # the longest waiting first
        self._refused = Counter[str]()
        self._seldom = Seldom()

    def __len__(self) -> int:
        return len(self._peers)

    def admit(self, address: str, descriptor: int, line: Line, now: float) -> bool:
        """Admit a connection if there is room, or if a waiting connection can be closed."""
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
        """Close the longest waiting of these connections, if one waits."""
        waiting, since = (peer for peer in peers if not peer.is_busy), attrgetter("since")
        longest = next(waiting, None) if peers is self._waiting else min(waiting, key=since, default=None)
        if longest is None:
            return False
        self._forget(longest)
        longest.line.abort()
        return True

    def at(self, descriptor: int) -> Peer | None:
        """Return the peer of a connection, None if it was closed to make room."""
        return self._peers.get(descriptor)

    def busy(self, peer: Peer) -> None:
        """Record that a call of this peer has begun."""
        peer.is_busy = True
        self._waiting.pop(peer, None)

    def waits(self, peer: Peer, now: float) -> None:
        """Record that a call of this peer is answered."""
        if self._peers.get(peer.descriptor) is peer:
            peer.is_busy, peer.since = False, now
            self._waiting.pop(peer, None)
            self._waiting[peer] = None

    def closed(self, descriptor: int) -> None:
        """Record that a connection is closed."""
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
        """Record that a connection was refused."""
        self._refused[why] += 1

    def sweep(self, now: float) -> None:
        """Close overdue connections, and log refusals, each kind once a minute."""
        for peer in list(self._peers.values()):
            if peer.is_overdue(self._limits, now):
                peer.line.end()
        for why in [why for why in self._refused if self._seldom.may(why, now)]:
            refused = self._refused.pop(why)
            event(LOG, "connections refused", logging.WARNING, why=why, refused=refused)
