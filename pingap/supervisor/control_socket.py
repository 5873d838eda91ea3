"""The socket at which operators control this instance: one JSON line asks, one JSON line answers.

The file has the mode 0600, and only the same user and root are answered.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import anyio

from pingap.host.sockets import bind_unix
from pingap.supervisor.control_place import socket_name

log = logging.getLogger("pingap")

ASK_SECONDS: Final = 5.0
"""How long a client may take to send its request."""
ANSWER_SECONDS: Final = 5.0
"""How long a client may take to read the answer."""
PAUSE_SECONDS: Final = 1.0
"""How long no connection is accepted after the system has refused one."""
LONGEST_REQUEST: Final = 4096
MOST_CLIENTS: Final = 16
_MODE: Final = 0o600
_BACKLOG: Final = 16
_CREDENTIALS: Final = "3i"

Answer = Callable[[dict[str, Any], int], Awaitable[dict[str, Any]]]
"""Handles a request; gets the process ID of the client, 0 if unknown."""


class ControlSocket:
    """The listening socket, and the connections of clients.

    :param folders: the directories in which it may be; the first that can be used is taken.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        self.path: Path | None = None
        self._clients: set[socket.socket] = set()
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sock.setblocking(False)
        reasons = []
        for folder in folders:
            path = folder / socket_name(os.getpid())
            try:
                bind_unix(self._sock, str(path), _MODE, None)
                self._sock.listen(_BACKLOG)
            except OSError as error:  # also: the path is too long
                reasons.append(f"{folder}: {error.strerror or error}")
            else:
                self.path = path
                _remove_others(folder)
                return
        self._sock.close()
        log.warning("this instance cannot be controlled by commands (%s)", "; ".join(reasons))

    def close(self) -> None:
        """Close it and remove its file."""
        self._sock.close()
        if self.path is not None:
            with suppress(OSError):
                self.path.unlink()

    def forked(self) -> None:
        """Close the copies of a worker."""
        for one in (self._sock, *self._clients):
            one.close()

    async def serve(self, answer: Answer) -> None:
        """Answer requests until cancelled."""
        if self.path is None:
            return
        async with anyio.create_task_group() as tasks:
            while True:
                await anyio.wait_readable(self._sock)
                try:
                    client, _ = self._sock.accept()
                except (BlockingIOError, ConnectionError):
                    continue
                except (
                    OSError
                ) as error:  # too many open files: the instance goes on without commands
                    log.warning("a command cannot be accepted: %s", error.strerror)
                    await anyio.sleep(PAUSE_SECONDS)
                    continue
                client.setblocking(False)
                if len(self._clients) < MOST_CLIENTS:
                    self._clients.add(client)
                    tasks.start_soon(self._serve_one, client, answer)
                else:
                    client.close()

    async def _serve_one(self, client: socket.socket, answer: Answer) -> None:
        try:
            with client, suppress(OSError, TimeoutError):
                pid, uid = peer_of(client)
                request = await _receive(client)
                if uid not in (os.geteuid(), 0):
                    request, message = None, "this is the socket of another user"
                else:
                    message = "this is not a request"
                if request is None:
                    await _send(client, {"ok": False, "message": message})
                    return
                await _send(client, await answer(request, pid))
                if request.get("wait") == "end":
                    await anyio.sleep_forever()  # the connection ends with this process
        finally:
            self._clients.discard(client)


def peer_of(sock: socket.socket) -> tuple[int, int]:
    """Return process and user at the other end; where the system does not tell, 0 and this user."""
    if not hasattr(socket, "SO_PEERCRED"):  # then the mode of the file has to suffice
        return 0, os.geteuid()
    packed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize(_CREDENTIALS))
    pid, uid, _ = struct.unpack(_CREDENTIALS, packed)
    return pid, uid


async def _receive(client: socket.socket) -> dict[str, Any] | None:
    """Return a request; None if it is not one.

    :raises TimeoutError: it takes too long.
    """
    data = b""
    with anyio.fail_after(ASK_SECONDS):
        while b"\n" not in data:
            await anyio.wait_readable(client)
            received = client.recv(LONGEST_REQUEST)
            data += received
            if not received or len(data) > LONGEST_REQUEST:
                return None
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


async def _send(client: socket.socket, answer: dict[str, Any]) -> None:
    data = memoryview(json.dumps(answer).encode() + b"\n")
    with anyio.fail_after(ANSWER_SECONDS):
        while data:
            await anyio.wait_writable(client)
            data = data[client.send(data) :]


def _remove_others(folder: Path) -> None:
    """Remove the sockets of processes that were killed."""
    for path in folder.glob("pingap-*.sock"):
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(0)
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
