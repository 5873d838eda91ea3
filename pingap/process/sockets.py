"""Listening sockets: bound before anything is served, so that a failure to bind is told at once."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from pingap.config import Address, TcpAddress, UnixAddress

_UNIX_MODE: Final = 0o660


class BindError(Exception):
    """An address cannot be listened on; the message names it and says why."""


def listen(
    address: Address,
    *,
    reuse_port: bool = False,
    fastopen: int | None = None,
    v6_only: bool = False,
    backlog: int = 4096,
) -> socket.socket:
    """Return a listening socket.

    :param fastopen: length of the TCP Fast Open queue.
    :param v6_only: for an IPv6 address: leave IPv4 to another socket.
    :param backlog: connections that may wait to be accepted.
    :raises BindError: the address is in use, not ours, or not permitted.
    """
    try:
        if isinstance(address, UnixAddress):
            return _listen_unix(address.path, backlog)
        return _listen_tcp(address, backlog, reuse_port, fastopen, v6_only)
    except OSError as error:
        hint = {
            errno.EACCES: " (ports below 1024 need privileges)",
            errno.EADDRINUSE: " (is another server running?)",
        }.get(error.errno or 0, "")
        raise BindError(f"cannot listen on {address}: {error.strerror or error}{hint}") from None


def needs_v6_only(address: Address, others: Iterable[Address]) -> bool:
    """Tell whether an IPv6 wildcard shares its port with an IPv4 address."""
    return isinstance(address, TcpAddress) and any(
        isinstance(other, TcpAddress) and ":" not in other.host and other.port == address.port
        for other in others
    )


def _listen_tcp(
    address: TcpAddress, backlog: int, reuse_port: bool, fastopen: int | None, v6_only: bool
) -> socket.socket:
    family, kind, proto, _, endpoint = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, proto)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(v6_only))
        if fastopen and hasattr(socket, "TCP_FASTOPEN"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, fastopen)
        sock.bind(endpoint)
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def _listen_unix(path: str, backlog: int) -> socket.socket:
    remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(path)
        Path(path).chmod(_UNIX_MODE)
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def remove_stale(path: str) -> None:
    """Remove the socket of a process that is gone; leave one that answers, and other files.

    :raises OSError: such a one is there.
    """
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.stat(path).st_mode):  # noqa: PTH116
            raise OSError(errno.EEXIST, "a file that is no socket has this name")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                Path(path).unlink()
            else:
                raise OSError(errno.EADDRINUSE, "Address already in use")
