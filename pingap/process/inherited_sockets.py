"""Listening sockets that this process did not open: socket activation (sd_listen_fds(3))."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import ip_address
from typing import Final

from pingap.config import Address, UnixAddress

_FIRST: Final = 3
_MOST: Final = 1024
_VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")

_Key = tuple[str, int]  # host or path, port


class InheritedSockets:
    """Sockets to be matched with the addresses of the configuration.

    :param sockets: each with a name for messages, or without.
    """

    def __init__(self, sockets: Iterable[tuple[str, socket.socket]] = ()) -> None:
        self._sockets = [(name, sock, _key(sock)) for name, sock in sockets]
        self.warnings: list[str] = []
        """What was inherited and is of no use."""

    @classmethod
    def from_environment(cls) -> InheritedSockets:
        """Take what systemd passed, and remove the variables, so that no child takes it for its own.

        To be called once and early: the numbers of the files are fixed, and the variables are meant for
        the process id that the process has before it forks into the background.
        """
        pid, count, names = (os.environ.pop(name, "") for name in _VARIABLES)
        if pid != str(os.getpid()) or not count.isdecimal():
            return cls()
        found, warnings = [], []
        labels = names.split(":") if names else []
        for index in range(min(int(count), _MOST)):
            name = labels[index] if index < len(labels) else ""
            try:
                found.append((name, _adopt(_FIRST + index)))
            except ValueError as error:
                warnings.append(f"inherited {_label(name, f'file {_FIRST + index}')}: {error}")
        inherited = cls(found)
        inherited.warnings = warnings
        return inherited

    def __len__(self) -> int:
        return len(self._sockets)

    def take(self, address: Address) -> socket.socket | None:
        """Return the socket that listens on an address, once; ``None`` if none does.

        ``ListenStream=80`` of systemd is ``[::]:80`` for both families; it serves ``0.0.0.0:80``, too, if
        no other socket does.
        """
        wanted = _keys(address)
        for suits in (_is_same, _serves_both):
            for entry in self._sockets:
                if suits(entry[1], entry[2], wanted):
                    self._sockets.remove(entry)
                    return entry[1]
        return None

    def close(self) -> list[str]:
        """Close what no server took; return a warning for each."""
        warnings = []
        for name, sock, key in self._sockets:
            place = _label(name, _text(key))
            warnings.append(f"inherited {place}: no server has this address; it is closed")
            sock.close()
        self._sockets.clear()
        return warnings


def _adopt(fd: int) -> socket.socket:
    """Make a socket object of a file that was inherited.

    :raises ValueError: it is no listening stream socket; then it is closed.
    """
    try:
        os.set_inheritable(fd, False)
        sock = socket.socket(fileno=fd)
    except OSError:
        with suppress(OSError):
            os.close(fd)
        raise ValueError("this is not a socket") from None
    families = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
    if sock.type != socket.SOCK_STREAM or sock.family not in families:
        sock.close()
        raise ValueError("this is not a stream socket, as ListenStream= makes")
    if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        sock.close()
        raise ValueError("this socket does not listen (Accept=no is needed)")
    sock.setblocking(False)
    return sock


def _key(sock: socket.socket) -> _Key:
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return (os.fsdecode(name), -1)
    return (str(ip_address(name[0])), name[1])


def _keys(address: Address) -> list[_Key]:
    """Return what a socket that was bound to the address may be called; a name has many hosts."""
    if isinstance(address, UnixAddress):
        return [(address.path, -1)]
    if not address.port:
        return []
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError:  # told when it is bound
        return []
    return [(str(ip_address(one[4][0])), address.port) for one in found]


def _is_same(sock: socket.socket, key: _Key, wanted: list[_Key]) -> bool:
    return key in wanted


def _serves_both(sock: socket.socket, key: _Key, wanted: list[_Key]) -> bool:
    return (
        key[0] == "::"
        and ("0.0.0.0", key[1]) in wanted  # noqa: S104 - compared, not bound
        and not sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    )


def _label(name: str, place: str) -> str:
    return f"{place} ({name})" if name else place


def _text(key: _Key) -> str:
    host, port = key
    if port < 0:
        return f"unix:{host}"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
