"""Accepts from one listening socket, until a reload or the end of the worker closes it."""

from __future__ import annotations

import asyncio

import anyio.lowlevel

from pingap.worker.acceptor import SharedAcceptor, accept_waiting
from pingap.worker.front import Front
from pingap.worker.listening import Listening

Place = tuple[str, str]
"""The name of a server, and one of its addresses as configured."""


class Door:
    """One listening socket and the server behind it, which a reload may change.

    :param listening: belongs to the door from now on.
    :param front: makes the protocol of each connection.
    """

    def __init__(self, listening: Listening, place: Place, front: Front) -> None:
        self.listening = listening
        self.place = place
        self.front = front
        self._server: asyncio.Server | SharedAcceptor | None = None

    def __call__(self) -> asyncio.Protocol:
        """Return the protocol of an accepted connection."""
        return self.front()

    async def open(self, backlog: int) -> None:
        """Begin to accept."""
        # A copy, because closing a server closes its socket, in which connections may be waiting.
        sock = self.listening.sock.dup()
        sock.setblocking(False)
        if self.listening.is_shared:
            self._server = SharedAcceptor(sock, self)
        else:
            # Also for Unix sockets: unlike asyncio's own method, this does not remove their file at the end.
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(self, sock=sock, backlog=backlog)

    async def close(self, *, waiting: bool = False) -> None:
        """Stop accepting; return when the accepted connections have begun.

        Until then they are not counted: a draining worker would end without serving them.

        :param waiting: also accept those that wait in the socket, because no other worker will.
        """
        server, self._server = self._server, None
        if server is not None:
            server.close()
            await anyio.lowlevel.checkpoint()  # the loop's own servers start them in its next turn
            if isinstance(server, SharedAcceptor):
                await server.begun()
            if waiting:
                await accept_waiting(self.listening.sock, self)
        self.listening.sock.close()
