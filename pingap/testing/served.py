"""The upstream's side of one connection, and the requests received on it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from pingap.testing.fields import Fields, FieldsLike, pairs, parse_head, write_head
from pingap.testing.stream import BodyReader, ByteStream


@dataclass
class Received:
    """A request as received by the upstream.

    :param connection: number of its connection; equal numbers mean that it was reused.
    :param complete: False until the whole body has arrived.
    :param trailers: the fields after a chunked body.
    """

    method: str
    target: str
    headers: Fields
    raw_head: bytes
    connection: int = 0
    body: bytes = b""
    complete: bool = False
    trailers: Fields = field(default_factory=Fields)

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The part after ``?``."""
        return self.target.partition("?")[2]

    def header(self, name: str) -> str | None:
        """Return the first value of a header, or None."""
        return self.headers.get(name)

    def header_all(self, name: str) -> list[str]:
        """Return every value of a header."""
        return self.headers.get_all(name)

    def __str__(self) -> str:
        return f"{self.method} {self.target}"


class Served(ByteStream):
    """A connection that the upstream accepted: reads requests, sends what the script wants.

    :param number: counts the connections of the upstream.
    :param note: called with a request when its head has been read, and when its body has.
    :param stopping: set when the upstream stops: scripts must then end.
    """

    def __init__(
        self,
        sock: socket.socket,
        number: int = 1,
        note: Callable[[Received], None] = lambda request: None,
        stopping: threading.Event | None = None,
    ) -> None:
        super().__init__(sock)
        self.number = number
        self.stopping = stopping or threading.Event()
        self._note = note

    def _more(self) -> bytes:
        try:
            return super()._more()
        except OSError:  # closed by the upstream, or a timeout
            return b""

    def read_head(self) -> Received | None:
        """Read the head of a request and record it; None if the connection ends."""
        head = self.read_until(b"\r\n\r\n")
        if not head.endswith(b"\r\n\r\n"):
            return None
        first, headers = parse_head(head)
        method, target, _ = first.split(" ")
        request = Received(method, target, headers, head, self.number)
        self._note(request)
        return request

    def read_body(self, request: Received) -> bytes:
        """Read the body of a request whose head has been read, and record it."""
        body = BodyReader(self, request.headers)
        while data := body.next():
            request.body += data
        request.complete = body.complete
        request.trailers = body.trailers or Fields()
        self._note(request)
        return request.body

    def read_request(self) -> Received | None:
        """Read a request with its body; None if the connection ends."""
        if (request := self.read_head()) is not None:
            self.read_body(request)
        return request

    def respond(
        self,
        body: bytes = b"ok",
        status: int | str = 200,
        *,
        headers: FieldsLike = (),
    ) -> None:
        """Send a response of known length.

        :param status: a number, or with its reason: ``"404 Not Found"``.
        """
        fields = [("Content-Length", str(len(body))), *pairs(headers)]
        self.send(write_head(status_line(status), fields) + body)

    def wait(self, event: threading.Event, seconds: float = 10.0) -> None:
        """Wait for an event of the test; return at once if the upstream stops.

        :raises AssertionError: the event did not happen in time.
        """
        waited = 0.0
        while not event.wait(0.05) and not self.stopping.is_set():
            waited += 0.05
            if waited > seconds:
                raise AssertionError(f"what the upstream waits for did not come in {seconds:g} s")

    def pause(self, seconds: float) -> None:
        """Wait in real time; return at once if the upstream stops."""
        self.stopping.wait(seconds)


def status_line(status: int | str) -> str:
    """Return the first line of a response."""
    from http import HTTPStatus

    if isinstance(status, int):
        known = {one.value: one.phrase for one in HTTPStatus}
        status = f"{status} {known.get(status, 'Unknown')}"
    return f"HTTP/1.1 {status}"
