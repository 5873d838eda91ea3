"""Makes connections in such a way that a cancelled attempt leaves nothing behind.

``loop.create_connection`` is not safe to cancel: once the connection exists, uvloop closes the transport
without calling ``connection_lost``, so counts made in ``connection_made`` are never undone. So the socket is
connected first, which can be cancelled at any time, and is passed to the protocol in a step that always
completes; if the connection is no longer needed by then, it is closed in the usual way.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any, TypeAlias

from pingap.wire.tcp import TcpOptions

Address: TypeAlias = tuple[str, int] | str
"""IP address and port, or the path of a Unix socket."""


async def connect(protocol: asyncio.Protocol, address: Address, tcp: TcpOptions) -> None:
    """Connect a protocol.

    :raises OSError: the address cannot be reached.
    """
    await hand_over(await connected(address, tcp), protocol)


async def connected(
    address: Address, tcp: TcpOptions, prepare: Callable[[socket.socket], None] | None = None
) -> socket.socket:
    """Return a connected socket.

    :param prepare: called with the socket before it connects.
    :raises OSError: the address cannot be reached.
    """
    sock = socket.socket(_family(address))
    try:
        sock.setblocking(False)
        tcp.apply(sock)
        if prepare is not None:
            prepare(sock)
        if isinstance(address, str):
            sock.connect(address)  # immediately, or EAGAIN because the backlog is full
        else:
            await asyncio.get_running_loop().sock_connect(sock, address)
    except OSError as error:
        sock.close()
        if isinstance(error, TimeoutError) or error.errno is None:
            raise
        # Event loops include the address in the text.
        raise OSError(error.errno, os.strerror(error.errno)) from None
    except BaseException:
        sock.close()
        raise
    return sock


def _family(address: Address) -> socket.AddressFamily:
    if isinstance(address, str):
        return socket.AF_UNIX
    return socket.AF_INET6 if ":" in address[0] else socket.AF_INET


async def hand_over(sock: socket.socket, protocol: asyncio.Protocol) -> None:
    """Pass a connected socket to a protocol. If this is cancelled, the connection is closed.

    Cancelling the loop's own call would leave the descriptor in the socket, which closes it again when it may
    belong to another connection (uvloop issue 738).
    """
    loop = asyncio.get_running_loop()
    create = loop.create_connection
    if sock.family == socket.AF_UNIX:
        create = loop.create_unix_connection  # type: ignore[assignment]
    making = asyncio.ensure_future(create(lambda: protocol, sock=sock))
    try:
        await asyncio.shield(making)
    except asyncio.CancelledError:
        making.add_done_callback(_drop)
        raise


def _drop(made: asyncio.Future[tuple[asyncio.Transport, Any]]) -> None:
    if not made.cancelled() and made.exception() is None:
        made.result()[0].abort()
