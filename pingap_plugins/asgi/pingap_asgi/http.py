"""One HTTP request and its response, in the messages of ASGI."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pingap import Headers, OriginCall
from pingap_asgi.protocol import Disconnected, Message, ProtocolError

_NOTHING, _STARTED, _BODY, _TRAILERS, _COMPLETE = range(5)
_EXPECTED = (
    "http.response.start",
    "http.response.body",
    "http.response.body",
    "http.response.trailers",
    "nothing: the response is complete",
)


class HttpCycle:
    """The two callables of one request.

    The head waits for the first piece of the body: one write for both, and an exception before that still
    becomes an error page.

    :param call: the request in pingap.
    """

    __slots__ = ("_asked", "_call", "_headers", "_more_trailers", "_state", "_status", "_trailers")

    def __init__(self, call: OriginCall) -> None:
        self._call = call
        self._asked = False  # the application has received the whole body
        self._state = _NOTHING
        self._status = 0
        self._headers = Headers()
        self._more_trailers = False
        self._trailers: Headers | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the application has sent everything."""
        return self._state == _COMPLETE

    async def receive(self) -> Message:
        """Return the next piece of the body; after it, wait for the end of the request."""
        call = self._call
        if not self._asked:
            data = await call.read()
            if data is not None:
                more = not call.is_read
                self._asked = not more
                return {"type": "http.request", "body": data, "more_body": more}
        await call.wait_over()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Send a part of the response; wait until the client can accept more.

        :raises Disconnected: the client is gone.
        :raises ProtocolError: the message is not valid now.
        """
        call = self._call
        if call.is_gone:
            raise Disconnected("the client has disconnected")
        kind, state = message["type"], self._state
        if kind == "http.response.body" and _STARTED <= state <= _BODY:
            await self._send_body(message.get("body", b""), message.get("more_body", False))
        elif kind == "http.response.start" and state == _NOTHING:
            self._status = message["status"]
            self._headers = to_headers(message.get("headers", ()))
            self._more_trailers = message.get("trailers", False)
            self._state = _STARTED
        elif kind == "http.response.early_hint" and state == _NOTHING:
            links = [(b"link", bytes(link)) for link in message["links"]]
            call.interim(103, to_headers(links))
        elif kind == "http.response.trailers" and state == _TRAILERS:
            self._send_trailers(message)
        else:
            raise ProtocolError(f"the application sent {kind}, expected was {_EXPECTED[state]}")

    def deny(self) -> None:
        """Answer with 403: the application has closed a WebSocket that it had not accepted."""
        self._state = _COMPLETE
        self._call.answer(403, Headers(), b"")

    async def _send_body(self, body: Any, more: bool) -> None:
        call = self._call
        if type(body) is not bytes:
            body = _as_bytes(body)
        last = not (more or self._more_trailers)
        if self._state == _STARTED:
            if last:
                self._state = _COMPLETE
                call.answer(self._status, self._headers, body)
                return
            self._state = _BODY
            call.begin(self._status, self._headers, body)
            body = b""
        is_there = await call.send(body)
        if more:
            if not is_there:
                raise Disconnected("the client has disconnected")
        elif self._more_trailers:
            self._state = _TRAILERS
        else:
            self._state = _COMPLETE
            call.end()

    def _send_trailers(self, message: Message) -> None:
        if self._trailers is None:
            self._trailers = Headers()
        for one in to_headers(message.get("headers", ())).fields:
            self._trailers.append(one)
        if not message.get("more_trailers", False):
            self._state = _COMPLETE
            self._call.end(self._trailers)


def to_headers(pairs: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Return header fields of an application.

    :raises ValueError: a line break in one.
    """
    headers = Headers()
    append = headers.append
    for name, value in pairs:
        append((name.lower(), b"%b: %b" % (name, value)))
    return headers


def _as_bytes(body: Any) -> bytes:
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body)
    raise ProtocolError(f"a body is bytes, not {type(body).__name__}")
