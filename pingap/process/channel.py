"""Messages between the supervisor and a worker, over a pair of connected sockets.

A message is a JSON object behind its length. Sending never waits: what the other side does not take
is kept, up to a limit; a side that does not read for so long is beyond help.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import anyio

Message: TypeAlias = Mapping[str, Any]
"""Has the key ``kind``; the others depend on it."""

MOST_WAITING: Final = 256 * 1024 * 1024
"""Bytes that may wait to be sent."""
_HEADER: Final = 4
_READ: Final = 256 * 1024
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
        self._waiting = bytearray()
        self._work = anyio.Event()
        self._questions = 0
        self._asked: dict[int, _Answer] = {}
        self.is_broken = False

    def send(self, kind: str, /, **fields: Any) -> None:
        """Send a message, or let it wait to be sent (see ``run``)."""
        if self.is_broken:
            return
        body = json.dumps({"kind": kind, **fields}, separators=(",", ":")).encode()
        self._waiting += len(body).to_bytes(_HEADER, "big") + body
        self._write()
        if len(self._waiting) > MOST_WAITING:
            self._break()

    async def ask(self, kind: str, seconds: float, /, **fields: Any) -> Message | None:
        """Send a message that is to be answered; return the answer, or None if none comes.

        Somebody must be receiving meanwhile.

        :param seconds: how long the answer may take.
        """
        self._questions += 1
        number = self._questions
        answer = self._asked[number] = _Answer()
        try:
            self.send(kind, question=number, **fields)
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
            data = self._sock.recv(_READ)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._received += data
        return bool(data)

    def _take(self) -> Message | None:
        received = self._received
        if len(received) < _HEADER:
            return None
        end = _HEADER + int.from_bytes(received[:_HEADER], "big")
        if len(received) < end:
            return None
        message: Message = json.loads(bytes(received[_HEADER:end]))
        del received[:end]
        return message

    def _write(self) -> None:
        try:
            while self._waiting:
                del self._waiting[: self._sock.send(self._waiting)]
        except BlockingIOError:
            self._work.set()
        except OSError:
            self._break()

    def _break(self) -> None:
        self.is_broken = True
        self._waiting.clear()
        self._work.set()
        for answer in self._asked.values():
            answer.here.set()


def pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected sockets, one for each side."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
