"""The circuit breakers of an upstream: one in front of each peer (config.md 6.4).

All workers count together, in shared state (``breaker.py``). That a breaker opens or closes is told over
the bus, so that they look at once; whoever is not told finds out with the next failure or probe.
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
    from pingap.http.messages import Request
    from pingap.http.ports import RelayedBody
    from pingap.shared_state.bus import Bus
    from pingap.shared_state.state import SharedState
    from pingap.upstream.peer import Peer
    from pingap.upstream.upstream import UpstreamRuntime
    from pingap.wire.deadlines import Deadlines

log = logging.getLogger("pingap")

PROBE_BODY_SECONDS: Final = 1.0
"""How long a probe keeps its place while its client still sends the request: others may be faster."""
OBSTACLE: Final = "breaker"
"""What stands in the way of requests to a peer whose breaker refuses them."""


class PeerBreaker:
    """The breaker in front of one peer, and whether it stands in the way.

    :param where: upstream and peer, for the log.
    :param deadlines: call it when it was open for long enough, and as long as all probes are under
        way: their places may be given back in another worker, or by its death.
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
        """How often this worker decided that it opens."""
        self.requests: dict[RequestContext, RelayedBody] = {}
        """Bodies of the probes that are under way."""

    def on_deadline(self) -> None:
        """Called by the sweep when there may be places for probes."""
        slow = time.monotonic() - PROBE_BODY_SECONDS
        for ctx, body in list(self.requests.items()):
            if not body.ended and ctx.upstream_connected_at < slow:
                self.release(ctx)  # what becomes of it tells nothing any more
        if self.breaker.wake(time.monotonic()):
            log.info("circuit breaker of %s is half-open", self._where)
        else:
            self.breaker.look()
        self.stand()

    def release(self, ctx: RequestContext) -> bool:
        """Take note that an attempt is over, or does not count any more; True if it was a probe."""
        self.requests.pop(ctx, None)
        return self.breaker.release(ctx)

    def stand(self) -> None:
        """Stand in the way of requests, or step aside."""
        if not self.breaker.refuses:
            self.forget()
            self._peer.unblock(OBSTACLE)
            return
        is_open = self.breaker.state is State.OPEN
        self.deadline = self.breaker.known.open_until if is_open else 0.0
        self._deadlines.watch(self)
        self._peer.block(OBSTACLE)

    def forget(self) -> None:
        """Wait for nothing any more."""
        self.deadline = math.inf
        self._deadlines.forget(self)

    def tell(self, now: float) -> None:
        """Say that this worker opened or closed it."""
        if self.breaker.state is not State.OPEN:
            log.warning("circuit breaker of %s closes", self._where)
            return
        self.opened += 1
        seconds, reason = self.breaker.known.open_until - now, self.breaker.reason
        log.warning("circuit breaker of %s opens for %.1f s: %s", self._where, seconds, reason)


class Breakers:
    """The breakers of an upstream; an ``Observer`` of its attempts.

    :param upstream: in front of whose peers they stand.
    :param failures: statuses of responses that count as failures.
    :param deadlines: wake them.
    :param bus: tells workers to look at what another one did.
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
        """Do from now on what other workers do, and what they have done already."""
        if self._unsubscribe is None:
            self._unsubscribe = self._bus.subscribe(self._prefix, self._told)

    def apply_known(self) -> None:
        """Apply what is known of the peers, which are others than before."""
        if self._unsubscribe is None:
            return  # ``follow`` will
        for peer in self._upstream.peers:
            if peer.breaker is None and self._prefix + peer.text in self._bus.values:
                self._install(peer)

    # What the lifecycle calls.

    def choose(self, request: Request, ctx: RequestContext, tried: Collection[Peer] = ()) -> Peer:
        """Return the peer for a request (:meth:`Selection.choose`), whose attempt begins now.

        Where other workers have given away the last place for a probe, another peer is chosen.
        """
        while True:
            peer = self._upstream.selection.choose(request, ctx, tried)
            one = peer.breaker
            if one is None:
                self._install(peer)  # and it may stand in the way
                continue
            breaker = one.breaker
            if breaker.state is State.CLOSED:
                breaker.admit(ctx)
                return peer
            if breaker.refuses:
                return peer  # all peers are used in panic: what becomes of it tells nothing
            admitted = breaker.admit(ctx)
            one.stand()
            if admitted:
                return peer

    def release(self, peer: Peer, ctx: RequestContext) -> None:
        """Take note that an attempt is over, however it ended."""
        one = peer.breaker
        if one is not None and one.release(ctx):
            one.stand()

    def watch_body(self, peer: Peer, ctx: RequestContext, body: RelayedBody) -> None:
        """Take note that a request is sent as its client sends it."""
        one = peer.breaker
        if one is not None and one.breaker.state is State.HALF_OPEN:
            one.requests[ctx] = body

    def attempted(
        self, peer: Peer, ctx: RequestContext, error: UpstreamError | None, status: int
    ) -> None:
        """Take note of what an attempt tells of its peer (``Observer``)."""
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
        """Leave it to ``release`` (``Observer``)."""

    # What all workers know.

    def _install(self, peer: Peer) -> PeerBreaker:
        """Put a breaker in front of a peer: it is as other workers know it, or knew it."""
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
        """Look at what a worker, perhaps this one, has done."""
        text = key.removeprefix(self._prefix)
        for peer in self._upstream.peers:
            if peer.text == text:
                if peer.breaker is None:
                    self._install(peer)
                else:
                    peer.breaker.on_deadline()

    def close(self) -> None:
        """Stop listening to other workers: the upstream is no more."""
        if self._unsubscribe is not None:
            self._unsubscribe()


def says_nothing(error: UpstreamError, ctx: RequestContext) -> bool:
    """Return whether an error is no sign of a failing peer.

    A kept connection had ended while nobody used it, the upstream gave the request back (HTTP/2), or
    something else than the peer caused it.
    """
    return error.unprocessed or error.blameless or (error.untouched and ctx.upstream_reused)
