"""The listening sockets of all servers: opened, or taken over, before any worker starts.

The supervisor keeps them open for its whole life, so that connections wait in them while a worker is
replaced.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from socket import SO_REUSEPORT, SOL_SOCKET, socket
from typing import ClassVar

from pingap.config import Address, Config, ConfigError, Problem, TcpAddress
from pingap.host.sockets import BindError, listen, needs_v6_only


class ListenError(Exception):
    """Some addresses cannot be listened on; the message has a line for each.

    :param problems: with their places in the configuration.
    """

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(str(ConfigError(problems)))
        self.problems = problems


_numbers = count(1)


@dataclass(frozen=True, slots=True, eq=False)
class Listening:
    """A listening socket.

    :param server: name of its server.
    :param address: as configured.
    :param worker: the worker that accepts from it; None for every worker that serves the server.
    :param is_shared: several workers accept from it.
    :param is_lent: systemd holds it open as well.
    :param number: identifies the socket, even if it moves to another server.
    :param file: device and inode of a Unix socket.
    """

    server: str
    address: str
    sock: socket
    worker: int | None = None
    is_shared: bool = False
    is_lent: bool = False
    number: int = field(default_factory=_numbers.__next__)
    file: tuple[int, int] | None = None

    def remove_file(self) -> None:
        """Remove the file of a Unix socket, if it still belongs to this socket."""
        if self.file is not None and not self.is_lent:
            with suppress(OSError):
                path = Path(self.sock.getsockname())
                if _file_of(path) == self.file:
                    path.unlink()

    @property
    def text(self) -> str:
        """The address that it is actually bound to."""
        name = self.sock.getsockname()
        if isinstance(name, str):
            return f"unix:{name}"
        return str(TcpAddress(name[0], name[1]))


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def workers_of(
    config: Config, server: str, threads: int | None = None, most: int | None = None
) -> int:
    """Return the number of workers that serve a server (``servers.*.threads``, ``basic.threads``).

    :param threads: the value of ``--threads``, which overrides ``basic.threads``.
    :param most: the number of workers.
    """
    own = config.servers[server].threads
    general = config.basic.threads if threads is None else threads
    wanted = (general if own is None else own) or cores()
    return wanted if most is None else min(wanted, most)


def workers_in_all(config: Config, threads: int | None = None) -> int:
    """Return the number of workers: the maximum over all servers."""
    general = config.basic.threads if threads is None else threads
    every = [workers_of(config, name, threads) for name in config.servers]
    return max(every, default=general or cores())


class Inherited:
    """Existing listening sockets: of the previous process, or of systemd.

    :param sockets: pairs of an address, as configured or as bound, and a socket.
    """

    lends: ClassVar = False
    """The sockets stay open in another process."""

    def __init__(self, sockets: Iterable[tuple[str, socket]] = ()) -> None:
        self._sockets: dict[str, list[socket]] = {}
        for address, sock in sockets:
            self._sockets.setdefault(address, []).append(sock)

    def take(self, address: Address) -> socket | None:
        """Return a socket for an address, once."""
        found = self._sockets.get(str(address))
        return found.pop(0) if found else None

    def take_all(self, address: Address, server: str) -> list[socket]:
        """Return every socket for an address; there are several if each worker had its own.

        :param server: the server that will use them.
        """
        found = []
        while (sock := self.take(address)) is not None:
            found.append(sock)
        return found

    def close_rest(self) -> list[str]:
        """Close the sockets that were not taken; return their addresses."""
        rest = [address for address, found in self._sockets.items() if found]
        for found in self._sockets.values():
            for sock in found:
                sock.close()
        self._sockets.clear()
        return rest


def open_all(
    config: Config,
    threads: int | None = None,
    inherited: Inherited | None = None,
    *,
    most: int | None = None,
    open_one: Callable[..., socket] = listen,
) -> list[Listening]:
    """Return the listening sockets of all servers, taking over existing ones.

    With ``reuse_port``, every worker has its own socket; otherwise they share one.

    :param most: the number of workers, if they have already been started.
    :param open_one: called like ``listen``.
    :raises ListenError: addresses cannot be listened on; all sockets opened here are then closed.
    """
    opening = _Opening(config, threads, inherited or Inherited(), most, open_one)
    found = [
        one
        for name, settings in config.servers.items()
        for address in settings.addresses
        for one in opening.of_address(name, address)
    ]
    if opening.problems:
        for sock in opening.opened:
            sock.close()
        raise ListenError(opening.problems)
    return found


class _Opening:
    def __init__(
        self,
        config: Config,
        threads: int | None,
        inherited: Inherited,
        most: int | None,
        open_one: Callable[..., socket],
    ) -> None:
        self._config = config
        self._threads = threads
        self._inherited = inherited
        self._most = most
        self._open_one = open_one
        self._every = [one for settings in config.servers.values() for one in settings.addresses]
        self.opened: list[socket] = []
        self.problems: list[Problem] = []

    def of_address(self, name: str, address: Address) -> list[Listening]:
        try:
            return list(self._wanted(name, address))
        except BindError as error:
            path = ("servers", name, "addr")
            self.problems.append(self._config.source.problem(path, str(error)))
            return []

    def _wanted(self, name: str, address: Address) -> Iterator[Listening]:
        settings = self._config.servers[name]
        workers = workers_of(self._config, name, self._threads, self._most)
        taken = self._inherited.take_all(address, name)
        make = partial(Listening, name, str(address), is_lent=bool(taken) and self._inherited.lends)
        own = settings.reuse_port and isinstance(address, TcpAddress) and workers > 1
        if not own or (len(taken) == 1 and self._inherited.lends):
            # Without reuse_port all workers share one; if there were several, connections may wait in each.
            for sock in taken or [self._open(name, address)]:
                yield make(sock, None, workers > 1, file=_file_of_socket(sock))
            return
        bound = address
        for sock in taken:  # it may have been the only one
            sock.setsockopt(SOL_SOCKET, SO_REUSEPORT, 1)
        for place in range(max(workers, len(taken))):
            sock = taken[place] if place < len(taken) else self._open(name, bound)
            yield make(sock, place % workers)
            if isinstance(address, TcpAddress):  # the others use the port that was chosen
                bound = TcpAddress(address.host, sock.getsockname()[1])

    def _open(self, name: str, address: Address) -> socket:
        settings = self._config.servers[name]
        sock = self._open_one(
            address,
            reuse_port=settings.reuse_port,
            fastopen=settings.tcp_fastopen,
            backlog=settings.backlog,
            v6_only=needs_v6_only(address, self._every),
        )
        self.opened.append(sock)
        return sock


def _file_of_socket(sock: socket) -> tuple[int, int] | None:
    name = sock.getsockname()
    return _file_of(Path(name)) if isinstance(name, str) and name else None


def _file_of(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISSOCK(found.st_mode) else None


def of_worker(
    sockets: Iterable[Listening], worker: int, counts: Mapping[str, int]
) -> list[Listening]:
    """Return the sockets that a worker accepts from.

    :param counts: the number of workers that serve each server; the first ones do.
    """
    return [one for one in sockets if worker < counts[one.server] and one.worker in (None, worker)]
