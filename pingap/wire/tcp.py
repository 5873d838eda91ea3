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
"""On macOS it is TCP_KEEPALIVE, for which the socket module has a name only there."""
MOST_REST: Final = 1024 * 1024
"""Maximum number of bytes that are still read from a lost connection to an upstream."""
_PIECE: Final = 64 * 1024
_SOON: Final = (5.0, 5.0, 3)
"""Idle time, interval (seconds) and count of probes for a client that has ended its side."""


_CLOSE: Final = 7
_CLOSE_WAIT: Final = 8
"""States of ``TCP_INFO`` (Linux, tcp_states.h)."""


def has_error(transport: asyncio.BaseTransport) -> bool:
    """Return whether the peer has reset the connection, without reading or writing."""
    sock = transport.get_extra_info("socket")
    return sock is not None and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0


def has_ended(transport: asyncio.BaseTransport) -> bool:
    """Return whether the peer has ended its side, even if received data is unread (Linux)."""
    return _state(transport) == _CLOSE_WAIT


def is_reset(transport: asyncio.BaseTransport) -> bool:
    """Return whether the connection is lost, without reading or writing (Linux)."""
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
    """Let the kernel detect by frequent keep-alive probes whether the peer is still there."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with suppress(OSError):  # already closed
            TcpOptions(*_SOON).apply(sock)


def unacknowledged(transport: asyncio.WriteTransport) -> int:
    """Return how many bytes the peer has not acknowledged: ours, and on Linux also the kernel's.

    The kernel may hold megabytes, and accepts more only after a third of them is gone. Without it, a slow
    peer that reads steadily would seem to accept nothing for a minute.
    """
    size = transport.get_write_buffer_size()
    sock = transport.get_extra_info("socket")
    if sock is not None and sys.platform == "linux":
        with suppress(OSError, ValueError):  # it is closed
            size += int.from_bytes(ioctl(sock.fileno(), TIOCOUTQ, bytes(4)), sys.byteorder)
    return size


def read_rest(transport: asyncio.BaseTransport, most: int) -> Iterator[bytes]:
    """Read data received before a connection was lost, in pieces; must be called in ``connection_lost``.

    A transport that cannot write closes at once, without reading the remaining data.

    :param most: approximate maximum number of bytes.
    """
    sock = transport.get_extra_info("socket")
    if sock is None:
        return
    size = 0
    with suppress(OSError):  # no more data
        while size < most and (data := os.read(sock.fileno(), _PIECE)):
            size += len(data)
            yield data


@dataclass(frozen=True, slots=True)
class TcpOptions:
    """Keep-alive probes and buffers. Durations in seconds, sizes in bytes; None leaves the default.

    Probes are only sent if idle, interval and count are all set, or if a user timeout is set (config.md 4).
    """

    idle: float | None = None
    interval: float | None = None
    probe_count: int | None = None
    user_timeout: float | None = None
    receive_buffer: int | None = None
    fast_open: bool = False
    """Whether to use TCP Fast Open where it is safe (``upstream.fast_open``)."""

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
