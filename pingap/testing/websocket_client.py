"""A WebSocket client (RFC 6455) for tests."""

from __future__ import annotations

import base64
import os
import struct
from types import TracebackType
from typing import Self

from pingap.testing.client import Answer, Client
from pingap.testing.fields import FieldsLike, pairs
from pingap.testing.websocket import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    Frame,
    accept_key,
    read_frame,
    write_frame,
)


class WebSocketClient:
    """An open WebSocket; made by :meth:`Proxy.connect_websocket`.

    :param client: an unused connection.
    :param headers: additional fields of the request, such as ``Sec-WebSocket-Protocol``.
    :raises AssertionError: the response does not open a WebSocket.
    """

    def __init__(self, client: Client, target: str, headers: FieldsLike = ()) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        opening = [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", key),
        ]
        self._client = client
        client.send_request("GET", target, headers=[*opening, *pairs(headers)])
        self.answer: Answer = client.read_head()
        """The response that opened it."""
        accepted = self.answer.header("Sec-WebSocket-Accept")
        if self.answer.status != 101 or accepted != accept_key(key):
            raise AssertionError(f"no WebSocket was opened: {self.answer}")
        self.close_code: int | None = None
        """The code of the other side's close frame; 1005 if it had none, None before it arrives."""

    def send(self, message: str | bytes) -> None:
        """Send a text, or bytes as a binary message."""
        if isinstance(message, str):
            self._send(TEXT, message.encode())
        else:
            self._send(BINARY, message)

    def receive(self) -> str | bytes | None:
        """Return the next message; None once the other side has closed. Pings are answered.

        :raises TimeoutError: no message arrived.
        """
        opcode, payload = 0, b""
        while (frame := read_frame(self._client)) is not None:
            if frame.opcode == PING:
                self._send(PONG, frame.payload)
            elif frame.opcode == CLOSE:
                (self.close_code,) = struct.unpack("!H", frame.payload[:2] or b"\x03\xed")
                return None
            elif frame.opcode != PONG:
                opcode, payload = opcode or frame.opcode, payload + frame.payload
                if frame.final:
                    return payload.decode() if opcode == TEXT else payload
        return None

    def close(self, code: int = 1000) -> None:
        """Send a close frame, and close the connection when the other side has answered it."""
        if self.close_code is None:
            self._send(CLOSE, struct.pack("!H", code))
            while self.receive() is not None:
                pass
        self._client.close()

    def _send(self, opcode: int, payload: bytes) -> None:
        self._client.send(write_frame(Frame(opcode, payload), os.urandom(4)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._client.close()
