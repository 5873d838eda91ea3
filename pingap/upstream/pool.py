"""Idle upstream connections of a worker, kept for the next request."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pingap.net.deadlines import Deadlines
    from pingap.net.write_batch import WriteBatch
    from pingap.upstream.connection import UpstreamConnection
    from pingap.upstream.upstream import Peer


_LATELY: Final = 1.0
"""Seconds without use after which a connection counts as superfluous."""


class KeepalivePool:
    """Idle connections by peer, the latest used first.

    The size bounds what is kept: of the connections beyond it, ``trim`` closes those that were not
    used for a second, the longest idle first. (Closing them at once would tear down, under load,
    what the next request needs.)

    :param size: connections to keep in all (``basic.upstream_keepalive_pool_size``).
    :param deadlines: watches connections for their time limits.
    :param writes: writes for all connections of the worker.
    """

    def __init__(self, size: int, deadlines: Deadlines, writes: WriteBatch) -> None:
        self.size = size
        self.deadlines = deadlines
        self.writes = writes
        self._idle: dict[Peer, list[UpstreamConnection]] = {}
        self._count = 0

    def take(self, peer: Peer) -> UpstreamConnection | None:
        """Return an idle connection to the peer, or None."""
        if not (idle := self._idle.get(peer)):
            return None
        self._count -= 1
        return idle.pop()

    def put(self, connection: UpstreamConnection) -> None:
        """Keep a connection that can serve another request."""
        self._count += 1
        idle = self._idle.get(connection.peer)
        if idle is None:
            self._idle[connection.peer] = [connection]
        else:
            idle.append(connection)

    def discard(self, connection: UpstreamConnection) -> None:
        """Forget a connection that ended; does nothing if it was not idle."""
        idle = self._idle.get(connection.peer, [])
        if connection in idle:
            idle.remove(connection)
            self._count -= 1

    def trim(self) -> None:
        """Close what is idle beyond the size and was not used lately. To be called regularly."""
        excess = self._count - self.size
        if excess <= 0:
            return
        unused_since = time.monotonic() - _LATELY
        every = [one for idle in self._idle.values() for one in idle]
        every.sort(key=lambda one: one.idle_since)
        for connection in every[:excess]:
            if connection.idle_since < unused_since:
                connection.close()

    def close(self) -> None:
        """Close every idle connection."""
        for idle in self._idle.values():
            for connection in idle:
                connection.close()
        self._idle.clear()
        self._count = 0

    def __repr__(self) -> str:
        return f"<KeepalivePool {self._count} idle of at most {self.size}>"
