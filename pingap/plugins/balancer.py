"""What a balancer is: it is built for a set of peers and chooses one of them for each request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, ClassVar, Final, TypeAlias

if TYPE_CHECKING:
    from pingap.http.context import RequestContext
    from pingap.http.messages import Request
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
"""What ``algo`` may say, besides the words of plugins."""

Usable: TypeAlias = "Callable[[Peer], bool]"
"""Tells whether a request may be sent to a peer."""

is_available: Usable = attrgetter("is_available")  # (Written in C: a call of it costs 30 ns.)


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancerOptions:
    """What a balancer may want to know of its upstream.

    :param upstream: its name.
    :param argument: what ``algo`` says after its first colon; empty for nothing.
    :param secret: ``sticky_secret``; empty if there is none.
    :param drained: peers of weight 0, which are not among those to choose from: they are left to
        the clients they have.
    """

    upstream: str = ""
    argument: str = ""
    secret: bytes = b""
    drained: Sequence[Peer] = ()


class Balancer:
    """Chooses among the peers of an upstream; a base for those of plugins.

    A set of peers has one balancer, and a set that changes gets a new one. What is called for every
    request must be quick, and must not wait: nothing here is async.

    :param peers: all have a weight of at least 1. There may be none.
    """

    weighs_load: ClassVar[bool] = False
    """It prefers peers that have less to do, so that one which starts slowly
    (``slow_start``) is one that has much to do already."""

    def __init__(self, peers: Sequence[Peer]) -> None:
        self.peers = tuple(peers)

    def choose(self, request: Request, ctx: RequestContext, usable: Usable) -> Peer | None:
        """Choose a peer for a request.

        :param usable: tells whether a peer may be used: it is available, and this request did not
            fail there.
        :returns: a usable peer; None only if there is none.
        """
        raise NotImplementedError

    def refresh(self, usable: Usable) -> None:
        """Take note that other peers than before are available.

        :param usable: tells which; no other peer need be found before the next call.
        """

    @property
    def bookkeeper(self) -> Balancer | None:
        """Whose ``ended`` is called: this one, if it wants to know; None for nobody."""
        return None

    def ended(self, peer: Peer, ctx: RequestContext, *, failed: bool) -> None:
        """Take note that a peer has one request less in flight. Must not raise.

        :param failed: it could not answer.
        """


BalancerFactory: TypeAlias = "Callable[[Sequence[Peer], BalancerOptions], Balancer]"
"""Builds a balancer for a set of peers; raises a ``ValueError`` that says what is wrong with the
argument of ``algo``."""


def without_argument(kind: type[Balancer]) -> BalancerFactory:
    """Return the factory of a balancer that has no settings."""

    def make(peers: Sequence[Peer], options: BalancerOptions) -> Balancer:
        if options.argument:
            raise ValueError("expected nothing after the word")
        return kind(peers)

    return make
