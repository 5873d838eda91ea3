"""The response to a side call while it arrives."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from pingap.client.call import Call
from pingap.client.errors import SideCallError
from pingap.http.headers import Headers

if TYPE_CHECKING:
    import httpcore

MOST_BODY: Final = 1024 * 1024
"""Default maximum size of a body in bytes."""


class SideCallStream:
    """The response to a side call, whose body is read as it arrives; :meth:`HTTPClient.stream` yields it.

    Unread data stays at the server: while nothing is read, the server can send no more than fits into the
    buffers of the connection. The body is as the server sent it; content codings are not decoded.
    """

    def __init__(self, call: Call, response: httpcore.Response) -> None:
        self._call = call
        self._response = response
        self._parts = response.aiter_stream()
        self._error: SideCallError | None = None
        self._is_open = True
        self.status: int = response.status
        fields = [(name.lower(), b"%b: %b" % (name, value)) for name, value in response.headers]
        self.headers: Headers = Headers(fields)

    def chunks(self, *, timeout: float | None = None) -> AsyncIterator[bytes]:
        """Iterate over the body, or the rest of it, in pieces as they arrive.

        :param timeout: seconds to wait for each piece; by default that of the call. ``math.inf`` suits an
            event stream that may pause for any time.
        :raises SideCallError: the body is cut off, or the next piece did not arrive in time.
        """
        return _Chunks(self, self._call.timeout if timeout is None else timeout)

    async def read(self, max_body: int = MOST_BODY) -> bytes:
        """Return the body, or the rest of it.

        :param max_body: maximum size in bytes.
        :raises SideCallError: it is larger, is cut off, or the next piece did not arrive in time.
        """
        received = bytearray()
        async for chunk in self.chunks():
            received += chunk
            if len(received) > max_body:
                raise self._call.error(f"the answer is over {max_body} bytes")
        return bytes(received)

    async def _next(self, seconds: float) -> bytes | None:
        """Return the next piece, or None at the end."""
        if self._error is not None:  # the end of the connection is not the end of the body
            raise self._error
        if not self._is_open:
            raise RuntimeError("the answer to a side call is read after its block has ended")
        try:
            with self._call.translated(), self._call.scope(seconds):
                return await anext(self._parts, None)
            raise self._call.too_slow("no more of the answer", seconds)
        except SideCallError as error:
            self._error = error
            raise

    async def _close(self) -> None:
        self._is_open = False
        await self._response.aclose()


class _Chunks(AsyncIterator[bytes]):
    def __init__(self, stream: SideCallStream, seconds: float) -> None:
        self._stream = stream
        self._seconds = seconds

    async def __anext__(self) -> bytes:
        if (chunk := await self._stream._next(self._seconds)) is None:
            raise StopAsyncIteration
        return chunk
