"""Updates the peers of upstreams with the results of discovery, regardless of its kind.

A failed lookup changes nothing: an upstream keeps its peers.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

import anyio
from anyio import CapacityLimiter
from anyio.abc import TaskGroup

from pingap.observability.notifications import Notification, log_event, publish
from pingap.plugins.discovery import Discovered, Discovery, Endpoint
from pingap.plugins.foreign_code import is_from_outside
from pingap.shared_state.bus import Bus
from pingap.upstream.peer import Peer

if TYPE_CHECKING:
    from pingap.upstream.upstream import UpstreamRuntime

log = logging.getLogger("pingap")

FAILED: Final = "service_discover_fail"
"""The kind of notification."""
ONLY_ONCE: Final = 1.0
"""An ``update_frequency`` below this means that nothing is looked up again once everything was found."""
FIRST_SECONDS: Final = 10.0
"""How long a worker waits for its first peers before it serves without them."""
FIND_SECONDS: Final = 30.0
"""How long a lookup may take."""
RETRY_SECONDS: Final = 5.0
"""Delay before a failed lookup or watch is retried, unless ``update_frequency`` is shorter."""
SETTLE_SECONDS: Final = 0.5
"""How long changes are collected before they trigger a lookup."""
MOST_AT_ONCE: Final = 16
"""Concurrent lookups of upstreams in a worker."""
SHORTEST_SECONDS: Final = 1.0
"""Minimum interval between two lookups, regardless of ``valid_for``."""


def peers_of(endpoints: Iterable[Endpoint]) -> list[Peer]:
    """Return a peer for each endpoint, without duplicate addresses."""
    peers: dict[str, Peer] = {}
    for one in endpoints:
        text = str(one)
        peer = Peer(one.name or text, one.address, text, one.weight, backup=one.backup)
        peers.setdefault(text, peer)
    return list(peers.values())


class Refresher:
    """Keeps the peers of one upstream current. Belongs to the upstream and lives as long.

    :param upstream: the upstream.
    :param frequency: seconds between two lookups.
    """

    def __init__(self, upstream: UpstreamRuntime, discovery: Discovery, frequency: float) -> None:
        self._upstream = upstream
        self._discovery = discovery
        self._frequency = frequency
        self._found: tuple[Endpoint, ...] | None = None
        self._failures: tuple[str, ...] = ()
        self._next = 0.0
        self._news: anyio.Event | None = None
        self.notify: Callable[[Notification], None] = log_event
        """Called with the failures."""

    async def first(self, slots: CapacityLimiter) -> None:
        """Look up for the first time; after ``FIRST_SECONDS`` the upstream starts with what it has.

        :param slots: limits concurrent lookups.
        """
        with anyio.move_on_after(FIRST_SECONDS) as limit:
            async with slots:
                await self.refresh()
        if limit.cancelled_caught:
            self._report((f"nothing was found within {FIRST_SECONDS:g} s",))
        if not self._upstream.peers:
            log.warning("upstream %s has no backends yet: requests get 503", self._upstream.name)

    async def run(self, slots: CapacityLimiter) -> None:
        """Look up again whenever it is time, until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._listen)
            while True:
                await self._wait()
                async with slots:
                    await self.refresh()

    async def refresh(self) -> None:
        """Look up now, and replace the peers if the result differs. Never raises."""
        self._news = anyio.Event()
        self._next = time.monotonic() + self._retry_after  # in case it is cancelled
        wait = self._retry_after
        failures: tuple[str, ...] = (f"nothing was found within {FIND_SECONDS:g} s",)
        try:
            with anyio.move_on_after(FIND_SECONDS):
                found = await self._discovery.find()
                failures, wait = tuple(found.failures), self._time_to_next(found)
                self._take(found)
        except BaseException as error:
            if is_from_outside(error):
                raise
            log.debug("%s discovery failed", self._discovery.word, exc_info=True)
            failures, wait = (str(error) or type(error).__name__,), self._retry_after
        self._report(failures)
        self._next = time.monotonic() + wait

    @property
    def _retry_after(self) -> float:
        """Seconds until a failed lookup is retried."""
        return RETRY_SECONDS if self._is_once else min(RETRY_SECONDS, self._frequency)

    @property
    def _is_once(self) -> bool:
        return self._frequency < ONLY_ONCE

    def _time_to_next(self, found: Discovered) -> float:
        if found.failures:
            return self._retry_after
        if self._is_once:
            return float("inf")
        if found.valid_for is None:
            return self._frequency
        return min(self._frequency, max(found.valid_for, SHORTEST_SECONDS))

    def _take(self, found: Discovered) -> None:
        # Sorted, because name servers return their answers in varying order.
        endpoints = tuple(sorted(set(found.endpoints), key=lambda one: (str(one), one.weight)))
        if endpoints == self._found:
            return
        self._upstream.replace_peers(peers_of(endpoints))
        before, self._found = self._found, endpoints
        if before is not None:
            listed = ", ".join(peer.text for peer in self._upstream.peers) or "none"
            log.info("upstream %s has new backends: %s", self._upstream.name, listed)

    def _report(self, failures: tuple[str, ...]) -> None:
        """Report failures, once, and when they are over."""
        for failure in failures:
            if failure not in self._failures:
                self.notify(self._event(failure))
        if self._failures and not failures:
            log.info("upstream %s: all lookups succeed again", self._upstream.name)
        self._failures = failures

    @property
    def failures(self) -> list[Notification]:
        """The failures of the last lookup."""
        return [self._event(failure) for failure in self._failures]

    def _event(self, failure: str) -> Notification:
        name, word = self._upstream.name, self._discovery.word
        message = f"upstream {name}: {word} discovery: {failure}"
        return Notification(kind=FAILED, message=message, fields={"upstream": name})

    async def _wait(self) -> None:
        """Return when it is time for the next lookup, or after a change."""
        if self._news is None:
            return  # the first one was never run
        with anyio.move_on_after(self._next - time.monotonic()):
            await self._news.wait()
            await anyio.sleep(SETTLE_SECONDS)

    async def _listen(self) -> None:
        """Let the discovery watch for changes, and restart it if it fails."""
        told = ""
        while True:
            began = time.monotonic()
            try:
                await self._discovery.watch(self._changed)
            except BaseException as error:
                if is_from_outside(error):
                    raise
                text = f"no more changes are received: {str(error) or type(error).__name__}"
            else:
                return
            if text != told or time.monotonic() - began > RETRY_SECONDS:
                told = text
                self.notify(self._event(text))
            await anyio.sleep(RETRY_SECONDS)

    def _changed(self) -> None:
        if self._news is not None:
            self._news.set()


