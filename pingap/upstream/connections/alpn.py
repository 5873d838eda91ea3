"""The versions of HTTP that are used for an upstream."""

from __future__ import annotations

from enum import Enum


class Speaks(Enum):
    """The versions of HTTP that are used for an upstream (``alpn``)."""

    HTTP1 = "H1"
    HTTP2 = "H2"
    EITHER = "H2H1"

    @property
    def alpn(self) -> tuple[str, ...]:
        """The protocols offered in a TLS handshake."""
        return _ALPN[self]


_ALPN = {
    Speaks.HTTP1: ("http/1.1",),
    # Otherwise, a backend that only supports HTTP/1.1 may reject the handshake (RFC 7301, 3.2).
    Speaks.HTTP2: ("h2", "http/1.1"),
    Speaks.EITHER: ("h2", "http/1.1"),
}
