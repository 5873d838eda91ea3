"""The PROXY protocol towards an upstream: sends the client's address before anything else."""

from __future__ import annotations

import asyncio
from typing import cast

from pingap.upstream.connections.http1_connection import UpstreamConnection


class Introduction(asyncio.Protocol):
    """Sends a header on a new connection, then starts another protocol as if it were the first.

    :param header: of the PROXY protocol.
    :param protocol: the connection, or TLS around it.
    """

    def __init__(self, header: bytes, protocol: asyncio.Protocol) -> None:
        self._header = header
        self._protocol = protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop has its own classes
        transport.write(self._header)
        transport.set_protocol(self._protocol)
        self._protocol.connection_made(transport)


class IntroducedConnection(UpstreamConnection):
    """A connection on behalf of one client: it serves one exchange and is never kept.

    The next request may be another client's, and the upstream would attribute it to this one.
    """

    __slots__ = ()

    def _let_go(self) -> None:
        self._exchange = None
        self.close()
