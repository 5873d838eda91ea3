"""One WebSocket, in the messages of ASGI."""

from __future__ import annotations

from typing import Final

from pingap import Headers, OriginCall, OriginWebSocket, WebSocketMessage, field
from pingap_asgi.http import HttpCycle, to_headers
from pingap_asgi.protocol import Disconnected, Message, ProtocolError

_NORMAL: Final = 1000
_ABNORMAL: Final = 1006
_DENIAL: Final = "websocket.http.response."


class WebSocketCycle:
    """The two callables of one WebSocket.

    :param call: the handshake in pingap.
    :param limit: maximum size of a message of the client in bytes.
    """

    def __init__(self, call: OriginCall, limit: int) -> None:
        self._call = call
        self._limit = limit
        self._told = False  # the application has got ``websocket.connect``
        self._socket: OriginWebSocket | None = None
        self._denial: HttpCycle | None = None
        self._closed = False  # by the application

    @property
    def is_complete(self) -> bool:
        """Whether the application has accepted the WebSocket, or sent the whole answer that denies it."""
        return self._socket is not None or (self._denial is not None and self._denial.is_complete)

    async def receive(self) -> Message:
        """Return the next message."""
        if not self._told:
            self._told = True
            return {"type": "websocket.connect"}
        code, reason = _ABNORMAL, ""
        if (socket := self._socket) is None:
            await self._call.wait_over()
        else:
            message = await socket.receive()
            if message is not None:
                kind = "text" if message.is_text else "bytes"
                return {"type": "websocket.receive", kind: message.data}
            code, reason = socket.close_code, socket.close_reason
        return {"type": "websocket.disconnect", "code": code, "reason": reason}

    async def send(self, message: Message) -> None:
        """Send a message; wait until the client can accept more.

        :raises Disconnected: the client is gone.
        :raises ProtocolError: the message is not valid now.
        """
        kind = message["type"]
        if self._call.is_gone:
            raise Disconnected("the client has disconnected")
        if self._denial is not None or (kind.startswith(_DENIAL) and self._socket is None):
            self._denial = self._denial or HttpCycle(self._call)
            await self._denial.send({**message, "type": kind.removeprefix("websocket.")})
        elif self._closed:
            raise ProtocolError(f"the application sent {kind} after websocket.close")
        elif self._socket is None:
            self._open(kind, message)
        elif kind == "websocket.send":
            if not await self._socket.send(_to_message(message)):
                raise Disconnected("the client has closed the WebSocket")
        elif kind == "websocket.close":
            self._closed = True
            self._socket.close(message.get("code", _NORMAL), message.get("reason") or "")
        else:
            raise ProtocolError(f"the application sent {kind} in an open WebSocket")

    def end(self) -> None:
        """Close the WebSocket after the application has returned."""
        if self._socket is not None:
            self._socket.close(_NORMAL)

    def _open(self, kind: str, message: Message) -> None:
        if kind == "websocket.accept":
            headers = to_headers(message.get("headers") or ())
            if (protocol := message.get("subprotocol")) is not None:
                headers.replace(field("Sec-WebSocket-Protocol", protocol))
            self._socket = self._call.accept_websocket(headers, message_limit=self._limit)
        elif kind == "websocket.close":
            self._closed = True
            self._denial = HttpCycle(self._call)
            self._denial.deny()
        else:
            raise ProtocolError(f"the application sent {kind}, expected was websocket.accept")


def _to_message(message: Message) -> WebSocketMessage:
    data = message.get("bytes")
    if data is None:
        data = message.get("text")
    if isinstance(data, bytearray | memoryview):
        data = bytes(data)
    if not isinstance(data, str | bytes):
        raise ProtocolError("websocket.send has neither text nor bytes")
    return WebSocketMessage(data)


def refusal(call: OriginCall) -> tuple[int, Headers, bytes] | None:
    """Return the answer to a handshake that is not valid (RFC 6455, 4.2.2 and 4.4)."""
    request = call.request
    if request.header("sec-websocket-version") != "13":
        headers = Headers({"Sec-WebSocket-Version": "13", "Content-Type": "text/plain"})
        return 426, headers, b"The WebSocket has another version"
    if not (request.websocket_key or request.header("sec-websocket-key")):
        return 400, Headers({"Content-Type": "text/plain"}), b"Sec-WebSocket-Key is missing"
    return None
