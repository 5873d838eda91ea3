"""Upstreams of a runtime graph, without a proxy around them."""

from __future__ import annotations

from pingap.config.health_check import parse_health_check
from pingap.upstream.connections.pool import KeepalivePool
from pingap.upstream.peer import Peer
from pingap.upstream.timeouts import Timeouts
from pingap.upstream.upstream import UpstreamRuntime
from pingap.wire.backlog import Backlog
from pingap.wire.deadlines import Deadlines
from pingap.wire.tcp import TcpOptions
from pingap.wire.write_batch import WriteBatch


def upstream_of(*addrs: str, name: str = "app", health_check: str = "none") -> UpstreamRuntime:
    """Return an upstream whose peers have these addresses, ``host:port``."""
    peers = []
    for addr in addrs:
        host, _, port = addr.rpartition(":")
        peers.append(Peer(host, (host, int(port)), addr))
    pool = KeepalivePool(8, Deadlines(), WriteBatch(), Backlog(WriteBatch()))
    upstream = UpstreamRuntime(name, peers, pool, Timeouts(), TcpOptions())
    upstream.health_check = parse_health_check(health_check)
    return upstream


def available(upstream: UpstreamRuntime) -> list[bool]:
    """Return of each peer whether it gets requests."""
    return [peer.is_available for peer in upstream.peers]
