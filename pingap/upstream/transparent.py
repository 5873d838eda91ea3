"""A transparent upstream: its peer is the host that the client requested, if that is allowed.

Names are looked up for each request, or taken from a recent lookup. The address that was checked is the one
that is connected to, so a later DNS answer cannot bypass the check.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

import anyio

from pingap.config.allowed_hosts import AllowedHost, IPAddress, is_special, plain_address
from pingap.http.connection import Connection
from pingap.http.errors import HTTPError, UpstreamError
from pingap.http.request import Request
from pingap.tls.client_context import ClientTls
from pingap.upstream.connections.alpn import Speaks
from pingap.upstream.connections.http1_connection import UpstreamConnection
from pingap.upstream.connections.pool import KeepalivePool
from pingap.upstream.peer import Peer
from pingap.upstream.timeouts import Timeouts
from pingap.upstream.upstream import DEFAULT_RETRY_BUDGET, UpstreamRuntime
from pingap.wire.tcp import TcpOptions

if TYPE_CHECKING:
    from pingap.upstream.connections.http2_stream import Http2UpstreamStream
    from pingap.upstream.connections.pinned import PinnedConnections

LOOKUP_SECONDS: Final = 5.0
"""Time limit of a lookup."""
REMEMBERED_SECONDS: Final = 10.0
"""How long the addresses of a name are used."""
MOST_NAMES: Final = 256
"""Names that are remembered; beyond that, the oldest one is dropped."""

Asked = tuple[str, int]
"""Name and port."""


class Found:
    """The allowed addresses of a name, the next one to use first."""

    __slots__ = ("addresses", "until")

    def __init__(self, addresses: list[str], until: float) -> None:
        self.addresses = addresses
        self.until = until


class TransparentUpstream(UpstreamRuntime):
    """An upstream whose peers are created on demand.

    Peers live as long as they have connections, whose number the pool limits.

    :param allowed: the hosts that clients may reach.
    :param ask_for_host: send the requested host as SNI.
    """

    def __init__(
        self,
        name: str,
        allowed: Sequence[AllowedHost],
        pool: KeepalivePool,
        timeouts: Timeouts,
        tcp: TcpOptions,
        tls: ClientTls | None = None,
        *,
        ask_for_host: bool = False,
        ipv4_only: bool = False,
        proxy_protocol: str = "",
        speaks: Speaks = Speaks.HTTP1,
        max_h2_streams: int = 1,
        retry_budget: int = DEFAULT_RETRY_BUDGET,
    ) -> None:
        super().__init__(
            name,
            (),
            pool,
            timeouts,
            tcp,
            tls,
            proxy_protocol=proxy_protocol,
            speaks=speaks,
            max_h2_streams=max_h2_streams,
            retry_budget=retry_budget,
        )
        self.finds_peers = True
        self._allowed = tuple(allowed)
        self._ask_for_host = ask_for_host
        self._family = socket.AF_INET if ipv4_only else socket.AF_UNSPEC
        self._default_port = 443 if tls is not None else 80
        self._found: dict[Asked, Found] = {}
        self._found_peers: WeakValueDictionary[tuple[str, str, int], Peer] = WeakValueDictionary()

    @property
    def peers(self) -> Sequence[Peer]:
        """The peers that have connections."""
        return list(self._found_peers.values())

    async def find_peer(self, request: Request, client: Connection) -> Peer:
        """Return the peer for the requested host.

        :raises HTTPError: 403, it may not be reached.
        :raises UpstreamError: its name is not found, or not in time.
        """
        host, port = self._asked(request)
        found = self._found.get((host, port))
        if found is None or found.until < time.monotonic():
            found = await self._find(host, port)
        address = found.addresses[0]
        if port == client.server_port and address == str(plain_address(client.server_addr)):
            raise self._forbidden()  # it leads back to us, in a loop
        key = (host, address, port)
        if (peer := self._found_peers.get(key)) is None:
            text = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
            peer = self._found_peers[key] = Peer(host, (address, port), text)
        return peer

    def _asked(self, request: Request) -> Asked:
        host = request.host.lower().strip("[]").removesuffix(".")
        if not host:
            raise self._forbidden()
        _, colon, port = (request.header("host") or "").rpartition(":")
        if colon and port.isascii() and port.isdigit():
            return host, int(port)
        return host, self._default_port

    async def _find(self, host: str, port: int) -> Found:
        if (literal := plain_address(host)) is not None:
            allowed = [str(literal)] if self._allows(literal, port) else []
        else:
            if not any(one.has_name(host) for one in self._fitting(port)):
                raise self._forbidden()
            addresses = await self._look_up(host, port)
            allowed = [
                str(one) for one in addresses if not is_special(one) or self._names(one, port)
            ]
        if not allowed:
            raise self._forbidden()
        if len(self._found) >= MOST_NAMES:
            del self._found[next(iter(self._found))]
        self._found.pop((host, port), None)
        found = self._found[host, port] = Found(allowed, time.monotonic() + REMEMBERED_SECONDS)
        return found

    def _fitting(self, port: int) -> list[AllowedHost]:
        """Return the entries that allow a port."""
        return [one for one in self._allowed if (one.port or self._default_port) == port]

    def _allows(self, address: IPAddress, port: int) -> bool:
        if is_special(address):
            return self._names(address, port)
        return any(one.has_address(address) for one in self._fitting(port))

    def _names(self, address: IPAddress, port: int) -> bool:
        """Return whether a special address is listed explicitly."""
        return any(one.names_special and one.has_address(address) for one in self._fitting(port))

    async def _look_up(self, host: str, port: int) -> list[IPAddress]:
        loop = asyncio.get_running_loop()
        try:
            with anyio.fail_after(self.timeouts.connect or LOOKUP_SECONDS):
                found = await loop.getaddrinfo(
                    host,
                    port,
                    family=self._family,
                    type=socket.SOCK_STREAM,
                    flags=socket.AI_ADDRCONFIG,
                )
        except TimeoutError:
            raise UpstreamError(
                f'{self.name}: "{host}" was not found in time',
                error_type="ConnectTimedout",
                status=504,
                connecting=True,
            ) from None
        except (OSError, UnicodeError) as error:
            text = getattr(error, "strerror", None) or str(error)
            raise UpstreamError(
                f'{self.name}: "{host}" cannot be resolved: {text}',
                error_type="ConnectNoRoute",
                connecting=True,
            ) from None
        addresses = (plain_address(str(endpoint[0])) for *_, endpoint in found)
        return [one for one in dict.fromkeys(addresses) if one is not None]

    async def connect(
        self,
        peer: Peer,
        client: Connection,
        home: Peer | PinnedConnections,
        timeouts: Timeouts,
        *,
        upgrades: bool = False,
        repeatable: bool = False,
    ) -> UpstreamConnection | Http2UpstreamStream:
        """Make a new connection; after a failure, try the next address of the name.

        This requires knowing whether the connection was made, so no request is sent before that.
        """
        try:
            return await super().connect(peer, client, home, timeouts, upgrades=upgrades)
        except UpstreamError:
            assert not isinstance(peer.address, str)
            address, port = peer.address
            found = self._found.get((peer.host, port))
            if found is not None and found.addresses[0] == address:
                found.addresses.append(found.addresses.pop(0))
            raise

    def _tls_for(self, peer: Peer) -> ClientTls | None:
        if self._tls is not None and self._ask_for_host:
            return self._tls.for_name(peer.host)
        return self._tls

    def _forbidden(self) -> HTTPError:
        return HTTPError(403, "This host may not be reached through this proxy")
