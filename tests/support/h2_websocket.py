"""A client of WebSocket over HTTP/2 (RFC 8441): h2 below, the frames of the websockets library above.

A plugin sees the same messages over HTTP/1.1, for which ``pingap.testing`` has a client.
"""

from __future__ import annotations

import socket

import h2.config
import h2.connection
import h2.events
import h2.settings
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side

from pingap.testing import Proxy
from support import h2 as wire


def connect(
    path: str = "/chat", *more: tuple[str, str], protocol: str = "websocket"
) -> wire.Fields:
    """Return the fields of an extended CONNECT."""
    return [
        (":method", "CONNECT"), (":protocol", protocol), (":scheme", "http"), (":path", path),
        (":authority", "a.test"), ("sec-websocket-version", "13"), *more,
    ]  # fmt: skip


class H2WebSocket:
    """An open WebSocket."""

    def __init__(self, proxy: Proxy, *more: tuple[str, str], path: str = "/chat?x=1") -> None:
        self.sock = socket.create_connection(("127.0.0.1", proxy.port()), 10)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.h2.initiate_connection()
        self.headers: dict[str, str] = {}
        self.ended = False
        self.reset: int | None = None
        self.unsent = b""
        self.events: list[Frame] = []
        self._settled = False
        self._flush()
        while not self._settled:
            self.step()
        assert self.h2.remote_settings[h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL] == 1
        self.stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(self.stream, connect(path, *more))
        self._flush()
        while not self.headers:
            self.step()
        self.protocol = Protocol(Side.CLIENT, max_size=None)

    def _flush(self) -> None:
        self.sock.sendall(self.h2.data_to_send())

    def step(self) -> None:
        """Read what comes next."""
        data = self.sock.recv(65536)
        assert data, "the connection ended"
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.RemoteSettingsChanged):
                self._settled = True
            elif isinstance(event, h2.events.ResponseReceived):
                self.headers = {name.decode(): value.decode() for name, value in event.headers}
            elif isinstance(event, h2.events.DataReceived):
                self.protocol.receive_data(event.data)
                self.h2.acknowledge_received_data(event.flow_controlled_length, self.stream)
                self.events += self.protocol.events_received()  # type: ignore[arg-type]
            elif isinstance(event, h2.events.StreamEnded):
                self.ended = True
            elif isinstance(event, h2.events.StreamReset):
                self.reset = event.error_code
        self._pump()

    def _pump(self) -> None:
        """Send what there is room for."""
        while self.unsent:
            room = min(
                self.h2.local_flow_control_window(self.stream), self.h2.max_outbound_frame_size
            )
            if room <= 0:
                break
            self.h2.send_data(self.stream, self.unsent[:room])
            self.unsent = self.unsent[room:]
        self._flush()

    def send(self, message: bytes) -> None:
        """Send a binary message."""
        self.protocol.send_binary(message)
        self.flush()

    def flush(self) -> None:
        """Send what ``protocol`` has to send."""
        self.unsent += b"".join(self.protocol.data_to_send())
        self._pump()

    def receive(self) -> bytes:
        """Return the next message."""
        found = b""
        while True:
            while not self.events:
                self.step()
            frame = self.events.pop(0)
            assert frame.opcode in (Opcode.BINARY, Opcode.TEXT, Opcode.CONT)
            found += frame.data
            if frame.fin:
                return found

    def close(self) -> int:
        """Close in order; return the code of the other side."""
        self.protocol.send_close(4000, "done")
        self.flush()
        while self.protocol.close_rcvd is None:
            self.step()
        self.end()
        while not self.ended and self.reset is None:
            self.step()
        return self.protocol.close_rcvd.code

    def end(self) -> None:
        """End our side of the stream."""
        self.h2.end_stream(self.stream)
        self._flush()

    def __enter__(self) -> H2WebSocket:
        return self

    def __exit__(self, *exc: object) -> None:
        self.sock.close()
