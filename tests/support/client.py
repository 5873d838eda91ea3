"""A client that sends exactly the bytes it is told, and reads answers one by one."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from types import TracebackType


@dataclass
class Answer:
    """A response as it came.

    :param complete: False if the connection ended before the body did.
    """

    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes
    complete: bool = True
    trailers: list[tuple[str, str]] | None = None

    def header(self, name: str) -> str | None:
        """Return the first value of a header."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


class RawClient:
    """One connection.

    :param address: host and port, or the path of a Unix socket.
    """

    def __init__(self, address: tuple[str, int] | str, timeout: float = 10) -> None:
        if isinstance(address, str):
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(timeout)
            self.sock.connect(address)
        else:
            self.sock = socket.create_connection(address, timeout)
        self.unread = b""

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.sock.sendall(data)

    def request(self, method: str, target: str, body: bytes = b"", **headers: str) -> Answer:
        """Send a request (``_`` in header names stands for ``-``) and read its answer."""
        lines = [f"{method} {target} HTTP/1.1"]
        headers.setdefault("Host", "test")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        return self.answer(method)

    def get(self, target: str, **headers: str) -> Answer:
        """Send a GET request and read its answer."""
        return self.request("GET", target, **headers)

    def receive(self) -> bytes:
        """Return what comes next, ``b""`` at the end of the connection."""
        try:
            return self.sock.recv(65536)
        except ConnectionResetError:
            return b""

    def read_until(self, mark: bytes) -> bytes:
        """Return everything up to and including a mark; less if the connection ends."""
        while mark not in self.unread:
            if not (data := self.receive()):
                rest, self.unread = self.unread, b""
                return rest
            self.unread += data
        end = self.unread.index(mark) + len(mark)
        found, self.unread = self.unread[:end], self.unread[end:]
        return found

    def read_exactly(self, size: int) -> bytes:
        """Return so many bytes; less if the connection ends."""
        while len(self.unread) < size and (data := self.receive()):
            self.unread += data
        found, self.unread = self.unread[:size], self.unread[size:]
        return found

    def head(self) -> tuple[int, str, list[tuple[str, str]]]:
        """Read a head, interim or final."""
        lines = self.read_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        assert lines[0].startswith("HTTP/1."), f"no head: {lines!r}"
        _, status, *reason = lines[0].split(" ", 2)
        pairs = [line.partition(":")[::2] for line in lines[1:] if line]
        fields = [(name, value.strip()) for name, value in pairs]
        return int(status), "".join(reason), fields

    def answer(self, method: str = "GET") -> Answer:
        """Read a final response, skipping interim ones."""
        status, reason, headers = self.head()
        while status < 200:
            status, reason, headers = self.head()
        answer = Answer(status, reason, headers, b"")
        if method == "HEAD" or status in (204, 304):
            return answer
        length = answer.header("content-length")
        if (answer.header("transfer-encoding") or "").lower() == "chunked":
            self._read_chunked(answer)
        elif length is not None:
            answer.body = self.read_exactly(int(length))
            answer.complete = len(answer.body) == int(length)
        else:
            while data := self.receive():
                self.unread += data
            answer.body, self.unread = self.unread, b""
        return answer

    def _read_chunked(self, answer: Answer) -> None:
        while True:
            line = self.read_until(b"\r\n")
            if not line.endswith(b"\r\n"):
                answer.complete = False
                return
            size = int(line, 16)
            if size == 0:
                break
            chunk = self.read_exactly(size + 2)
            answer.body += chunk[:size]
            if len(chunk) < size + 2:
                answer.complete = False
                return
        answer.trailers = []
        while (line := self.read_until(b"\r\n")) != b"\r\n":
            name, _, value = line.decode("latin-1").partition(":")
            answer.trailers.append((name, value.strip()))

    def is_closed(self) -> bool:
        """Wait for the end of the connection; False if something else comes first."""
        return not self.unread and self.receive() == b""

    def close(self) -> None:
        """Close the connection."""
        self.sock.close()

    def __enter__(self) -> RawClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
