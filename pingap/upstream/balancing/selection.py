"""The selection of a peer: the balancer's choice among the available ones.

The set of available peers is updated after a change, at the next request; so a request costs only the
balancer's choice.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from pingap.http.errors import HTTPError, PluginError
from pingap.plugins.balancer import (
    Balancer,
    BalancerFactory,
    BalancerOptions,
    Usable,
    is_available,
    without_argument,
)
from pingap.plugins.checks import place_of_function
from pingap.upstream.balancing.round_robin import RoundRobin
from pingap.upstream.balancing.slow_start import with_slow_start

if TYPE_CHECKING:
    from pingap.http.context import RequestContext
    from pingap.http.request import Request
    from pingap.plugins.peer import Peer as AnyPeer
    from pingap.upstream.peer import Peer

_Choice: TypeAlias = "Callable[[Request, RequestContext, Usable], Peer | None]"

RETRY_AFTER_SECONDS: Final = 5
"""The ``Retry-After`` for clients if no peer is available."""


_ROUND_ROBIN: Final = without_argument(RoundRobin)


@dataclass(frozen=True, slots=True, kw_only=True)
class Balancing:
    """The balancing settings of an upstream.

    :param factory: makes its balancers.
    :param slow_start: seconds until a peer has its full share.
    :param panic_threshold: if less than this percentage of peers is available, all are used.
    """

    factory: BalancerFactory = _ROUND_ROBIN
    options: BalancerOptions = field(default_factory=BalancerOptions)
    slow_start: float = 0.0
    panic_threshold: int = 0

    def build(self, peers: Sequence[Peer]) -> Balancer:
        """Build a balancer for some peers.

        :raises ValueError: the value of ``algo`` is invalid.
        """
        options = replace(self.options, drained=[peer for peer in peers if not peer.weight])
        balancer = self.factory([peer for peer in peers if peer.weight], options)
        return with_slow_start(balancer, self.slow_start)


class Selection:
    """Selects peers of an upstream.

    :param name: of the upstream.
    :param peers: all of them, including backups.
    """

    def __init__(self, name: str, peers: Sequence[Peer], balancing: Balancing) -> None:
        self._name = name
        self._panic_threshold = balancing.panic_threshold
        self._primaries = [peer for peer in peers if not peer.backup]
        self._backups = [peer for peer in peers if peer.backup]
        self._balancer = _build(balancing, self._primaries)
        self._second = _build(balancing, self._backups) if self._backups else None
        self._usable: Usable = is_available
        self._choose: _Choice = self._choose_afresh
        self.panics = False
        """Whether so few are available that all are used as if they were."""
        for peer in peers:
            peer.on_change = self._on_change

    def choose(self, request: Request, ctx: RequestContext, tried: Collection[Peer] = ()) -> Peer:
        """Return the peer for a request.

        :param tried: peers that have already failed this request; others are preferred.
        :raises HTTPError: 503, none is available.
        """
        try:
            if not tried:
                choose = self._choose
                peer = choose(request, ctx, self._usable)
            else:
                peer = self._choose_another(request, ctx, tried)
        except HTTPError:
            raise
        except BaseException as error:
            place = place_of_function(type(self._balancer).choose)
            raise PluginError(f"upstreams.{self._name}.algo", "choose", place) from error
        if peer is None:
            raise HTTPError(
                503,
                f"No available upstream for {ctx.location}",
                headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
            )
        return peer

    def _choose_another(
        self, request: Request, ctx: RequestContext, tried: Collection[Peer]
    ) -> Peer | None:
        if self._choose == self._choose_afresh:
            self._refresh()
        usable = self._usable
        untried = self._choose(request, ctx, lambda peer: peer not in tried and usable(peer))
        return untried or self._choose(request, ctx, usable)

    # After a change of the available peers.

    def _on_change(self) -> None:
        self._choose = self._choose_afresh

    def _choose_afresh(self, request: Request, ctx: RequestContext, usable: Usable) -> Peer | None:
        """Update the set of available peers, and choose from it."""
        self._refresh()
        return self._choose(request, ctx, self._usable)

    def _refresh(self) -> None:
        self.panics = self._is_panic()
        self._usable = _is_not_drained if self.panics else is_available
        self._balancer.refresh(self._usable)
        self._choose = _choice(self._balancer)
        if self._second is not None and not self.panics:
            self._second.refresh(self._usable)
            self._choose = self._choose_or_use_backups

    def _choose_or_use_backups(
        self, request: Request, ctx: RequestContext, usable: Usable
    ) -> Peer | None:
        assert self._second is not None
        first, second = _choice(self._balancer), _choice(self._second)
        return first(request, ctx, usable) or second(request, ctx, usable)

    def _is_panic(self) -> bool:
        primaries = [peer for peer in self._primaries if peer.weight and not peer.is_drained]
        available = sum(map(is_available, primaries))
        if not available and any(peer.is_available and peer.weight for peer in self._backups):
            return False
        return available * 100 < self._panic_threshold * len(primaries)

    def __repr__(self) -> str:
        peers = [*self._primaries, *self._backups]
        state = ", panic" if self._is_panic() else ""
        return f"<Selection {sum(map(is_available, peers))} of {len(peers)} available{state}>"


def _build(balancing: Balancing, peers: Sequence[Peer]) -> Balancer:
    balancer = balancing.build(peers)
    for peer in peers:
        peer.bookkeeper = balancer.bookkeeper
    return balancer


def _choice(balancer: Balancer) -> _Choice:
    """Return the function that chooses a peer; it checks the results of balancers from plugins."""
    if type(balancer).__module__.startswith("pingap."):
        return cast(_Choice, balancer.choose)

    def choose(request: Request, ctx: RequestContext, usable: Usable) -> Peer | None:
        peer = balancer.choose(request, ctx, usable)
        if peer is not None and not hasattr(peer, "in_flight"):
            raise TypeError(f"a balancer chooses one of its peers, or None, not {peer!r:.40}")
        return cast("Peer | None", peer)

    return choose


def _is_not_drained(peer: AnyPeer) -> bool:
    return not peer.is_drained
