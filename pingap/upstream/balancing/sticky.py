"""``sticky:NAME``: a client stays with its peer, by a cookie that the proxy sets.

The value is the HMAC of the peer's address: without the key, nobody can create one or learn an address from
it. It depends on nothing else, so all workers, and all proxies with the same key, understand it, even after
a restart.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pingap.http.headers import TOKEN, Field, field
from pingap.plugins.balancer import Balancer, BalancerOptions, Usable
from pingap.upstream.balancing.round_robin import RoundRobin

if TYPE_CHECKING:
    from pingap.http.context import RequestContext
    from pingap.http.request import Request
    from pingap.plugins.peer import Peer

LEAST_SECRET: Final = 16
"""Minimum length of ``sticky_secret`` in bytes."""
_TAG_BYTES: Final = 16
# A shared cache that stored the response would send the cookie to all clients.
_PRIVATE: Final = field("Cache-Control", "private")


class Sticky(Balancer):
    """Chooses the peer that a client's cookie names; a client without a valid cookie gets one.

    :param name: of the cookie.
    :param secret: the key for the values.
    :param upstream: its name: another upstream has other values for the same address.
    :param drained: peers that get no new clients.
    """

    def __init__(
        self,
        peers: Sequence[Peer],
        name: str,
        secret: bytes,
        upstream: str = "",
        drained: Sequence[Peer] = (),
    ) -> None:
        super().__init__(peers)
        self.spread: Balancer = RoundRobin(peers)
        """Chooses a peer for new clients."""
        self._name = name
        tags = {peer: _tag(secret, upstream, peer) for peer in (*peers, *drained)}
        self._by_tag = {tag: peer for peer, tag in tags.items()}
        self._fields = {peer: _fields(f"{name}={tag}; Path=/") for peer, tag in tags.items()}

    def refresh(self, usable: Usable) -> None:
        """Distribute new clients among the available peers."""
        self.spread.refresh(usable)

    def choose(self, request: Request, ctx: RequestContext, usable: Usable) -> Peer | None:
        """Choose the peer of the cookie, or a new one."""
        peer = self._by_tag.get(request.cookie(self._name) or "")
        if peer is not None and usable(peer):
            ctx.choice_fields = ()  # a previous attempt may have gone elsewhere
            return peer
        peer = self.spread.choose(request, ctx, usable)
        if peer is not None:
            ctx.choice_fields = self._fields[peer][ctx.scheme(request) == "https"]
        return peer


def _tag(secret: bytes, upstream: str, peer: Peer) -> str:
    text = f"{upstream}\0{peer.host}\0{peer.text}".encode("utf-8", "surrogateescape")
    digest = hmac.digest(secret, text, "sha256")[:_TAG_BYTES]
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _fields(cookie: str) -> tuple[tuple[Field, ...], tuple[Field, ...]]:
    """Return the fields that set the cookie: over HTTP, and over HTTPS."""
    cookie += "; HttpOnly; SameSite=Lax"
    return (
        (field("Set-Cookie", cookie), _PRIVATE),
        (field("Set-Cookie", f"{cookie}; Secure"), _PRIVATE),
    )


def make_sticky(peers: Sequence[Peer], options: BalancerOptions) -> Sticky:
    """Build the balancer of ``sticky:NAME``."""
    name = options.argument
    if not TOKEN.fullmatch(name.encode()):
        raise ValueError('expected the name of a cookie after the colon, such as "sticky:backend"')
    if len(options.secret) < LEAST_SECRET:
        raise ValueError(
            f'needs sticky_secret, of at least {LEAST_SECRET} characters: "file:PATH" or'
            ' "$ENV:NAME", with what `openssl rand -hex 32` prints'
        )
    return Sticky(peers, name, options.secret, options.upstream, options.drained)
