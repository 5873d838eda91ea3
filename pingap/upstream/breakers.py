"""The circuit breakers of an upstream: one in front of each peer (config.md 6.4).

Each worker counts for itself; that a breaker opens or closes is told to all of them.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pingap.health.keys import BREAKER, peer_key
from pingap.upstream.breaker import BreakerSettings, CircuitBreaker, State

if TYPE_CHECKING:
    from pingap.bus import Bus
    from pingap.context import RequestContext
    from pingap.errors import UpstreamError
    from pingap.net.deadlines import Deadlines
    from pingap.upstream.peer import Peer
    from pingap.upstream.upstream import UpstreamRuntime

log = logging.getLogger("pingap")

OBSTACLE: Final = "breaker"
"""What stands in the way of requests to a peer whose breaker refuses them."""
_ELSEWHERE: Final = "another worker found it failing"


class PeerBreaker:
    """The breaker in front of one peer; the sweep of deadlines wakes it when it was open for long enough.

    :param changed: is called when its state is another one.
    """

    __slots__ = ("_changed", "breaker", "deadline", "opened", "peer")

    def __init__(
        self, peer: Peer, settings: BreakerSettings, changed: Callable[[PeerBreaker], None]
    ) -> None:
        self.peer = peer
        self.breaker = CircuitBreaker(settings)
        self.deadline = math.inf
        self.opened = 0
        """How often this worker decided that it opens."""
        self._changed = changed

    def on_deadline(self) -> None:
        """Called by the sweep when it is time to let a few requests through."""
        self.breaker.wake(time.monotonic())
        self._changed(self)

    def stand(self) -> None:
        """Stand in the way of requests, or step aside."""
        if self.breaker.refuses:
            self.peer.block(OBSTACLE)
        else:
            self.peer.unblock(OBSTACLE)


class Breakers:
    """The breakers of an upstream; an ``Observer`` of its attempts.

    :param upstream: in front of whose peers they stand.
    :param failures: statuses of responses that count as failures.
    :param deadlines: wake them.
    :param bus: tells other workers.
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
        self._prefix = peer_key(BREAKER, upstream.name, "")
        self._unsubscribe: Callable[[], None] | None = None

    def follow(self) -> None:
        """Do from now on what other workers do, and what they have done already."""
        if self._unsubscribe is None:
            self._unsubscribe = self._bus.subscribe(self._prefix, self._told)

    def apply_known(self) -> None:
        """Apply what is known of the peers, which are others than before."""
        for peer in self._upstream.peers:
            if peer.breaker is None and self._prefix + peer.text in self._bus.values:
                self._install(peer)

    # What the lifecycle calls.

    def admit(self, peer: Peer, ctx: RequestContext) -> None:
        """Take note that an attempt begins."""
        one = peer.breaker or self._install(peer)
        if one.breaker.state is not State.CLOSED:
            one.breaker.admit(ctx)
            one.stand()

    def release(self, peer: Peer, ctx: RequestContext) -> None:
        """Take note that an attempt is over, however it ended."""
        one = peer.breaker
        if one is not None and one.breaker.state is not State.CLOSED:
            one.breaker.release(ctx)
            one.stand()

    def attempted(
        self, peer: Peer, ctx: RequestContext, error: UpstreamError | None, status: int
    ) -> None:
        """Take note of what an attempt tells of its peer (``Observer``)."""
        one = peer.breaker
        if one is None or (error is not None and says_nothing(error, ctx)):
            return
        breaker, now = one.breaker, time.monotonic()
        before = breaker.state
        if error is not None or status in self._failures:
            breaker.failed(ctx, now)
        else:
            breaker.succeeded(ctx, now)
        if breaker.state is not before:
            one.opened += breaker.state is State.OPEN
            self._changed(one)
            self._publish(one)

    def abandoned(self, peer: Peer) -> None:
        """Leave it to ``release`` (``Observer``)."""

    # Changes of state.

    def _install(self, peer: Peer) -> PeerBreaker:
        one = peer.breaker = PeerBreaker(peer, self._settings, self._changed)
        if (known := self._bus.values.get(self._prefix + peer.text)) is not None:
            self._follow(one, known)
        return one

    def _changed(self, one: PeerBreaker) -> None:
        """Act on another state of a breaker: block or unblock its peer, and say so."""
        breaker, where = one.breaker, f"{self._upstream.name}({one.peer.text})"
        one.stand()
        if breaker.state is State.OPEN:
            one.deadline = breaker.open_until
            self._deadlines.watch(one)
            seconds = max(0.0, breaker.open_until - time.monotonic())
            log.warning(
                "circuit breaker of %s opens for %.1f s: %s", where, seconds, breaker.reason
            )
            return
        one.deadline = math.inf
        self._deadlines.forget(one)
        if breaker.state is State.HALF_OPEN:
            log.info("circuit breaker of %s is half-open", where)
        else:
            log.warning("circuit breaker of %s closes", where)

    def _publish(self, one: PeerBreaker) -> None:
        value = "closed"
        if one.breaker.state is State.OPEN:
            left = one.breaker.open_until - time.monotonic()
            value = f"open:{time.time() + left:.3f}"
        self._bus.publish(self._prefix + one.peer.text, value)

    def _told(self, key: str, value: str) -> None:
        """Take note of what a worker, perhaps this one, has published."""
        text = key.removeprefix(self._prefix)
        for peer in self._upstream.peers:
            if peer.text == text:
                if peer.breaker is None:
                    self._install(peer)
                else:
                    self._follow(peer.breaker, value)

    def _follow(self, one: PeerBreaker, value: str) -> None:
        """Do what another worker did; nothing if it has been done."""
        word, _, until = value.partition(":")
        breaker, left = one.breaker, float(until or 0) - time.time()
        if word == "open" and left > 0 and breaker.state is not State.OPEN:
            breaker.open(time.monotonic() + left, _ELSEWHERE)
        elif word == "closed" and breaker.state is not State.CLOSED:
            breaker.close()
        else:
            return
        self._changed(one)

    def close(self) -> None:
        """Stop listening to other workers: the upstream is no more."""
        if self._unsubscribe is not None:
            self._unsubscribe()
        for peer in self._upstream.peers:
            if peer.breaker is not None:
                self._deadlines.forget(peer.breaker)


def says_nothing(error: UpstreamError, ctx: RequestContext) -> bool:
    """Tell whether an error is no sign of a failing peer.

    A kept connection had ended while nobody used it, or the upstream gave the request back (HTTP/2).
    """
    return error.unprocessed or (error.untouched and ctx.upstream_reused)
