"""TCP Fast Open towards upstreams (RFC 7413): the first bytes are sent with the SYN.

Linux does most of the work (``TCP_FASTOPEN_CONNECT``). If it has a cookie of the peer's host, ``connect``
returns immediately and the first write makes the connection; otherwise it connects as usual and requests a
cookie. Two differences decide when it can be used:

- The network may deliver a SYN twice, and the peer may treat both as requests (RFC 7413, 2.1). So the data
  must be harmless if received twice: the beginning of TLS or of HTTP/2, or a request that may be repeated.
  Other requests are sent on connections that are made as usual.
- A failure to connect is only noticed after the first bytes were sent. The system knows whether the peer has
  ever answered the SYN (``has_connected``). If not, it is treated like any other connect failure. Possibly
  only the answer was lost and the bytes were accepted, but receiving them twice is harmless.
"""

from __future__ import annotations

import asyncio
import math
import socket
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from pingap.upstream.connections import dial
from pingap.wire.tcp import TcpOptions

_TCP_FASTOPEN_CONNECT: Final = 30
"""The Linux option; the socket module has no name for it."""
_BYTES_ACKED: Final = 120
"""Offset in ``struct tcp_info`` of the count of bytes acknowledged by the peer; the SYN is the first."""


def is_possible() -> bool:
    """Return whether this system supports it for clients (Linux, bit 1 of net.ipv4.tcp_fastopen)."""
    if sys.platform != "linux":
        return False
    with socket.socket() as probe, suppress(OSError):
        probe.setsockopt(socket.IPPROTO_TCP, _TCP_FASTOPEN_CONNECT, 1)
        return True
    return False


def has_connected(sock: socket.socket | None) -> bool:
    """Return whether the peer has ever answered the SYN, even if it is gone by now.

    :param sock: if it can no longer be queried, it has.
    """
    if sock is None:
        return True
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED + 8)
        return bool(struct.unpack_from("=Q", info, _BYTES_ACKED)[0])
    except (OSError, struct.error):
        return True


async def connect(
    protocol: asyncio.Protocol,
    address: tuple[str, int],
    tcp: TcpOptions,
    until: float,
    late: Callable[[], None],
) -> None:
    """Pass a connection to a protocol; it may be made only when the protocol writes something.

    :param until: when the peer must have answered the SYN (``time.monotonic``); infinity: any time.
    :param late: called if it has not.
    :raises OSError: it cannot be reached, if that is already known.
    """
    sock = await dial.connected(address, tcp, _allow)
    if until < math.inf and not has_connected(sock):
        loop = asyncio.get_running_loop()
        loop.call_later(until - time.monotonic(), _look_at, sock, late)
    await dial.hand_over(sock, protocol)


def _allow(sock: socket.socket) -> None:
    with suppress(OSError):  # disabled by now: it connects as usual
        sock.setsockopt(socket.IPPROTO_TCP, _TCP_FASTOPEN_CONNECT, 1)


def _look_at(sock: socket.socket, late: Callable[[], None]) -> None:
    if not has_connected(sock):
        late()
