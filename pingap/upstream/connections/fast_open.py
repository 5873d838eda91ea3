"""TCP Fast Open towards upstreams (RFC 7413): the first bytes leave with the SYN.

Linux does most of it (``TCP_FASTOPEN_CONNECT``). Where it has a cookie of the peer's host, ``connect``
returns at once and the first write makes the connection; where it has none, it connects as usual
and asks for one. Two things are different then, and they decide who may use it:

- The network may bring a SYN twice, and the peer may take both for requests (RFC 7413, 2.1). So what is
  sent has to do no harm if it is done twice: the beginning of TLS or of HTTP/2, or a request that may
  be repeated. Other requests are sent on connections that are made as usual.
- That there is no connection is known only after the first bytes were sent. The system tells whether
  the peer has ever answered the SYN (``has_connected``). If not, this is the failure of a connect as any
  other. It may be the answer that was lost, and the bytes were taken; but they do no harm twice.
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
"""Of Linux; the socket module has no name for it."""
_BYTES_ACKED: Final = 120
"""Where ``struct tcp_info`` counts what the peer has acknowledged; the SYN is the first."""


def is_possible() -> bool:
    """Tell whether this system does it for clients (Linux, bit 1 of net.ipv4.tcp_fastopen)."""
    if sys.platform != "linux":
        return False
    with socket.socket() as probe, suppress(OSError):
        probe.setsockopt(socket.IPPROTO_TCP, _TCP_FASTOPEN_CONNECT, 1)
        return True
    return False


def has_connected(sock: socket.socket | None) -> bool:
    """Tell whether the peer has answered the SYN at any time, also if it is gone by now.

    :param sock: one that cannot be asked any more has.
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
    """Give a connection to a protocol; perhaps it is made only when that has written something.

    :param until: when the peer has to have answered the SYN (``time.monotonic``); infinity: any time.
    :param late: called if it has not.
    :raises OSError: it cannot be reached, and that is known already.
    """
    sock = await dial.connected(address, tcp, _allow)
    if until < math.inf and not has_connected(sock):
        loop = asyncio.get_running_loop()
        loop.call_later(until - time.monotonic(), _look_at, sock, late)
    await dial.hand_over(sock, protocol)


def _allow(sock: socket.socket) -> None:
    with suppress(OSError):  # forbidden by now: it connects as usual
        sock.setsockopt(socket.IPPROTO_TCP, _TCP_FASTOPEN_CONNECT, 1)


def _look_at(sock: socket.socket, late: Callable[[], None]) -> None:
    if not has_connected(sock):
        late()
