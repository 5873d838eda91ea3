"""The listening sockets of all servers: opened, or taken over, before any worker begins.

The supervisor keeps them for as long as it lives, so that connections wait in them while a worker
is replaced.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from socket import socket

from pingap.config import Address, Config, TcpAddress
from pingap.process.sockets import BindError, listen, needs_v6_only


@dataclass(frozen=True, slots=True, eq=False)
class Listening:
    """A listening socket.

    :param server: name of the server whose it is.
    :param address: as it is configured.
    :param worker: which worker accepts from it; None for every one that serves the server.
    :param is_shared: several workers accept from it.
    """

    server: str
    address: str
    sock: socket
    worker: int | None = None
    is_shared: bool = False

    @property
    def text(self) -> str:
        """What it is really bound to."""
        name = self.sock.getsockname()
        if isinstance(name, str):
            return f"unix:{name}"
        return str(TcpAddress(name[0], name[1]))


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def workers_of(config: Config, server: str, threads: int | None = None) -> int:
    """Return how many workers serve a server (``servers.*.threads``, ``basic.threads``).

    :param threads: what ``--threads`` says, which counts instead of ``basic.threads``.
    """
    own = config.servers[server].threads
    general = config.basic.threads if threads is None else threads
    return (general if own is None else own) or cores()


def workers_in_all(config: Config, threads: int | None = None) -> int:
    """Return how many workers there are: as many as the server with the most has."""
    general = config.basic.threads if threads is None else threads
    every = [workers_of(config, name, threads) for name in config.servers]
    return max(every, default=general or cores())


class Inherited:
    """Listening sockets that are there already: of the process before this one, or of systemd.

    :param sockets: pairs of an address, as it is configured or bound, and a socket.
    """

    def __init__(self, sockets: Iterable[tuple[str, socket]] = ()) -> None:
        self._sockets: dict[str, list[socket]] = {}
        for address, sock in sockets:
            self._sockets.setdefault(address, []).append(sock)

    def take(self, address: Address) -> socket | None:
        """Return a socket for an address, once."""
        found = self._sockets.get(str(address))
        return found.pop(0) if found else None

    def take_all(self, address: Address) -> list[socket]:
        """Return every socket for an address: it has several if each worker had its own."""
        found = []
        while (sock := self.take(address)) is not None:
            found.append(sock)
        return found

    def close_rest(self) -> list[str]:
        """Close what nobody took; return the addresses."""
        rest = [address for address, found in self._sockets.items() if found]
        for found in self._sockets.values():
            for sock in found:
                sock.close()
        self._sockets.clear()
        return rest


def open_all(
    config: Config, threads: int | None = None, inherited: Inherited | None = None
) -> list[Listening]:
    """Return the listening sockets of all servers, taking over those that are there.

    With ``reuse_port`` every worker has a socket of its own, else they share one.

    :raises BindError: an address cannot be listened on; then none is.
    """
    inherited = inherited or Inherited()
    opened: list[Listening] = []
    try:
        for one in _wanted(config, threads, inherited):
            opened.append(one)  # noqa: PERF402 - what was opened is closed if the next one fails
    except BindError:
        for one in opened:
            one.sock.close()
        raise
    return opened


def _wanted(config: Config, threads: int | None, inherited: Inherited) -> Iterator[Listening]:
    every = [address for settings in config.servers.values() for address in settings.addresses]
    for name, settings in config.servers.items():
        workers = workers_of(config, name, threads)
        for address in settings.addresses:
            open_one = partial(
                listen,
                reuse_port=settings.reuse_port,
                fastopen=settings.tcp_fastopen,
                backlog=settings.backlog,
                v6_only=needs_v6_only(address, every),
            )
            taken = inherited.take_all(address)
            own = settings.reuse_port and isinstance(address, TcpAddress) and workers > 1
            if not own or len(taken) == 1:
                # One for all; if there were more, connections may be waiting in each of them.
                for sock in taken or [open_one(address)]:
                    yield Listening(name, str(address), sock, None, workers > 1)
                continue
            bound = address
            for place in range(max(workers, len(taken))):
                sock = taken[place] if place < len(taken) else open_one(bound)
                yield Listening(name, str(address), sock, place % workers)
                if isinstance(address, TcpAddress):  # the others share a port that was chosen
                    bound = TcpAddress(address.host, sock.getsockname()[1])


def of_worker(
    sockets: Iterable[Listening], worker: int, counts: Mapping[str, int]
) -> list[Listening]:
    """Return those that a worker accepts from.

    :param counts: how many workers serve each server; the first ones do.
    """
    return [one for one in sockets if worker < counts[one.server] and one.worker in (None, worker)]
