"""Bytes of WebSocket over every transport, frame by frame: what is sent is exactly what a test says.

A user has :class:`pingap.testing.WebSocketClient`, which sends and receives whole messages.
"""

from __future__ import annotations

import socket
import ssl
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import h2.config
import h2.connection
import h2.events

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
_MASK = b"\x01\xf2\x83\x74"


class WsFrame(NamedTuple):
    """A frame as it came: the first byte has FIN, reserved bits and opcode."""

    first: int
    payload: bytes

    @property
    def opcode(self) -> int:
        """The opcode."""
        return self.first & 15


def ws_frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True
) -> bytes:
    """Return a frame of a client."""
    size = len(payload)
    first = (fin << 7) | rsv << 4 | opcode
    if size < 126:
        head = struct.pack(">BB", first, masked << 7 | size)
    elif size < 65536:
        head = struct.pack(">BBH", first, masked << 7 | 126, size)
    else:
        head = struct.pack(">BBQ", first, masked << 7 | 127, size)
    if not masked:
        return head + payload
    key = _MASK * (size // 4 + 1)
    covered = int.from_bytes(payload) ^ int.from_bytes(key[:size])
    return head + _MASK + covered.to_bytes(size)


class WsTransport(ABC):
    """An open WebSocket below its frames.

    :param port: of the server.
    :param extensions: that are offered.
    """

    _unread = b""  # of what ``read`` has received

    @abstractmethod
    def __init__(self, port: int, extensions: str = "", *, path: str = "/ws") -> None: ...

    @abstractmethod
    def send(self, data: bytes) -> None:
        """Send bytes."""

    @abstractmethod
    def receive(self) -> bytes:
        """Return what came; empty at the end."""

    @abstractmethod
    def close(self) -> None:
        """End the connection."""

    def frames(self, is_last: Callable[[list[WsFrame]], bool]) -> list[WsFrame]:
        """Read until the end; a close is answered, as every client has to (RFC 6455, 5.5.1).

        :param is_last: tells of the frames that came whether we are to close now.
        """
        found: list[WsFrame] = []
        unread = b""
        while data := self.receive():
            unread += data
            while (one := _read(unread)) is not None:
                frame, unread = one
                found.append(frame)
                if frame.opcode == CLOSE:
                    self.end(frame.payload[:2])
                elif is_last(found):
                    self.end(b"\x03\xe8")
        return found

    def read(self, count: int) -> list[WsFrame]:
        """Return the next frames; fewer at the end."""
        found: list[WsFrame] = []
        while len(found) < count:
            if (one := _read(self._unread)) is not None:
                frame, self._unread = one
                found.append(frame)
            elif data := self.receive():
                self._unread += data
            else:
                break
        return found

    def end(self, code: bytes) -> None:
        """Send a close, or answer one."""
        with suppress(OSError):  # the server did not wait
            self.send(ws_frame(CLOSE, code))


def _read(data: bytes) -> tuple[WsFrame, bytes] | None:
    if len(data) < 2:
        return None
    size, at = data[1], 2
    if size == 126:
        size, at = int.from_bytes(data[2:4]), 4
    elif size == 127:
        size, at = int.from_bytes(data[2:10]), 10
    if len(data) < at + size:
        return None
    return WsFrame(data[0], data[at : at + size]), data[at + size :]


class Http1WebSocket(WsTransport):
    """Over HTTP/1.1, by TLS if there is a context."""

    def __init__(
        self,
        port: int,
        extensions: str = "",
        context: ssl.SSLContext | None = None,
        *,
        path: str = "/ws",
    ) -> None:
        self.sock: socket.socket = socket.create_connection(("127.0.0.1", port), 20)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            self.sock = context.wrap_socket(self.sock, server_hostname="a.test")
        more = f"Sec-WebSocket-Extensions: {extensions}\r\n" if extensions else ""
        self.send(
            f"GET {path} HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{more}\r\n".encode()
        )
        head = b""
        while b"\r\n\r\n" not in head:
            data = self.sock.recv(65536)
            assert data, head
            head += data
        head, _, self._early = head.partition(b"\r\n\r\n")
        self.head = head.decode().lower()
        assert self.head.startswith("http/1.1 101"), head

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def receive(self) -> bytes:
        if self._early:
            early, self._early = self._early, b""
            return early
        try:
            return self.sock.recv(65536)
        except ConnectionError:
            return b""

    def close(self) -> None:
        self.sock.close()


class Http2WebSocket(WsTransport):
    """Over HTTP/2 (RFC 8441)."""

    def __init__(self, port: int, extensions: str = "", *, path: str = "/ws") -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), 20)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.h2.initiate_connection()
        self.head = ""
        self._ended = False
        self._early = b""
        more = [("sec-websocket-extensions", extensions)] if extensions else []
        self.h2.send_headers(
            1,
            [
                (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"),
                (":path", path), (":authority", "a.test"), ("sec-websocket-version", "13"), *more,
            ],
        )  # fmt: skip
        self._flush()
        while not self.head:
            self._early += self._take()

    def _flush(self) -> None:
        self.sock.sendall(self.h2.data_to_send())

    def _take(self) -> bytes:
        data = self.sock.recv(65536)
        assert data, "the connection ended"
        found = b""
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                self.head = "\n".join(f"{n.decode()}: {v.decode()}" for n, v in event.headers)
                assert self.head.startswith(":status: 200"), self.head
            elif isinstance(event, h2.events.DataReceived):
                found += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, 1)
            elif isinstance(event, h2.events.StreamEnded | h2.events.StreamReset):
                self._ended = True
        self._flush()
        return found

    def send(self, data: bytes) -> None:
        while data and not self._ended:
            room = min(self.h2.local_flow_control_window(1), self.h2.max_outbound_frame_size)
            if room <= 0:
                self._early += self._take()
                continue
            self.h2.send_data(1, data[:room])
            data = data[room:]
            self._flush()

    def receive(self) -> bytes:
        if self._early:
            early, self._early = self._early, b""
            return early
        while not self._ended:
            if data := self._take():
                return data
        return b""

    def close(self) -> None:
        self.sock.close()
