"""Addresses that do not accept, and a network of its own for a test.

In that network the system does TCP Fast Open on both sides.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1
_TCP_FASTOPEN_CONNECT = 30

CLIENTS, SERVERS, ALL_LISTENERS = 1, 2, 0x400
"""Bits of net.ipv4.tcp_fastopen."""


@contextmanager
def refusing_port() -> Iterator[int]:
    """Return a port that refuses connections: bound, not listening."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@contextmanager
def full_backlog() -> Iterator[socket.socket]:
    """Return a listener that answers no SYN: its backlog is full."""
    with socket.socket() as listener, ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with suppress(BlockingIOError):
                waiting.connect(listener.getsockname())
        yield listener


class Network:
    """The namespace that this thread is in, and threads and processes that it starts."""

    def allow(self, bits: int) -> None:
        """Set what of TCP Fast Open the system does."""
        Path("/proc/sys/net/ipv4/tcp_fastopen").write_text(str(bits))

    @property
    def accepted_with_data(self) -> int:
        """How many connections were accepted whose first packet had data that was taken."""
        names, values = Path("/proc/thread-self/net/netstat").read_text().splitlines()[:2]
        return int(dict(zip(names.split(), values.split(), strict=True))["TCPFastOpenPassive"])

    def remember(self, host: str) -> None:
        """Get the cookie of a host, which all its ports share."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, 0), family=family) as listener:
            for _ in range(2):
                with socket.socket(family) as client:
                    client.setsockopt(socket.IPPROTO_TCP, _TCP_FASTOPEN_CONNECT, 1)
                    client.connect(listener.getsockname())
                    try:
                        client.getpeername()
                    except OSError:
                        return  # it waits for data: there is a cookie
        raise AssertionError("the system got no cookie")


@contextmanager
def private_network() -> Iterator[Network]:
    """Enter a network that has only the loopback; skip the test where that cannot be done."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if libc.unshare(_CLONE_NEWNET):
            reason = os.strerror(ctypes.get_errno())
            pytest.skip(f"needs a network namespace, which takes the rights of root: {reason}")
        try:
            with socket.socket() as sock:
                fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))
            network = Network()
            network.allow(CLIENTS | SERVERS | ALL_LISTENERS)
            yield network
        finally:
            assert libc.setns(before, _CLONE_NEWNET) == 0
    finally:
        os.close(before)
