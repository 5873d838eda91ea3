"""An HTTP/1.1 client that hides nothing: it sends exactly the given data and shows all that it receives."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pingap.testing.fields import Fields, FieldsLike, pairs, parse_head, write_head
from pingap.testing.stream import LIMIT, BodyReader, ByteStream, chunked


@dataclass
class Answer:
    """A response as received by a client.

    :param complete: False if the connection ended before the body did.
    :param trailers: the fields after a chunked body; None if the body was not chunked.
    :param interim: the interim responses (1xx) before it.
    """

    status: int
    reason: str
    headers: Fields
    body: bytes = b""
    complete: bool = True
    trailers: Fields | None = None
    interim: list[Answer] = field(default_factory=list)

    def header(self, name: str) -> str | None:
        """Return the first value of a header, or None."""
        return self.headers.get(name)

    def header_all(self, name: str) -> list[str]:
        """Return every value of a header."""
        return self.headers.get_all(name)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def json(self) -> Any:
        """Return the body parsed as JSON."""
        return json.loads(self.body)


def open_socket(address: tuple[str, int] | str | socket.socket, timeout: float) -> socket.socket:
    """Connect to an address; a socket is returned unchanged."""
    if isinstance(address, socket.socket):
        return address
    if isinstance(address, tuple):
        return socket.create_connection(address, timeout)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(timeout)
    try:
        sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock


class Client(ByteStream):
    """One connection, kept for all requests made on it.

    :param address: host and port, the path of a Unix socket, or a connected socket.
    :param headers: fields of every request.
    :param timeout: seconds that a read waits at most.
    """

    def __init__(
        self,
        address: tuple[str, int] | str | socket.socket,
        *,
        headers: FieldsLike = (),
        timeout: float = LIMIT,
    ) -> None:
        super().__init__(open_socket(address, timeout))
        self._headers = pairs(headers)
        self._body: BodyReader | None = None

    def get(self, target: str, *, headers: FieldsLike = ()) -> Answer:
        """Send a GET request and read the response."""
        return self.request("GET", target, headers=headers)

    def request(
        self,
        method: str,
        target: str,
        *,
        headers: FieldsLike = (),
        body: bytes | Iterable[bytes] = b"",
        trailers: FieldsLike | None = None,
    ) -> Answer:
        """Send a request and read the response; see :meth:`send_request`."""
        self.send_request(method, target, headers=headers, body=body, trailers=trailers)
        return self.answer(method)

    def send_request(
        self,
        method: str,
        target: str,
        *,
        headers: FieldsLike = (),
        body: bytes | Iterable[bytes] = b"",
        trailers: FieldsLike | None = None,
    ) -> None:
        """Send a request and read nothing.

        :param headers: additional fields; ``Host: test`` and the framing of the body are added unless given.
        :param body: sent with its length if bytes, else in chunks, as they are yielded.
        :param trailers: sent after the body, which is then chunked.
        """
        fields = [*pairs(headers), *self._headers]
        names = {name.lower() for name, _ in fields}
        if "host" not in names:
            fields.insert(0, ("Host", "test"))
        framed = bool({"content-length", "transfer-encoding"} & names)
        first = f"{method} {target} HTTP/1.1"
        if isinstance(body, bytes) and trailers is None:
            if body and not framed:
                fields.append(("Content-Length", str(len(body))))
            self.send(write_head(first, fields) + body)
            return
        if not framed:
            fields.append(("Transfer-Encoding", "chunked"))
        self.send(write_head(first, fields))
        for piece in chunked(body, trailers or ()):
            self.send(piece)

    def answer(self, method: str = "GET") -> Answer:
        """Read a response with its whole body.

        :param method: of the request, because the response to HEAD has no body.
        :raises AssertionError: the connection ended before the head.
        """
        answer = self.read_head(method)
        assert self._body is not None
        answer.body = self._body.rest()
        answer.complete = self._body.complete
        answer.trailers = self._body.trailers
        return answer

    def read_head(self, method: str = "GET") -> Answer:
        """Read the head of a response; its body is left for ``read_some`` and ``read_rest``.

        :raises AssertionError: the connection ended before the head.
        """
        interim = []
        while (answer := self._head()).status < 200 and answer.status != 101:
            interim.append(answer)
        answer.interim = interim
        bodyless = method == "HEAD" or answer.status in (101, 204, 304)
        headers = Fields() if bodyless else answer.headers
        self._body = BodyReader(self, headers, to_end=not bodyless)
        return answer

    def read_interim(self) -> Answer:
        """Read the head of an interim response (1xx) when it comes; others collect them in ``interim``.

        :raises AssertionError: the head of a final response came, or the connection ended.
        """
        answer = self._head()
        if not 100 <= answer.status < 200:
            raise AssertionError(f"a final response came: {answer}")
        return answer

    def read_some(self) -> bytes:
        """Return the next bytes of the body as they arrive; ``b""`` at its end.

        Their number depends on the network, unless the upstream waits in between.
        """
        if self._body is None:
            raise RuntimeError("read a head first")
        return self._body.next()

    def read_rest(self) -> bytes:
        """Return the rest of the body."""
        if self._body is None:
            raise RuntimeError("read a head first")
        return self._body.rest()

    def _head(self) -> Answer:
        head = self.read_until(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.") or not head.endswith(b"\r\n\r\n"):
            raise AssertionError(
                f"the connection ended without an answer; what came: {head!r:.200}"
            )
        first, headers = parse_head(head)
        _, status, *reason = first.split(" ", 2)
        return Answer(int(status), "".join(reason), headers)
