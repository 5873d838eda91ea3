"""The health of all backends: checked in one worker, applied in all."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

import anyio
from anyio.abc import TaskGroup

from pingap.observability.notifications import ERROR, INFO, Level, Notification, notify
from pingap.plugins.peer import DRAINED as DRAINED_OBSTACLE
from pingap.shared_state.bus import Bus
from pingap.upstream.health.ejection import Ejection
from pingap.upstream.health.keys import (
    DOWN,
    DRAINED,
    EJECTED,
    HEALTH,
    NO,
    UP,
    YES,
    peer_key,
    split_key,
)
from pingap.upstream.health.metrics import Counts, HealthCounts
from pingap.upstream.health.watch import OBSTACLE, Watch
from pingap.upstream.upstream import UpstreamRuntime

log = logging.getLogger("pingap")

MOST_AT_ONCE: Final = 64
"""Maximum number of concurrent checks, over all upstreams."""


class HealthChecks:
    """Checks backends in the one worker that calls ``run``; keeps requests from bad ones in all workers.

    :param upstreams: those that are served.
    :param bus: announces the results to all workers.
    """

    def __init__(self, upstreams: Iterable[UpstreamRuntime], bus: Bus) -> None:
        self.flips: Counts = Counter()
        """(upstream, peer, ``up`` or ``down``) -> how often checks found this change."""
        self.watches: dict[UpstreamRuntime, Watch] = {}
        """The checks of this worker; only one worker has any."""
        self._bus = bus
        self._tasks: TaskGroup | None = None
        self._limiter: anyio.CapacityLimiter | None = None
        self._upstreams: dict[str, UpstreamRuntime] = {}
        self.follow(upstreams)
        bus.subscribe(HEALTH, self._apply)
        bus.subscribe(EJECTED, self._apply)
        bus.subscribe(DRAINED, self._apply)

    def counts(self) -> HealthCounts:
        """Return the state and the counts of this worker."""
        found = HealthCounts()
        for upstream in self._upstreams.values():
            found.add(self.counts_of(upstream))
        return found

    def counts_of(self, upstream: UpstreamRuntime) -> HealthCounts:
        """Return the state and the counts of this worker for one upstream."""
        found = HealthCounts()
        for peer in upstream.peers:
            for state in ("up", "down"):
                if count := self.flips.get((upstream.name, peer.text, state), 0):
                    found.flips[upstream.name, peer.text, state] = count
        if (watch := self.watches.get(upstream)) is not None:
            for text, standing in watch.standings.items():
                found.healthy[upstream.name, text] = int(standing.healthy)
        if upstream.ejection is not None:
            for counted, count in upstream.ejection.counts.items():
                found.ejections[upstream.name, counted.text] += count
        return found

    def follow(self, upstreams: Iterable[UpstreamRuntime]) -> None:
        """Set the upstreams that are served from now on; must be called in all workers.

        The checks of existing ones continue. A new upstream with the name of an old one starts with the known
        state of the peers they have in common.
        """
        before = self._upstreams
        self._upstreams = {upstream.name: upstream for upstream in upstreams}
        for name, upstream in self._upstreams.items():
            if before.get(name) is not upstream:
                upstream.on_peers = self.apply_known
                self.apply_known(upstream)
        self._adapt()

    # In all workers: apply the known state.

    def apply_known(self, upstream: UpstreamRuntime) -> None:
        """Apply the known state after the peers of an upstream have changed."""
        for text in {peer.text for peer in upstream.peers}:
            for prefix in (HEALTH, EJECTED, DRAINED):
                key = peer_key(prefix, upstream.name, text)
                if (value := self._bus.values.get(key)) is not None:
                    self._apply(key, value)

    def _apply(self, key: str, value: str) -> None:
        name, text = split_key(key)
        if (upstream := self._upstreams.get(name)) is None:
            return
        if key.startswith(EJECTED):
            if upstream.ejection is not None:
                upstream.ejection.apply(text, Ejection.parse(value))
            return
        if key.startswith(DRAINED):
            _block(upstream, text, DRAINED_OBSTACLE, wanted=value == YES)
            return
        down = value == DOWN and upstream.health_check is not None
        _block(upstream, text, OBSTACLE, wanted=down)

    def drain(self, upstream: UpstreamRuntime, text: str, *, drained: bool) -> None:
        """Stop or resume sending requests to a peer, in all workers: a plugin wants it."""
        word = "is drained by a plugin" if drained else "is no longer drained"
        log.info("upstream %s(%s) %s", upstream.name, text, word)
        value = YES if drained else NO
        self._bus.publish(peer_key(DRAINED, upstream.name, text), value)

    # In one worker: run the checks.

    async def run(self) -> None:
        """Check backends until cancelled."""
        self._limiter = anyio.CapacityLimiter(MOST_AT_ONCE)
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            try:
                self._adapt()
                await anyio.sleep_forever()
            finally:
                self._tasks = None
                self.watches.clear()

    def _adapt(self) -> None:
        """Watch exactly the upstreams that are served."""
        if self._tasks is None or self._limiter is None:
            return
        wanted = {one: one.health_check for one in self._upstreams.values()}
        for upstream in [one for one in self.watches if wanted.get(one) is None]:
            self.watches.pop(upstream).scope.cancel()
        self._forget_unwatched()
        for upstream, settings in wanted.items():
            if settings is not None and upstream not in self.watches:
                watch = self.watches[upstream] = Watch(upstream, settings, self, self._limiter)
                self._tasks.start_soon(watch.run)

    def _forget_unwatched(self) -> None:
        """Revoke the results for peers of upstreams that are no longer checked."""
        for key, value in list(self._bus.values.items()):
            if value == DOWN and key.startswith(HEALTH):
                upstream = self._upstreams.get(split_key(key)[0])
                if upstream is None or upstream.health_check is None:
                    self._bus.publish(key, UP)
        for flip in [one for one in self.flips if one[0] not in self._upstreams]:
            del self.flips[flip]

    # Called by ``Watch``: its ledger.

    def is_down(self, upstream: UpstreamRuntime, text: str) -> bool:
        """Return whether a peer is known to be unhealthy."""
        return self._bus.values.get(peer_key(HEALTH, upstream.name, text)) == DOWN

    def repeat_down(self, upstream: UpstreamRuntime, text: str) -> None:
        """Announce again that a peer is unhealthy, because a new one has taken its place."""
        self._bus.publish(peer_key(HEALTH, upstream.name, text), DOWN)

    def forget(self, upstream: UpstreamRuntime, text: str) -> None:
        """Record that a peer no longer exists."""
        for state in (UP, DOWN):
            self.flips.pop((upstream.name, text, state), None)
        if self.is_down(upstream, text) and self._upstreams.get(upstream.name) is upstream:
            self._bus.publish(peer_key(HEALTH, upstream.name, text), UP)

    def flipped(self, upstream: UpstreamRuntime, text: str, healthy: bool, why: str) -> None:
        """Announce to all workers, and to the operator, that a peer became healthy or unhealthy."""
        if (watch := self.watches.get(upstream)) is None:
            return  # it is no longer served
        state = UP if healthy else DOWN
        self.flips[upstream.name, text, state] += 1
        self._bus.publish(peer_key(HEALTH, upstream.name, text), state)
        word = "healthy" if healthy else "unhealthy"
        message = f"upstream {upstream.name}({text}) becomes {word}"
        facts = {"upstream": upstream.name, "address": text}
        self._notify("backend_status", message, INFO if healthy else ERROR, why, facts)
        good = sum(standing.healthy for standing in watch.standings.values())
        if good == 0:
            message = f"upstream {upstream.name} has no healthy backend"
            self._notify("upstream_status", message, ERROR, "", {"upstream": upstream.name})
        elif good == 1 and healthy:
            message = f"upstream {upstream.name} has a healthy backend again"
            self._notify("upstream_status", message, INFO, "", {"upstream": upstream.name})

    def _notify(
        self, kind: str, message: str, level: Level, detail: str, fields: Mapping[str, str]
    ) -> None:
        event = Notification(kind=kind, message=message, level=level, detail=detail, fields=fields)
        notify(self._bus, event)


def _block(upstream: UpstreamRuntime, text: str, obstacle: str, *, wanted: bool) -> None:
    """Set or remove an obstacle of a peer."""
    for peer in upstream.peers:
        if peer.text == text:
            if wanted:
                peer.block(obstacle)
            else:
                peer.unblock(obstacle)
