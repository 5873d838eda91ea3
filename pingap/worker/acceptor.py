"""Accepts from a socket that several workers share, so that the load is divided between them.

The server of an event loop accepts all waiting connections, so the first worker to wake up gets them all.
This one accepts one connection in each turn of the loop: a less busy worker has more turns and accepts more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from socket import socket
from typing import Final

log = logging.getLogger("pingap")

PAUSE_SECONDS: Final = 1.0
"""How long accepting pauses after the system had no resources for another connection."""
MOST_WAITING: Final = 65536
"""Connections accepted when a listening socket is closed; its queue is no longer than ``backlog``."""


class SharedAcceptor:
    """Accepts from one listening socket.

    :param sock: a listening, non-blocking socket; closed with the acceptor.
    :param factory: makes the protocol of each connection.
    """

    def __init__(self, sock: socket, factory: Callable[[], asyncio.Protocol]) -> None:
        self._sock = sock
        self._factory = factory
        self._loop = asyncio.get_running_loop()
        self._beginning: set[asyncio.Task[object]] = set()
        self._closed = False
        self._listen()

    def close(self) -> None:
        """Accept nothing more."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._sock)
            self._sock.close()

    async def begun(self) -> None:
        """Return when every connection accepted so far has begun or is closed."""
        if self._beginning:
            await asyncio.wait(self._beginning)

    def _listen(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._sock, self._accept)

    def _accept(self) -> None:
        try:
            connection, _ = self._sock.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another worker was faster, or the client disconnected
        except OSError as error:
            log.error("cannot accept connections for %g s: %s", PAUSE_SECONDS, error.strerror)  # noqa: TRY400
            self._loop.remove_reader(self._sock)
            self._loop.call_later(PAUSE_SECONDS, self._listen)
            return
        connection.setblocking(False)
        task = self._loop.create_task(self._begin(connection))
        self._beginning.add(task)
        task.add_done_callback(self._beginning.discard)

    async def _begin(self, connection: socket) -> None:
        await _begin(self._factory, connection)


async def accept_waiting(sock: socket, factory: Callable[[], asyncio.Protocol]) -> None:
    """Accept the connections that are waiting in a listening socket; return when they have begun.

    :param sock: must be non-blocking.
    """
    for _ in range(MOST_WAITING):
        try:
            connection, _ = sock.accept()
        except OSError:  # no more connections, or no file descriptors left
            return
        connection.setblocking(False)
        await _begin(factory, connection)


async def _begin(factory: Callable[[], asyncio.Protocol], connection: socket) -> None:
    try:
        await asyncio.get_running_loop().connect_accepted_socket(factory, connection)
    except OSError:  # already closed
        connection.close()
