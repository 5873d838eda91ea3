"""Hot upgrade: a new process takes over the listening sockets of the one that serves.

The new process waits at a Unix socket (``basic.upgrade_sock``). On SIGQUIT, the old one connects to it
and sends the sockets. It exits only when the new one reports that it serves; if the new one fails at any
point, the old one continues unaffected.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import anyio

from pingap.host.privileges import Account, as_user
from pingap.host.sockets import bind_unix
from pingap.supervisor.private_folders import PlaceError
from pingap.supervisor.upgrade_place import place_to_wait, places_to_look
from pingap.worker.channel import MSG_CMSG_CLOEXEC
from pingap.worker.listening import Inherited, Listening

CONNECT_SECONDS: Final = 30.0
"""How long the old process looks for a new one."""
SERVE_SECONDS: Final = 120.0
"""How long the new process may take to serve, once it has the sockets."""
WAIT_SECONDS: Final = 120.0
"""How long the new process waits for the old one."""
PATIENCE_SECONDS: Final = 2.0
"""Time after which it logs that it is waiting."""
_RETRY_SECONDS: Final = 0.2
_MOST_SOCKETS: Final = 128
"""Files per message; the kernel allows 253."""
_LONGEST: Final = 64 * 1024
_READY: Final = b"ready"
_MODE: Final = 0o600


class HandOverError(Exception):
    """The sockets were not handed over; the message gives the reason."""


# The old process.


async def hand_over(
    sockets: Iterable[Listening], setting: str, has_failed: Callable[[], bool] = lambda: False
) -> None:
    """Send the sockets to the waiting process; return when it serves.

    :param setting: ``basic.upgrade_sock``.
    :param has_failed: returns whether that process has already ended.
    :raises HandOverError: there is none, it runs as another user, or it could not serve.
    """
    connection = await _connect(setting, has_failed)
    with connection:
        _check_owner(connection)
        every = list(sockets)
        try:
            await _send(connection, every)
            with anyio.fail_after(SERVE_SECONDS):
                answer = await _receive_word(connection)
        except TimeoutError:
            raise HandOverError(f"it did not serve within {SERVE_SECONDS:g} s") from None
        except OSError as error:
            raise HandOverError(f"it disconnected: {error.strerror}") from None
    if answer != _READY:
        raise HandOverError(answer.decode("utf-8", "replace") or "it exited before it served")


async def _connect(setting: str, has_failed: Callable[[], bool]) -> socket.socket:
    reason = "no process waits there"
    with anyio.move_on_after(CONNECT_SECONDS):
        while True:
            for path in places_to_look(setting):
                sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                sock.setblocking(False)
                try:
                    sock.connect(path)
                except OSError as error:
                    sock.close()
                    reason = f"{path}: {error.strerror or error}"
                else:
                    return sock
            if has_failed():
                raise HandOverError("it exited immediately; see its output")
            await anyio.sleep(_RETRY_SECONDS)
    where = f"to {setting} " if setting else ""
    raise HandOverError(
        f"none came {where}within {CONNECT_SECONDS:g} s ({reason}); start it with --upgrade"
    )


def _check_owner(connection: socket.socket, user: int | None = None) -> None:
    """Trust only this user and root.

    :param user: another user to trust.

    :raises HandOverError: the process at the other end runs as another user.
    """
    if not hasattr(socket, "SO_PEERCRED"):  # then the mode of the socket has to suffice
        return
    size = struct.calcsize("3i")
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    _, uid, _ = struct.unpack("3i", packed)
    if uid not in (os.geteuid(), 0, user):
        raise HandOverError(f"the process that waits runs as another user (uid {uid})")


async def _send(connection: socket.socket, sockets: list[Listening]) -> None:
    """Send the sockets in several messages, each with the addresses of its sockets."""
    for start in range(0, len(sockets), _MOST_SOCKETS):
        part = sockets[start : start + _MOST_SOCKETS]
        last = start + _MOST_SOCKETS >= len(sockets)
        head = {"last": last, "addresses": [[one.server, one.address] for one in part]}
        await anyio.wait_writable(connection)
        data = json.dumps(head).encode() + b"\n"
        socket.send_fds(connection, [data], [one.sock.fileno() for one in part])


async def _receive_word(connection: socket.socket) -> bytes:
    word = b""
    while len(word) < _LONGEST:
        await anyio.wait_readable(connection)
        data = connection.recv(_LONGEST)
        if not data:
            break
        word += data
    return word


# The new process.


class TakeOver:
    """The connection and the sockets that a new process got from the old one.

    :param connection: to the old process, which waits for the result.
    :param inherited: its listening sockets.
    """

    def __init__(self, connection: socket.socket, inherited: Inherited) -> None:
        self._connection = connection
        self.inherited = inherited

    def succeeded(self) -> None:
        """Report that this process serves, so that the other one exits."""
        self._say(_READY)

    def failed(self, reason: str) -> None:
        """Report that this process ends, so that the other one continues."""
        self._say(reason.encode()[:_LONGEST])

    def _say(self, word: bytes) -> None:
        with suppress(OSError):
            self._connection.sendall(word)
            self._connection.shutdown(socket.SHUT_RDWR)  # workers have copies of it
        self._connection.close()


def wait_for_sockets(
    setting: str,
    account: Account | None,
    waiting: Callable[[], None],
    seconds: float = WAIT_SECONDS,
) -> TakeOver:
    """Wait at a Unix socket for the old process, and take its listening sockets.

    :param setting: ``basic.upgrade_sock``.
    :param account: the user of that process, if root starts this one.
    :param waiting: called once if it does not connect immediately.
    :raises HandOverError: it did not connect.
    """
    began, told = time.monotonic(), False
    user = account.uid if account is not None else None
    path = _place(setting, account)
    with _listen(path, account) as server:
        try:
            while time.monotonic() - began < seconds:
                server.settimeout(PATIENCE_SECONDS)
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    if not told:
                        waiting()
                    told = True
                    continue
                if (take_over := _accept(connection, user, seconds)) is not None:
                    return take_over
        finally:
            with suppress(OSError), as_user(account):
                Path(path).unlink(missing_ok=True)
    raise HandOverError(
        f"no running pingap handed its sockets over within {seconds:g} s: is there one, with the same"
        f" upgrade_sock ({path}), and was it sent SIGQUIT?"
    )


def _place(setting: str, account: Account | None) -> str:
    try:
        return place_to_wait(setting, account)
    except PlaceError as error:
        raise HandOverError(str(error)) from None


def _accept(connection: socket.socket, user: int | None, seconds: float) -> TakeOver | None:
    """Take the sockets of a client; None if it is not allowed to send any, or has none."""
    connection.settimeout(seconds)
    try:
        _check_owner(connection, user)
        return TakeOver(connection, _take(connection))
    except (HandOverError, OSError, ValueError):
        connection.close()
        return None


def _listen(path: str, account: Account | None) -> socket.socket:
    """Listen where only this user, or the account, can connect.

    :raises HandOverError: it is not possible.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bind_unix(sock, path, _MODE, account)
        sock.listen(1)
    except OSError as error:
        sock.close()
        text = f"cannot wait at upgrade_sock {path}: {error.strerror or error}"
        raise HandOverError(text) from None
    return sock


def _take(connection: socket.socket) -> Inherited:
    taken: list[tuple[str, socket.socket]] = []
    last = False
    while not last:
        data, fds, _, _ = socket.recv_fds(connection, _LONGEST, _MOST_SOCKETS, MSG_CMSG_CLOEXEC)
        received = [socket.socket(fileno=fd) for fd in fds]
        while data and not data.endswith(b"\n"):
            data += connection.recv(_LONGEST)
        head = json.loads(data)
        last = head["last"]
        for (_, address), sock in zip(head["addresses"], received, strict=True):
            sock.setblocking(False)
            taken.append((address, sock))
    return Inherited(taken)
