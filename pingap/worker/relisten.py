"""The listening sockets of the next configuration: existing ones are taken over, the others are opened."""

from __future__ import annotations

import errno
import os
import socket as sockets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from ipaddress import ip_address
from socket import IPPROTO_TCP, SO_REUSEPORT, SOL_SOCKET, TCP_FASTOPEN, socket
from typing import Any

from pingap.config import Address, Config, TcpAddress, UnixAddress
from pingap.host.sockets import BindError, listen
from pingap.worker.listening import Inherited, Listening, open_all


@dataclass(frozen=True, slots=True)
class Relisting:
    """The effect of a reload on the listening sockets; nothing is closed yet.

    :param sockets: of the next configuration.
    :param opened: those of them that are new.
    :param removed: those that are no longer needed.
    """

    sockets: list[Listening]
    opened: list[Listening]
    removed: list[Listening]

    def discard(self) -> None:
        """Close the opened sockets: the reload fails."""
        for one in self.opened:
            one.remove_file()
            one.sock.close()

    def take_effect(self, config: Config) -> None:
        """Apply changed settings to sockets that were taken over, where possible."""
        new = {one.number for one in self.opened}
        for one in self.sockets:
            if one.number not in new:
                settings = config.servers[one.server]
                one.sock.listen(settings.backlog)
                if ":" in one.address and not one.address.startswith("unix:"):
                    length = settings.tcp_fastopen or 0
                    one.sock.setsockopt(IPPROTO_TCP, TCP_FASTOPEN, length)


class _Serving(Inherited):
    """The current sockets, found by their configured address or by the address they are bound to."""

    def __init__(self, current: Iterable[Listening]) -> None:
        super().__init__()
        self.rest = list(current)

    def take_all(self, address: Address, server: str) -> list[socket]:
        """Return every socket for an address; if it has any free port, those of the same server."""
        if isinstance(address, UnixAddress) or address.port:
            return super().take_all(address, server)
        found = [one for one in self.rest if (one.server, one.address) == (server, str(address))]
        self.rest = [one for one in self.rest if one not in found]
        return [one.sock for one in found]

    def take(self, address: Address) -> socket | None:
        """Return a socket for an address, once."""
        if (found := self._find(address)) is None:
            return None
        self.rest.remove(found)
        return found.sock

    def _find(self, address: Address) -> Listening | None:
        for one in self.rest:
            if one.address == str(address):
                return one
        places = set(resolved(address))
        return next((one for one in self.rest if bound(one.sock) in places), None)


def relisten(
    config: Config, threads: int | None, current: list[Listening], *, most: int
) -> Relisting:
    """Open the addresses of the next configuration that are not open yet.

    :param current: all listening sockets; they are unchanged if this fails.
    :param most: the number of workers.
    :raises ListenError: an address cannot be listened on.
    """
    serving = _Serving(current)
    wanted = {str(one) for settings in config.servers.values() for one in settings.addresses}
    leaving = [one for one in current if one.address not in wanted]

    def open_one(address: Address, **options: Any) -> socket:
        try:
            return listen(address, **options)
        except BindError as error:
            if error.number != errno.EADDRINUSE or not isinstance(address, TcpAddress):
                raise
            with _sharing(address.port, leaving):
                sock = listen(address, **{**options, "reuse_port": True})
            sock.setsockopt(SOL_SOCKET, SO_REUSEPORT, int(options["reuse_port"]))
            return sock

    found = open_all(config, threads, serving, most=most, open_one=open_one)
    known = {one.sock: one for one in current}
    sockets = [
        replace(one, number=old.number, is_lent=old.is_lent, file=old.file)
        if (old := known.get(one.sock)) is not None
        else one
        for one in found
    ]
    opened = [one for one in sockets if one.sock not in known]
    return Relisting(sockets, opened, serving.rest)


@contextmanager
def _sharing(port: int, leaving: list[Listening]) -> Iterator[None]:
    """Allow another socket on the port of sockets that will be closed, such as 0.0.0.0 beside 127.0.0.1."""
    same = [
        one.sock
        for one in leaving
        if isinstance(place := bound(one.sock), TcpAddress) and place.port == port
    ]
    before = [sock.getsockopt(SOL_SOCKET, SO_REUSEPORT) for sock in same]
    for sock in same:
        sock.setsockopt(SOL_SOCKET, SO_REUSEPORT, 1)
    try:
        yield
    finally:
        for sock, value in zip(same, before, strict=True):
            sock.setsockopt(SOL_SOCKET, SO_REUSEPORT, value)


def bound(sock: socket) -> Address:
    """Return the address that a socket is bound to."""
    name = sock.getsockname()
    if sock.family == sockets.AF_UNIX:
        return UnixAddress(os.fsdecode(name))
    return TcpAddress(str(ip_address(name[0])), name[1])


def resolved(address: Address) -> Iterator[Address]:
    """Yield the bound addresses that a socket for the address may have; a name can have several."""
    if isinstance(address, UnixAddress):
        yield address
    elif address.port:  # any free port matches none of these
        kind = sockets.SOCK_STREAM
        with suppress(OSError):  # an unknown host is reported when it is bound
            for *_, place in sockets.getaddrinfo(address.host, address.port, type=kind):
                yield TcpAddress(str(ip_address(place[0])), address.port)