class DiscoveryService:
    """Runs the refreshers of all upstreams of a worker.

    :param tasks: runs them; cancelling it ends them.
    :param bus: passes on failures of the leading worker; without it, failures are only logged.
    """

    def __init__(self, tasks: TaskGroup, bus: Bus | None = None) -> None:
        self._tasks = tasks
        self._bus = bus
        self._leads = False
        self._slots = anyio.CapacityLimiter(MOST_AT_ONCE)
        self._running: dict[Refresher, anyio.CancelScope] = {}

    async def prepare(self, upstreams: Iterable[UpstreamRuntime]) -> None:
        """Return once each of these upstreams has been looked up for the first time."""
        async with anyio.create_task_group() as firsts:
            for one in upstreams:
                if one.refresher is not None and one.refresher not in self._running:
                    one.refresher.notify = self._notify
                    firsts.start_soon(one.refresher.first, self._slots)

    def start(self, upstreams: Iterable[UpstreamRuntime]) -> None:
        """Run the refreshers of these upstreams, after ``prepare``; running ones are not affected."""
        for one in upstreams:
            if one.refresher is not None and one.refresher not in self._running:
                scope = self._running[one.refresher] = anyio.CancelScope()
                self._tasks.start_soon(self._run, one.refresher, scope)

    def lead(self) -> None:
        """Pass on failures of this worker from now on: all workers look up the same names."""
        self._leads = True
        for refresher in self._running:
            for event in refresher.failures:
                self._pass_on(event)

    def follow(self) -> None:
        """Leave that to another worker from now on."""
        self._leads = False

    def _notify(self, event: Notification) -> None:
        log_event(event)
        if self._leads:
            self._pass_on(event)

    def _pass_on(self, event: Notification) -> None:
        if self._bus is not None:
            publish(self._bus, event)

    async def _run(self, refresher: Refresher, scope: anyio.CancelScope) -> None:
        with scope:
            await refresher.run(self._slots)

    def stop(self, *, keep: Iterable[UpstreamRuntime]) -> None:
        """Stop the refreshers of all but these upstreams."""
        kept = {one.refresher for one in keep}
        for refresher in self._running.keys() - kept:
            self._running.pop(refresher).cancel()
