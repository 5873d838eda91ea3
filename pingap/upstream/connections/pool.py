"""Idle upstream connections of a worker, kept for the next request."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pingap.upstream.connections.http1_connection import UpstreamConnection
    from pingap.upstream.connections.http2_connection import Http2UpstreamConnection
    from pingap.upstream.peer import Peer
    from pingap.upstream.upstream import UpstreamRuntime
    from pingap.wire.backlog import Backlog
    from pingap.wire.deadlines import Deadlines
    from pingap.wire.write_batch import WriteBatch


_LATELY: Final = 1.0
"""Seconds without use after which a connection is surplus."""


class KeepalivePool:
    """The idle connections of all peers: each peer has its own list, the most recently used last.

    The size limits how many are kept: ``trim`` closes connections beyond it that were not used for a second,
    the longest idle first. Closing them immediately would, under load, close connections that the next
    request needs.

    :param size: connections to keep in total (``basic.upstream_keepalive_pool_size``).
    :param deadlines: watches connections for their time limits.
    :param writes: writes for all connections of the worker.
    :param backlog: of all connections of the worker.
    """

    def __init__(
        self, size: int, deadlines: Deadlines, writes: WriteBatch, backlog: Backlog
    ) -> None:
        self.size = size
        self.deadlines = deadlines
        self.writes = writes
        self.backlog = backlog
        self.upstreams: Collection[UpstreamRuntime] = ()
        """The upstreams whose connections are limited."""

    def _every_peer(self) -> Iterator[Peer]:
        for upstream in self.upstreams:
            yield from upstream.peers

    def trim(self) -> None:
        """Close idle connections beyond the size that were not used recently. Must be called regularly."""
        every: list[UpstreamConnection | Http2UpstreamConnection] = []
        for peer in self._every_peer():
            every += peer.idle
            every += [one for one in peer.shared.connections if one.is_idle]
        excess = len(every) - self.size
        if excess <= 0:
            return
        unused_since = time.monotonic() - _LATELY
        every.sort(key=lambda one: one.read_at)
        for connection in every[:excess]:
            if connection.read_at < unused_since:
                connection.close()

    def close(self) -> None:
        """Close every idle connection."""
        for peer in self._every_peer():
            peer.close_idle()

    def __repr__(self) -> str:
        return f"<KeepalivePool {sum(len(peer.idle) for peer in self._every_peer())} idle of at most {self.size}>"
