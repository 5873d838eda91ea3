"""Listening sockets: bound before anything is served, so that errors are reported at once."""

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
from pingap.host.privileges import Account, as_user
from pingap.host.trusted_files import is_trusted_folder

_UNIX_MODE: Final = 0o660


class BindError(Exception):
    """An address cannot be listened on; the message names it and gives the reason.

    :param number: the error number of the system.
    """

    def __init__(self, message: str, number: int = 0) -> None:
        super().__init__(message)
        self.number = number


def listen(
    address: Address,
    *,
    reuse_port: bool = False,
    fastopen: int | None = None,
    v6_only: bool = False,
    backlog: int = 4096,
    account: Account | None = None,
) -> socket.socket:
    """Return a listening socket.

    :param fastopen: length of the TCP Fast Open queue.
    :param v6_only: for an IPv6 address: leave IPv4 to another socket.
    :param backlog: connections that may wait to be accepted.
    :param account: owner of the socket file, if root creates it.
    :raises BindError: the address is in use, not ours, or not permitted.
    """
    try:
        if isinstance(address, UnixAddress):
            return _listen_unix(address.path, backlog, account)
        return _listen_tcp(address, backlog, reuse_port, fastopen, v6_only, account)
    except OSError as error:
        text = f"cannot listen on {address}: {error.strerror or error}{_hint(address, error)}"
        raise BindError(text, error.errno or 0) from None


def _hint(address: Address, error: OSError) -> str:
    if isinstance(address, UnixAddress):
        folder = Path(address.path).parent
        return {
            errno.ENOENT: f" (there is no directory {folder})",
            errno.EACCES: f" (check the permissions of {folder})",
        }.get(error.errno or 0, "")
    return {
        errno.EACCES: " (ports below 1024 need root, which pingap no longer is once it serves, or"
        " CAP_NET_BIND_SERVICE)",
        errno.EADDRINUSE: " (is another server running?)",
        errno.EADDRNOTAVAIL: " (no interface of this machine has the address)",
    }.get(error.errno or 0, "")


def needs_v6_only(address: Address, others: Iterable[Address]) -> bool:
    """Return whether an IPv6 wildcard shares its port with an IPv4 address."""
    return isinstance(address, TcpAddress) and any(
        isinstance(other, TcpAddress) and ":" not in other.host and other.port == address.port
        for other in others
    )


def _listen_tcp(
    address: TcpAddress,
    backlog: int,
    reuse_port: bool,
    fastopen: int | None,
    v6_only: bool,
    account: Account | None,
) -> socket.socket:
    family, kind, proto, _, endpoint = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, proto)
    try:
        if account is not None and os.geteuid() == 0:
            # The kernel lets only sockets of one user share a port, including those of a later reload.
            os.fchown(sock.fileno(), account.uid, account.gid)
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


def _listen_unix(path: str, backlog: int, account: Account | None) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bind_unix(sock, path, _UNIX_MODE, account)
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def bind_unix(sock: socket.socket, path: str, mode: int, account: Account | None) -> None:
    """Bind a socket in the file system, owned by the account.

    :param mode: of the file.
    :raises OSError: it is not possible.
    """
    mask = os.umask(0o777 & ~mode)  # a later chmod could affect another file
    try:
        with as_user(account):
            try:
                remove_stale(path)
                sock.bind(path)
            except PermissionError:
                pass
            else:
                return
        if account is None or os.geteuid() != 0 or not is_trusted_folder(Path(path).parent):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        remove_stale(path)
        sock.bind(path)
        os.chown(path, account.uid, account.gid, follow_symlinks=False)
    finally:
        os.umask(mask)


def remove_stale(path: str) -> None:
    """Remove the socket of a process that has ended; keep a socket that is in use, and other files.

    :raises OSError: there is a socket in use or another file.
    """
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.stat(path).st_mode):  # noqa: PTH116
            raise OSError(errno.EEXIST, "a file with this name is not a socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                Path(path).unlink()
            else:
                raise OSError(errno.EADDRINUSE, "Address already in use")
