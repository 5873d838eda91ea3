"""Which versions of HTTP an upstream is spoken to with."""

from __future__ import annotations

from enum import Enum


class Speaks(Enum):
    """Which versions of HTTP an upstream is spoken to with (``alpn``)."""

    HTTP1 = "H1"
    HTTP2 = "H2"
    EITHER = "H2H1"

    @property
    def alpn(self) -> tuple[str, ...]:
        """What is offered in a TLS handshake."""
        return _ALPN[self]


_ALPN = {
    Speaks.HTTP1: ("http/1.1",),
    # (A backend that only has HTTP/1.1 may refuse the handshake otherwise: RFC 7301, 3.2.)
    Speaks.HTTP2: ("h2", "http/1.1"),
    Speaks.EITHER: ("h2", "http/1.1"),
}
