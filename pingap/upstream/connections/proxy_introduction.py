"""The PROXY protocol towards an upstream: whose connection this is, told before anything else."""

from __future__ import annotations

import asyncio
from typing import cast

from pingap.upstream.connections.http1_connection import UpstreamConnection


class Introduction(asyncio.Protocol):
    """Sends a header on a new connection, then lets another protocol begin as if it were first.

    :param header: of the PROXY protocol.
    :param protocol: the connection, or TLS around it.
    """

    def __init__(self, header: bytes, protocol: asyncio.Protocol) -> None:
        self._header = header
        self._protocol = protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop has classes of its own
        transport.write(self._header)
        transport.set_protocol(self._protocol)
        self._protocol.connection_made(transport)


class IntroducedConnection(UpstreamConnection):
    """A connection that speaks for one client: it serves one exchange and is never kept.

    The next request may be another client's, and the upstream would take it for this one's.
    """

    __slots__ = ()

    def _let_go(self) -> None:
        self._exchange = None
        self.close()
