"""``hash:*``: requests with the same key go to the same peer (consistent hashing, with weights)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from pingap.config.problem import did_you_mean
from pingap.plugins.balancer import WORDS, Balancer, BalancerOptions, Usable
from pingap.upstream.balancing.ring import Ring
from pingap.upstream.balancing.round_robin import RoundRobin

if TYPE_CHECKING:
    from pingap.http.context import RequestContext
    from pingap.http.request import Request
    from pingap.plugins.peer import Peer

KeyOf: TypeAlias = "Callable[[Request, RequestContext], str | None]"

_PLAIN: Final[dict[str, KeyOf]] = {
    "": lambda request, ctx: request.path,
    "path": lambda request, ctx: request.path,
    "url": lambda request, ctx: request.target,
    "ip": lambda request, ctx: ctx.client_ip(request),
}
_NAMED: Final[dict[str, Callable[[str], KeyOf]]] = {
    "header": lambda name: lambda request, ctx: request.header(name),
    "cookie": lambda name: lambda request, ctx: request.cookie(name),
    "query": lambda name: lambda request, ctx: request.query_value(name),
}
FORMS: Final = tuple(word for word in WORDS if word.startswith("hash:"))


class Hash(Balancer):
    """Chooses by the hash of a key. Requests without the key (a missing header) use round robin."""

    def __init__(self, peers: Sequence[Peer], key_of: KeyOf) -> None:
        super().__init__(peers)
        self._key_of = key_of
        self._ring = Ring(self.peers)
        self._others = RoundRobin(self.peers)

    def refresh(self, usable: Usable) -> None:
        """Keep the ring: only requests of unavailable peers go elsewhere."""
        self._others.refresh(usable)

    def choose(self, request: Request, ctx: RequestContext, usable: Usable) -> Peer | None:
        """Choose the peer of the key, or the next one on the ring."""
        if not (key := self._key_of(request, ctx)):
            return self._others.choose(request, ctx, usable)
        return self._ring.find(key, usable)


def make_hash(peers: Sequence[Peer], options: BalancerOptions) -> Hash:
    """Build the balancer of ``hash:WHAT``."""
    what, colon, name = options.argument.partition(":")
    if what in _NAMED and name.strip():
        return Hash(peers, _NAMED[what](name))
    if what in _PLAIN and not colon:
        return Hash(peers, _PLAIN[what])
    hint = did_you_mean(f"hash:{options.argument}", FORMS)
    raise ValueError(f"expected one of {', '.join(FORMS)}{hint}")
