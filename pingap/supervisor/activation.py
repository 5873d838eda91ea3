"""Socket activation: listening sockets that systemd opened (sd_listen_fds(3))."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from pingap.config import Address, TcpAddress
from pingap.worker.listening import Inherited, Listening
from pingap.worker.relisten import bound, resolved

_FIRST: Final = 3
MOST: Final = 1024
"""Maximum number of sockets; more than any configuration has servers."""
_VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


class ActivatedSockets(Inherited):
    """Sockets that are matched with configured addresses by the address they are bound to.

    :param sockets: each with its ``FileDescriptorName``, or an empty text.
    :param warnings: warnings about passed files that are unusable.
    """

    lends = True

    def __init__(
        self, sockets: Iterable[tuple[str, socket.socket]] = (), warnings: Iterable[str] = ()
    ) -> None:
        named = [(name, str(bound(sock)), sock) for name, sock in sockets]
        super().__init__((place, sock) for _, place, sock in named)
        self._names = {place: name for name, place, _ in named}
        self.warnings = list(warnings)

    @classmethod
    def from_environment(cls) -> ActivatedSockets:
        """Take the sockets that systemd passed, and remove the variables, so that no child uses them.

        Must be called once and early: the file numbers are fixed, and the variables contain the process ID
        that the process has before it forks into the background.
        """
        pid, count, text = (os.environ.pop(name, "") for name in _VARIABLES)
        if pid != str(os.getpid()) or not count.isdecimal():
            return cls()
        names = text.split(":")
        found, warnings = [], []
        for index in range(min(int(count), MOST)):
            name = names[index] if index < len(names) else ""
            try:
                found.append((name, _adopt(_FIRST + index)))
            except ValueError as error:
                warnings.append(f"inherited {_labelled(f'file {_FIRST + index}', name)}: {error}")
        return cls(found, warnings)

    def take(self, address: Address) -> socket.socket | None:
        """Return the socket that listens on an address, once; ``None`` if none does.

        ``ListenStream=80`` of systemd is ``[::]:80`` for both families; it also serves ``0.0.0.0:80`` if no
        other socket does.
        """
        for one in resolved(address):
            if sock := super().take(one):
                return sock
        if isinstance(address, TcpAddress) and address.host == "0.0.0.0":  # noqa: S104
            both = TcpAddress("::", address.port)
            if any(_serves_both(sock) for sock in self._sockets.get(str(both), ())):
                return super().take(both)
        return None

    def close_rest(self) -> list[str]:
        """Close the sockets that no server uses; return their addresses, with systemd's names for them."""
        return [_labelled(place, self._names[place]) for place in super().close_rest()]

    def take_rest(self) -> list[Listening]:
        """Return the sockets that no server uses; a reload may add a server."""
        rest = [(place, sock) for place, found in self._sockets.items() for sock in found]
        self._sockets.clear()
        return [
            Listening(_labelled(place, self._names[place]), place, sock, is_lent=True)
            for place, sock in rest
        ]


def _adopt(fd: int) -> socket.socket:
    """Return a socket object for an inherited file.

    :raises ValueError: it is not a listening stream socket; it is then closed.
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


def _serves_both(sock: socket.socket) -> bool:
    return not sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)


def _labelled(place: str, name: str) -> str:
    return f"{place} ({name})" if name else place
