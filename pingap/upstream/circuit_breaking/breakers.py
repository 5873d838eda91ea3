"""The circuit breakers of an upstream: one in front of each peer (config.md 6.4).

All workers count together, in shared state (``breaker.py``). Opening and closing is announced over the bus,
so that they check at once; a worker that misses it finds out with the next failure or probe.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Final

from pingap.shared_state.local import LocalState
from pingap.upstream.circuit_breaking.breaker import BreakerSettings, CircuitBreaker, Record, State
from pingap.upstream.health.keys import BREAKER, peer_key

if TYPE_CHECKING:
    from pingap.http.context import RequestContext
    from pingap.http.errors import UpstreamError
    from pingap.http.ports import RelayedBody
    from pingap.http.request import Request
    from pingap.shared_state.bus import Bus
    from pingap.shared_state.state import SharedState
    from pingap.upstream.peer import Peer
    from pingap.upstream.upstream import UpstreamRuntime
    from pingap.wire.deadlines import Deadlines

log = logging.getLogger("pingap")

PROBE_BODY_SECONDS: Final = 1.0
"""How long a probe keeps its slot while its client still sends the request: others may be faster."""
OBSTACLE: Final = "breaker"
"""The obstacle of a peer whose breaker refuses requests."""


class PeerBreaker:
    """The breaker of one peer, and the obstacle it sets.

    :param where: upstream and peer, for the log.
    :param deadlines: calls it when it was open for long enough, and while all probes are in progress:
        their slots may be returned in another worker, or by its death.
    """

    __slots__ = ("_deadlines", "_peer", "_where", "breaker", "deadline", "opened", "requests")

    def __init__(
        self, peer: Peer, where: str, breaker: CircuitBreaker, deadlines: Deadlines
    ) -> None:
        self._peer = peer
        self._where = where
        self._deadlines = deadlines
        self.breaker = breaker
        self.deadline = math.inf
        self.opened = 0
        """How often this worker opened it."""
        self.requests: dict[RequestContext, RelayedBody] = {}
        """Bodies of the probes in progress."""

    def on_deadline(self) -> None:
        """Called by the sweep when there may be slots for probes."""
        slow = time.monotonic() - PROBE_BODY_SECONDS
        for ctx, body in list(self.requests.items()):
            if not body.ended and ctx.upstream_connected_at < slow:
                self.release(ctx)  # its result no longer matters
        if self.breaker.wake(time.monotonic()):
            log.info("circuit breaker of %s is half-open", self._where)
        else:
            self.breaker.look()
        self.stand()

    def release(self, ctx: RequestContext) -> bool:
        """Record that an attempt is over, or no longer counts; True if it was a probe."""
        self.requests.pop(ctx, None)
        return self.breaker.release(ctx)

    def stand(self) -> None:
        """Set or remove the obstacle."""
        if not self.breaker.refuses:
            self.forget()
            self._peer.unblock(OBSTACLE)
            return
        is_open = self.breaker.state is State.OPEN
        self.deadline = self.breaker.known.open_until if is_open else 0.0
        self._deadlines.watch(self)
        self._peer.block(OBSTACLE)

    def forget(self) -> None:
        """Cancel all waiting."""
        self.deadline = math.inf
        self._deadlines.forget(self)

    def tell(self, now: float) -> None:
        """Log that this worker opened or closed it."""
        if self.breaker.state is not State.OPEN:
            log.warning("circuit breaker of %s closes", self._where)
            return
        self.opened += 1
        seconds, reason = self.breaker.known.open_until - now, self.breaker.reason
        log.warning("circuit breaker of %s opens for %.1f s: %s", self._where, seconds, reason)


class Breakers:
    """The breakers of an upstream; an ``Observer`` of its attempts.

    :param upstream: the upstream of the peers.
    :param failures: statuses of responses that count as failures.
    :param deadlines: wakes them.
    :param bus: announces changes to other workers.
    """

    def __init__(
        self,
        upstream: UpstreamRuntime,
        settings: BreakerSettings,
        failures: frozenset[int],
        deadlines: Deadlines,
        bus: Bus,
    ) -> None:
        self._upstream = upstream
        self._settings = settings
        self._failures = failures
        self._deadlines = deadlines
        self._bus = bus
        self._shared: SharedState = LocalState()
        self._prefix = peer_key(BREAKER, upstream.name, "")
        self._unsubscribe: Callable[[], None] | None = None

    def count_with(self, shared: SharedState) -> None:
        """Count with other workers from now on; called before there are requests."""
        self._shared = shared

    def follow(self) -> None:
        """Follow the changes of other workers from now on, starting with existing ones."""
        if self._unsubscribe is None:
            self._unsubscribe = self._bus.subscribe(self._prefix, self._told)

    def apply_known(self) -> None:
        """Apply the known state after the peers have changed."""
        if self._unsubscribe is None:
            return  # ``follow`` will
        for peer in self._upstream.peers:
            if peer.breaker is None and self._prefix + peer.text in self._bus.values:
                self._install(peer)

    # What the lifecycle calls.

    def choose(self, request: Request, ctx: RequestContext, tried: Collection[Peer] = ()) -> Peer:
        """Return the peer for a request (:meth:`Selection.choose`), whose attempt begins now.

        If other workers have taken the last slot for a probe, another peer is chosen.
        """
        while True:
            peer = self._upstream.selection.choose(request, ctx, tried)
            one = peer.breaker
            if one is None:
                self._install(peer)  # which may set the obstacle
                continue
            breaker = one.breaker
            if breaker.state is State.CLOSED:
                breaker.admit(ctx)
                return peer
            if breaker.refuses:
                return peer  # in panic, all peers are used, and results are ignored
            admitted = breaker.admit(ctx)
            one.stand()
            if admitted:
                return peer

    def release(self, peer: Peer, ctx: RequestContext) -> None:
        """Record that an attempt is over, with any result."""
        one = peer.breaker
        if one is not None and one.release(ctx):
            one.stand()

    def watch_body(self, peer: Peer, ctx: RequestContext, body: RelayedBody) -> None:
        """Record that a request body is sent as it arrives from the client."""
        one = peer.breaker
        if one is not None and one.breaker.state is State.HALF_OPEN:
            one.requests[ctx] = body

    def attempted(
        self, peer: Peer, ctx: RequestContext, error: UpstreamError | None, status: int
    ) -> None:
        """Record the result of an attempt (``Observer``)."""
        one = peer.breaker
        if one is None or (error is not None and says_nothing(error, ctx)):
            return
        breaker, now = one.breaker, time.monotonic()
        before = breaker.known
        if error is not None or status in self._failures:
            decided = breaker.failed(ctx, now)
        else:
            decided = breaker.succeeded(ctx, now)
        if breaker.known is not before:
            one.stand()
        if decided:
            one.tell(now)
            self._publish(peer, breaker.known, now)

    def abandoned(self, peer: Peer) -> None:
        """Do nothing: ``release`` handles it (``Observer``)."""

    # What all workers know.

    def _install(self, peer: Peer) -> PeerBreaker:
        """Create the breaker of a peer, in the state that other workers know or knew."""
        key = self._prefix + peer.text
        until = 0.0
        left = float(self._bus.values.get(key, "").partition("open:")[2] or 0) - time.time()
        if left > 0:
            until = time.monotonic() + left
        breaker = CircuitBreaker(self._settings, self._shared, key, until)
        where = f"{self._upstream.name}({peer.text})"
        one = peer.breaker = PeerBreaker(peer, where, breaker, self._deadlines)
        if breaker.state is not State.CLOSED:
            one.on_deadline()
        return one

    def _publish(self, peer: Peer, known: Record, now: float) -> None:
        value = "closed"
        if known.state is State.OPEN:
            value = f"open:{time.time() + known.open_until - now:.3f}"
        self._bus.publish(self._prefix + peer.text, value)

    def _told(self, key: str, value: str) -> None:
        """Check a change announced by any worker, perhaps this one."""
        text = key.removeprefix(self._prefix)
        for peer in self._upstream.peers:
            if peer.text == text:
                if peer.breaker is None:
                    self._install(peer)
                else:
                    peer.breaker.on_deadline()

    def close(self) -> None:
        """Stop listening to other workers: the upstream is no longer used."""
        if self._unsubscribe is not None:
            self._unsubscribe()


def says_nothing(error: UpstreamError, ctx: RequestContext) -> bool:
    """Return whether an error does not indicate a failing peer.

    A kept connection was closed while idle, the upstream returned the request unprocessed (HTTP/2), or
    something other than the peer caused it.
    """
    return error.unprocessed or error.blameless or (error.untouched and ctx.upstream_reused)
