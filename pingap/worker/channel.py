"""Messages between the supervisor and a worker, over a pair of connected sockets.

A message is a JSON object preceded by its length. Sending never blocks: data that the other side has not
read yet is kept, up to a limit; a side that exceeds it does not recover. Open files are sent with the
first bytes of a message; the receiver finds them in ``fds``.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from socket import recv_fds, send_fds
from typing import Any, Final, TypeAlias, cast

import anyio

Message: TypeAlias = Mapping[str, Any]
"""Has the key ``kind``, which determines the other keys."""

MOST_WAITING: Final = 256 * 1024 * 1024
"""Bytes that may wait to be sent."""
MSG_CMSG_CLOEXEC: Final[int] = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
"""Received files are not inherited by processes that plugins start (Linux)."""
_HEADER: Final = 4
_READ: Final = 256 * 1024
_MOST_FILES: Final = 128
"""Files per call to the kernel, which allows 253."""
_REPLY: Final = "reply"


class _Answer:
    def __init__(self) -> None:
        self.here = anyio.Event()
        self.message: Message | None = None


class Channel:
    """One end of the pair.

    :param sock: a connected stream socket, which belongs to the channel from now on.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._received = bytearray()
        self._received_files: list[int] = []
        self._waiting = bytearray()
        self._waiting_files: list[tuple[int, list[int]]] = []
        """Offset in the waiting data -> copies of files that are sent with the byte there."""
        self._work = anyio.Event()
        self._questions = 0
        self._asked: dict[int, _Answer] = {}
        self.is_broken = False

    def send(self, kind: str, /, files: Sequence[int] = (), **fields: Any) -> None:
        """Send a message, or queue it (see ``run``).

        :param files: descriptors of open files to send with it; the receiver gets copies.
        """
        if self.is_broken:
            return
        if files:
            fields["files"] = len(files)
            for place, start in enumerate(range(0, len(files), _MOST_FILES)):
                copies = [os.dup(fd) for fd in files[start : start + _MOST_FILES]]
                self._waiting_files.append((len(self._waiting) + place, copies))
        body = json.dumps({"kind": kind, **fields}, separators=(",", ":")).encode()
        self._waiting += len(body).to_bytes(_HEADER, "big") + body
        self._write()
        if len(self._waiting) > MOST_WAITING:
            self._break()

    async def ask(
        self, kind: str, seconds: float, /, files: Sequence[int] = (), **fields: Any
    ) -> Message | None:
        """Send a message and wait for the reply; return it, or None if none arrives.

        Another task must be receiving in the meantime.

        :param seconds: how long the reply may take.
        """
        self._questions += 1
        number = self._questions
        answer = self._asked[number] = _Answer()
        try:
            self.send(kind, files, question=number, **fields)
            if not self.is_broken:
                with anyio.move_on_after(seconds):
                    await answer.here.wait()
        finally:
            del self._asked[number]
        return answer.message

    def reply(self, question: Message, /, **fields: Any) -> None:
        """Reply to a message sent by ``ask``."""
        self.send(_REPLY, answers=question["question"], **fields)

    async def receive(self) -> Message | None:
        """Return the next message that is not a reply; None if the other side is closed."""
        while True:
            while (message := self._take()) is None:
                if not await self._read():
                    self._break()
                    return None
            if message["kind"] != _REPLY:
                return message
            if (answer := self._asked.get(message["answers"])) is not None:
                answer.message = message
                answer.here.set()

    async def run(self) -> None:
        """Send queued data, until cancelled or the other side is closed."""
        while not self.is_broken:
            if self._waiting:
                await anyio.wait_writable(self._sock)
                self._write()
            else:
                self._work = anyio.Event()
                await self._work.wait()

    def close(self) -> None:
        """Close this end. Pending ``ask`` calls get no reply."""
        self._break()
        self._sock.close()

    async def _read(self) -> bool:
        """Read more; return False if nothing more will arrive."""
        if self.is_broken:
            return False
        await anyio.wait_readable(self._sock)
        try:
            data, files, _, _ = recv_fds(self._sock, _READ, _MOST_FILES, MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._received += data
        self._received_files += files
        return bool(data)

    def _take(self) -> Message | None:
        received = self._received
        if len(received) < _HEADER:
            return None
        end = _HEADER + int.from_bytes(received[:_HEADER], "big")
        if len(received) < end:
            return None
        message = json.loads(bytes(received[_HEADER:end]))
        del received[:end]
        if count := message.pop("files", 0):
            message["fds"] = self._received_files[:count]
            del self._received_files[:count]
        return cast(Message, message)

    def _write(self) -> None:
        try:
            while self._waiting:
                self._sent(self._write_some())
        except BlockingIOError:
            self._work.set()
        except OSError:
            self._break()

    def _write_some(self) -> int:
        """Write up to the next byte that has files; return the number of bytes written."""
        files = self._waiting_files
        if not files:
            return self._sock.send(self._waiting)
        place, copies = files[0]
        if place:
            return self._sock.send(memoryview(self._waiting)[:place])
        written = send_fds(self._sock, [self._waiting[:1]], copies)
        close_files(files.pop(0)[1])
        return written

    def _sent(self, count: int) -> None:
        del self._waiting[:count]
        if self._waiting_files:
            self._waiting_files = [(place - count, fds) for place, fds in self._waiting_files]

    def _break(self) -> None:
        self.is_broken = True
        self._waiting.clear()
        for _, copies in self._waiting_files:
            close_files(copies)
        self._waiting_files.clear()
        close_files(self._received_files)
        self._received_files.clear()
        self._work.set()
        for answer in self._asked.values():
            answer.here.set()


def close_files(fds: Iterable[int]) -> None:
    """Close received files that are not needed, or copies that were sent."""
    for fd in fds:
        os.close(fd)


def pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected sockets, one for each side."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
