"""Options of TCP sockets, for listeners and upstream connections alike."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fcntl import ioctl
from termios import TIOCOUTQ
from typing import Final

_KEEP_IDLE: Final = 0x10 if sys.platform == "darwin" else socket.TCP_KEEPIDLE
"""macOS calls it TCP_KEEPALIVE, for which the socket module has a name only there."""
MOST_REST: Final = 1024 * 1024
"""Bytes that are still read from a connection to an upstream that was lost."""
_PIECE: Final = 64 * 1024
_SOON: Final = (5.0, 5.0, 3)
"""Idle time, interval (seconds) and number of the probes for a client that ended its side."""


_CLOSE: Final = 7
_CLOSE_WAIT: Final = 8
"""States of ``TCP_INFO`` (Linux, tcp_states.h)."""


def has_error(transport: asyncio.BaseTransport) -> bool:
    """Tell whether the peer has reset the connection, without reading or writing."""
    sock = transport.get_extra_info("socket")
    return sock is not None and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0


def has_ended(transport: asyncio.BaseTransport) -> bool:
    """Return whether the peer has ended its side, though what it sent was not read (Linux)."""
    return _state(transport) == _CLOSE_WAIT


def is_reset(transport: asyncio.BaseTransport) -> bool:
    """Return whether the connection is gone, though nothing was read or written (Linux)."""
    return _state(transport) == _CLOSE


def _state(transport: asyncio.BaseTransport) -> int:
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family == socket.AF_UNIX or not hasattr(socket, "TCP_INFO"):
        return 0
    try:
        return int(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0])
    except OSError:
        return 0


def send_probes(transport: asyncio.BaseTransport) -> None:
    """Let the kernel find out by keep-alive probes, soon and often, whether the peer is still there."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with suppress(OSError):  # it is gone
            TcpOptions(*_SOON).apply(sock)


def unacknowledged(transport: asyncio.WriteTransport) -> int:
    """Return how many bytes the peer has not acknowledged: ours, and on Linux also the kernel's.

    (The kernel may hold megabytes, and takes more only after a third of them is gone. A slow peer
    that reads steadily would seem to take nothing for a minute.)
    """
    size = transport.get_write_buffer_size()
    sock = transport.get_extra_info("socket")
    if sock is not None and sys.platform == "linux":
        with suppress(OSError, ValueError):  # it is closed
            size += int.from_bytes(ioctl(sock.fileno(), TIOCOUTQ, bytes(4)), sys.byteorder)
    return size


def read_rest(transport: asyncio.BaseTransport, most: int) -> Iterator[bytes]:
    """Read what came before a connection was lost, in pieces; to be called in ``connection_lost``.

    A transport that cannot write gives up at once, and never looks at what it has not read yet.

    :param most: bytes, about.
    """
    sock = transport.get_extra_info("socket")
    if sock is None:
        return
    size = 0
    with suppress(OSError):  # there is no more
        while size < most and (data := os.read(sock.fileno(), _PIECE)):
            size += len(data)
            yield data


@dataclass(frozen=True, slots=True)
class TcpOptions:
    """Keep-alive probes and buffers. Durations in seconds, sizes in bytes; None leaves the default.

    Probes are sent only if idle, interval and count are all set, or a user timeout is (config.md 4).
    """

    idle: float | None = None
    interval: float | None = None
    probe_count: int | None = None
    user_timeout: float | None = None
    receive_buffer: int | None = None
    fast_open: bool = False
    """Connect with TCP Fast Open, where that does no harm (``upstream.fast_open``)."""

    def apply(self, sock: socket.socket) -> None:
        """Set the options; does nothing on a Unix socket."""
        if sock.family not in (socket.AF_INET, socket.AF_INET6):
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
        if self.idle and self.interval and self.probe_count:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, _KEEP_IDLE, max(1, round(self.idle)))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, round(self.interval)))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, self.probe_count)
        if self.user_timeout and sys.platform == "linux":
            milliseconds = round(self.user_timeout * 1000)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
