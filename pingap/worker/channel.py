"""Messages between the supervisor and a worker, over a pair of connected sockets.

A message is a JSON object behind its length. Sending never waits: what the other side does not take
is kept, up to a limit; a side that does not read for so long is beyond help. Open files go with the
first bytes of a message; who receives it finds them as ``fds``.
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
"""Has the key ``kind``; the others depend on it."""

MOST_WAITING: Final = 256 * 1024 * 1024
"""Bytes that may wait to be sent."""
MSG_CMSG_CLOEXEC: Final[int] = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
"""Files that are received stay out of processes that plugins start (Linux)."""
_HEADER: Final = 4
_READ: Final = 256 * 1024
_MOST_FILES: Final = 128
"""Of one call to the kernel, which allows 253."""
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
        """Place in what waits -> copies of files that go with the byte there."""
        self._work = anyio.Event()
        self._questions = 0
        self._asked: dict[int, _Answer] = {}
        self.is_broken = False

    def send(self, kind: str, /, files: Sequence[int] = (), **fields: Any) -> None:
        """Send a message, or let it wait to be sent (see ``run``).

        :param files: numbers of open files that go with it; the receiver owns copies.
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
        """Send a message that is to be answered; return the answer, or None if none comes.

        Somebody must be receiving meanwhile.

        :param seconds: how long the answer may take.
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
        """Answer a message that was sent by ``ask``."""
        self.send(_REPLY, answers=question["question"], **fields)

    async def receive(self) -> Message | None:
        """Return the next message that is no answer; None if the other side is gone."""
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
        """Send what waits, until cancelled or the other side is gone."""
        while not self.is_broken:
            if self._waiting:
                await anyio.wait_writable(self._sock)
                self._write()
            else:
                self._work = anyio.Event()
                await self._work.wait()

    def close(self) -> None:
        """Close this end. Whoever waits for an answer gets none."""
        self._break()
        self._sock.close()

    async def _read(self) -> bool:
        """Read more; False if nothing more comes."""
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
        """Write up to the next byte with which files go; return how many bytes were written."""
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
    """Close files that were received and are of no use, or copies that were sent."""
    for fd in fds:
        os.close(fd)


def pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected sockets, one for each side."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
