"""The WebSocket that an origin has accepted: the server's end of it (RFC 6455)."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from pingap.http.headers import Headers, field
from pingap.plugins.origin_call import MOST_WAITING, OriginCall
from pingap.protocol.websocket import accept_value, is_websocket
from pingap.protocol.websocket_deflate import Deflate, accepted, agreed
from pingap.protocol.websocket_frames import (
    ABNORMAL,
    PING,
    PONG,
    Close,
    Control,
    MessageDecoder,
    MessageEncoder,
    WebSocketError,
    WebSocketMessage,
    check_close,
)

CLOSE_SECONDS: Final = 5.0
"""How long the client may take to answer a close frame."""
MOST_MESSAGES: Final = 64
"""Messages that wait for the origin before the client is paused."""
_UPGRADE: Final = (b"upgrade", b"Upgrade: websocket")


def accept(
    call: OriginCall, headers: Headers, message_limit: int, compression: bool
) -> OriginWebSocket:
    """Accept the WebSocket that a request asks for; see ``OriginCall.accept_websocket``."""
    request = call.request
    key = request.websocket_key or request.header("sec-websocket-key") or ""
    if not is_websocket(request.upgrade) or not key:
        raise ValueError("the request does not ask for a WebSocket")
    answer, deflate = "", None
    if compression and (offers := request.header("sec-websocket-extensions")):
        answer = accepted(offers)
        deflate = agreed(answer)
    headers = headers.copy()
    headers.replace(_UPGRADE)
    headers.replace(field("Sec-WebSocket-Accept", accept_value(key)))
    if answer:
        headers.replace(field("Sec-WebSocket-Extensions", answer))
    websocket = OriginWebSocket(call, message_limit, deflate)
    call.open_websocket(websocket, headers)
    return websocket


class OriginWebSocket:
    """The messages of a WebSocket that an origin has accepted.

    Pings and the closing handshake are answered by themselves. If the origin reads more slowly than the
    client sends, the client is paused.

    .. versionadded:: 1.1
    """

    def __init__(self, call: OriginCall, message_limit: int, deflate: Deflate | None) -> None:
        inflater = deflater = None
        if deflate is not None:
            inflater, deflater = deflate.inflater(client=True), deflate.deflater(client=False)
        self._call = call
        self._decoder = MessageDecoder(masked=True, limit=message_limit, inflater=inflater)
        self._encoder = MessageEncoder(masked=False, deflater=deflater)
        self._waiting: deque[WebSocketMessage] = deque()
        self._size = 0
        self._is_over = self._input_ended = False
        self.close_code = 0
        """Why it was closed: the code of the client, that of a violation by it, or 1006 if the
        connection ended without one. 0: the client has not closed it."""
        self.close_reason = ""
        """The reason in the close frame."""

    async def receive(self) -> WebSocketMessage | None:
        """Return the next message; None once the client has closed the WebSocket, or is gone."""
        while not self._waiting:
            if self._is_over:
                return None
            await self._call.change()
        message = self._waiting.popleft()
        self._size -= len(message.data)
        self.go_on()
        return message

    async def send(self, message: WebSocketMessage) -> bool:
        """Send a message; wait until the client can accept more.

        :returns: False if the WebSocket is closed: the message was not sent.
        """
        if self._encoder.closed or self._call.is_over:
            return False
        await self._call.send(self._encoder.message(message))
        return True

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the WebSocket. Does nothing if it is closed.

        :raises ValueError: a code that must not be sent (RFC 6455, 7.4), or a reason of more than 123
            bytes.
        """
        frame = self._encoder.close(check_close(code, reason))
        if frame and not self._call.is_over:
            self._waiting.clear()
            self._size = 0
            self._call.send_now(frame)
            asyncio.get_running_loop().call_later(CLOSE_SECONDS, self._give_up)
            self.go_on()

    # Called by the call.

    def feed(self, data: bytes) -> None:
        """Handle bytes of the client."""
        if not self._is_over:
            self._decoder.feed(data)
            self._read()

    def feed_end(self) -> None:
        """Handle the end of the client's side, or of the call."""
        self._input_ended = True
        if not self._is_over and (self._call.is_over or not self._decoder.has_unread):
            self._finish(Close(ABNORMAL, ""), b"")
            self._call.wake()

    def go_on(self) -> None:
        """Read what was left, if there is room now."""
        if self._is_over:
            return
        if self._decoder.has_unread:
            self._read()
        else:
            self._call.set_full(self._is_full)
        if self._input_ended:
            self.feed_end()

    # Inside.

    def _read(self) -> None:
        """Read messages, as far as there is room for them."""
        call, decoder = self._call, self._decoder
        try:
            while not (self._is_full or call.is_paused):
                event = decoder.next()
                if event is None:
                    break
                if isinstance(event, WebSocketMessage):
                    if not self._encoder.closed:
                        self._waiting.append(event)
                        self._size += len(event.data)
                elif isinstance(event, Close):
                    self._finish(event, self._encoder.close(event))
                elif event.opcode == PING:
                    call.send_now(self._encoder.control(Control(PONG, event.payload)))
        except WebSocketError as error:
            close = Close(error.code, error.reason)
            self._finish(close, self._encoder.close(close))
        if not self._is_over:
            call.set_full(self._is_full or decoder.has_unread)
        call.wake()

    @property
    def _is_full(self) -> bool:
        return len(self._waiting) >= MOST_MESSAGES or self._size >= MOST_WAITING

    def _give_up(self) -> None:
        """End our side, although the client has not answered our close frame."""
        if not self._is_over:
            self._finish(Close(ABNORMAL, ""), b"")
            self._call.wake()

    def _finish(self, close: Close, frame: bytes) -> None:
        """End both sides: nothing more is read."""
        self._is_over = True
        self.close_code, self.close_reason = close.code, close.reason
        if not self._call.is_over:
            self._call.set_full(False)
            self._call.send_now(frame)
            self._call.end()
