"""Repeatedly checks the backends of one upstream."""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final, Protocol

import anyio
import anyio.to_thread

from pingap.config.health_check import SHORTEST, HealthCheck
from pingap.upstream.health.checks import Check, CheckFailed, CheckImpossible, make_check
from pingap.upstream.health.standing import Standing

if TYPE_CHECKING:
    from pingap.upstream.peer import Peer
    from pingap.upstream.upstream import UpstreamRuntime

log = logging.getLogger("pingap")

OBSTACLE: Final = "health"
"""The obstacle of an unhealthy peer (``Peer.block``)."""
JITTER: Final = 0.1
"""Fraction of the interval by which a check may come earlier, so that upstreams are not all checked at the
same time."""


class Ledger(Protocol):
    """The state of the peers of an upstream that all workers share, by their texts."""

    def is_down(self, upstream: UpstreamRuntime, text: str) -> bool:
        """Return whether a peer is known to be unhealthy."""

    def flipped(self, upstream: UpstreamRuntime, text: str, healthy: bool, why: str) -> None:
        """Record that a peer became healthy or unhealthy."""

    def repeat_down(self, upstream: UpstreamRuntime, text: str) -> None:
        """Announce again that a peer is unhealthy, because a new one has taken its place."""

    def forget(self, upstream: UpstreamRuntime, text: str) -> None:
        """Record that a peer no longer exists."""


class Watch:
    """The checks of one upstream, as long as it exists.

    :param settings: how it is checked.
    :param limiter: limits concurrent checks, over all upstreams.
    """

    def __init__(
        self,
        upstream: UpstreamRuntime,
        settings: HealthCheck,
        ledger: Ledger,
        limiter: anyio.CapacityLimiter,
    ) -> None:
        self.upstream = upstream
        self.scope = anyio.CancelScope()
        self.standings: dict[str, Standing] = {}
        """Text of a peer -> its standing."""
        self._settings = settings
        self._ledger = ledger
        self._limiter = limiter
        self._check: Check | None = None

    def __repr__(self) -> str:
        return f"<Watch {self.upstream.name} {self.standings}>"

    async def run(self) -> None:
        """Check until ``scope`` is cancelled."""
        with self.scope:
            try:
                while True:
                    began = anyio.current_time()
                    await self._safely(self.round)
                    taken = anyio.current_time() - began
                    await anyio.sleep(max(interval(self._settings) - taken, SHORTEST / 2))
            finally:
                if self._check is not None:
                    with anyio.CancelScope(shield=True):
                        await self._safely(self._check.keep, ())

    async def _safely(self, function: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """Call a function; a bug in it ends neither the checks nor the worker."""
        try:
            await function(*arguments)
        except Exception:
            log.exception("the health check of %s failed because of a bug", self.upstream.name)

    async def round(self) -> None:
        """Check every backend once."""
        check = await self._made()
        peers = {peer.text: peer for peer in self.upstream.peers}
        self._take_note(peers)
        await check.keep(tuple(peers.values()))
        if self._settings.parallel:
            async with anyio.create_task_group() as tasks:
                for peer in peers.values():
                    tasks.start_soon(self._examine, check, peer)
        else:
            for peer in peers.values():
                await self._examine(check, peer)

    def _take_note(self, peers: Mapping[str, Peer]) -> None:
        """Update the set of peers."""
        upstream, ledger, limits = self.upstream, self._ledger, self._settings
        for text in self.standings.keys() - peers:
            del self.standings[text]
            ledger.forget(upstream, text)
        for text, peer in peers.items():
            if text not in self.standings:
                healthy = not ledger.is_down(upstream, text)
                self.standings[text] = Standing(limits.success, limits.failure, healthy=healthy)
            if not self.standings[text].healthy and OBSTACLE not in peer.obstacles:
                ledger.repeat_down(upstream, text)

    async def _made(self) -> Check:
        if self._check is None:
            upstream = self.upstream
            arguments = self._settings, upstream.proxy_protocol, upstream.tls, upstream.speaks
            if self._settings.scheme == "tcp":
                self._check = make_check(*arguments)
            else:  # requests need not wait while libraries are loaded
                self._check = await anyio.to_thread.run_sync(make_check, *arguments)
        return self._check

    async def _examine(self, check: Check, peer: Peer) -> None:
        failure = ""
        async with self._limiter:
            try:
                await check(peer)
            except CheckFailed as error:
                failure = str(error)
            except CheckImpossible as error:
                name = self.upstream.name
                log.warning("cannot check upstream %s(%s): %s", name, peer.text, error)
                return
            except Exception as error:
                log.exception("the health check of %s failed because of a bug", self.upstream.name)
                failure = repr(error)
        standing = self.standings[peer.text]
        if standing.note(not failure):
            self._ledger.flipped(self.upstream, peer.text, standing.healthy, failure)


def interval(settings: HealthCheck) -> float:
    """Return the seconds until the next check: as configured, or a little less."""
    return settings.check_frequency * random.uniform(1 - JITTER, 1)  # noqa: S311
