"""Balancers: each is built for a set of peers and chooses one of them for each request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, ClassVar, Final, TypeAlias

if TYPE_CHECKING:
    from pingap.http.context import RequestContext
    from pingap.http.request import Request
    from pingap.plugins.peer import Peer

WORDS: Final = (
    "round_robin",
    "least_conn",
    "p2c",
    "random",
    "hash:url",
    "hash:ip",
    "hash:path",
    "hash:header:<name>",
    "hash:cookie:<name>",
    "hash:query:<name>",
    "sticky:<cookie>",
)
"""The values of ``algo`` that the core provides."""

Usable: TypeAlias = "Callable[[Peer], bool]"
"""Returns whether a request may be sent to a peer."""

is_available: Usable = attrgetter("is_available")  # written in C: a call costs 30 ns


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancerOptions:
    """Properties of an upstream that a balancer may need.

    :param upstream: its name.
    :param argument: the part of ``algo`` after the first colon; may be empty.
    :param secret: ``sticky_secret``; empty if there is none.
    :param drained: peers of weight 0. They are not among the peers to choose from and serve only the
        clients that are already bound to them.
    """

    upstream: str = ""
    argument: str = ""
    secret: bytes = b""
    drained: Sequence[Peer] = ()


class Balancer:
    """Chooses among the peers of an upstream; the base class for balancers of plugins.

    Each set of peers has one balancer, and when the set changes, a new one is built. Methods that are called
    for every request must be quick and must not wait: nothing here is async.

    :param peers: all have a weight of at least 1. There may be none.
    """

    weighs_load: ClassVar[bool] = False
    """Whether it prefers less busy peers. For such a balancer, a peer that starts slowly (``slow_start``)
    looks busy."""

    def __init__(self, peers: Sequence[Peer]) -> None:
        self.peers = tuple(peers)

    def choose(self, request: Request, ctx: RequestContext, usable: Usable) -> Peer | None:
        """Choose a peer for a request.

        :param usable: returns whether a peer may be used: it is available, and this request has not failed
            there.
        :returns: a usable peer; None only if there is none.
        """
        raise NotImplementedError

    def refresh(self, usable: Usable) -> None:
        """Update the balancer after the set of available peers has changed.

        :param usable: returns whether a peer is available; only these need to be found until the next call.
        """

    @property
    def bookkeeper(self) -> Balancer | None:
        """Return the balancer whose ``ended`` is called, usually this one; None if none needs it."""
        return None

    def ended(self, peer: Peer, ctx: RequestContext, *, failed: bool) -> None:
        """Record that a peer has one request less in flight. Must not raise.

        :param failed: the peer could not answer.
        """


BalancerFactory: TypeAlias = "Callable[[Sequence[Peer], BalancerOptions], Balancer]"
"""Builds a balancer for a set of peers; raises a ``ValueError`` that describes the error in the argument
of ``algo``."""


def without_argument(kind: type[Balancer]) -> BalancerFactory:
    """Return the factory of a balancer that has no settings."""

    def make(peers: Sequence[Peer], options: BalancerOptions) -> Balancer:
        if options.argument:
            raise ValueError("expected nothing after the word")
        return kind(peers)

    return make
