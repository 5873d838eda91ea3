"""An upstream whose responses a test scripts, and which records the requests it receives."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Final, Literal, Self, TypeAlias

from pingap.testing import replies
from pingap.testing.fields import FieldsLike
from pingap.testing.replies import Handler
from pingap.testing.served import Received, Served
from pingap.testing.stream import LIMIT

Script: TypeAlias = Callable[[Served], None]
"""Handles a whole connection, which is closed afterwards."""

_STOP_SECONDS: Final = 5.0


class ScriptError(AssertionError):
    """A script of an upstream failed; its cause is the error."""


class Upstream:
    """An HTTP/1.1 server on a free port, with a thread for each connection.

    A path without its own response gets ``default``: 200 with the request's body, or ``ok``.

    :param script: handles whole connections instead, for behaviour that a response cannot express. It may be
        replaced at any time, which affects later connections.
    :param path: listen on a Unix socket with this path.
    """

    def __init__(self, script: Script | None = None, *, path: str | None = None) -> None:
        self.script: Script = script or self._serve_by_path
        self.default: Handler = replies.echo
        """The response on all other paths."""
        self.requests: list[Received] = []
        """The received requests, in the order of their heads."""
        self.errors: list[Exception] = []
        """Exceptions from scripts that no test expected."""
        self.connections = 0
        """Number of accepted connections."""
        self._handlers: dict[str, Handler] = {}
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        if path is None:
            self.sock = socket.create_server(("127.0.0.1", 0), backlog=512)
            self.port: int = self.sock.getsockname()[1]
            self.addr = f"127.0.0.1:{self.port}"
        else:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.bind(path)
            self.sock.listen(512)
            self.addr = f"unix:{path}"
        self._start(self._accept)

    # Responses.

    def on(self, path: str, handler: Handler) -> None:
        """Answer a path with a function.

        :param path: compared with the whole path of the request, without query.
        :param handler: gets the connection, to send on, and the request, whose body has been read.
        """
        self._handlers[path] = handler

    def reply(
        self,
        path: str,
        body: bytes | str | Iterable[bytes] = b"ok",
        status: int = 200,
        *,
        headers: FieldsLike = (),
        trailers: FieldsLike | None = None,
        interim: Iterable[tuple[int, FieldsLike]] = (),
        delay: float = 0.0,
        until: threading.Event | None = None,
    ) -> None:
        """Answer a path with a response.

        :param body: sent with its length; with several pieces, or trailers, in chunks.
        :param interim: statuses and headers of interim responses before it.
        :param delay: seconds of real time to wait before it.
        :param until: an event of the test to wait for before it.
        """
        self.on(
            path,
            replies.reply(
                body,
                status,
                headers=headers,
                trailers=trailers,
                interim=interim,
                delay=delay,
                until=until,
            ),
        )

    def stream(
        self,
        path: str,
        chunks: Iterable[bytes] | Callable[[], Iterable[bytes]],
        *,
        headers: FieldsLike = (),
        pause: float = 0.0,
    ) -> None:
        """Answer a path in chunks, each sent when it is yielded; they need not end.

        :param chunks: or a function that returns them, for each request.
        :param pause: seconds of real time after each.
        """
        self.on(path, replies.stream(chunks, headers=headers, pause=pause))

    def raw(
        self,
        path: str,
        *parts: bytes,
        then: Literal["close", "reset", "keep"] = "close",
        pause: float = 0.0,
    ) -> None:
        """Answer a path with raw bytes: truncated heads and bodies, wrong framing.

        :param then: close or reset the connection afterwards, or keep it.
        :param pause: seconds of real time between the parts.
        """
        self.on(path, replies.raw(*parts, then=then, pause=pause))

    def websocket(self, path: str) -> None:
        """Let a path switch to the WebSocket protocol, and send every message back."""
        self.on(path, replies.echo_websocket)

    # Requests.

    def received_once(self) -> Received:
        """Return the only request that was received.

        :raises AssertionError: there was none, or more than one.
        """
        if len(self.requests) == 1:
            return self.requests[0]
        found = ", ".join(map(str, self.requests)) or "nothing"
        raise AssertionError(f"the upstream received {found}; expected one request")

    def wait_for_request(self, count: int = 1, *, complete: bool = False) -> Received:
        """Return a request once its head, or all of it, has been received.

        :param count: its number; 1 is the first.
        :param complete: also wait for its body.
        :raises AssertionError: it did not arrive.
        """

        def there() -> bool:
            found = self.requests[count - 1 : count]
            return bool(found) and (found[0].complete or not complete)

        with self._changed:
            if not self._changed.wait_for(there, LIMIT):
                found = ", ".join(map(str, self.requests)) or "nothing"
                raise AssertionError(f"request {count} did not come; the upstream received {found}")
            return self.requests[count - 1]

    def expect_error(self, kind: type[Exception]) -> Exception:
        """Wait for a script to raise this exception, and return it; it does not fail the test.

        :raises AssertionError: none did.
        """

        def found() -> Exception | None:
            return next((error for error in self.errors if isinstance(error, kind)), None)

        with self._changed:
            if not self._changed.wait_for(found, LIMIT):
                raise AssertionError(f"no script raised {kind.__name__}")
            error = found()
            assert error is not None
            self.errors.remove(error)
            return error

    def check(self) -> None:
        """Raise an unexpected exception of a script.

        :raises ScriptError: with the exception as its cause.
        """
        if self.errors:
            error, *more = self.errors
            also = f" (and {len(more)} more)" if more else ""
            raise ScriptError(f"a script of the upstream failed: {error!r}{also}") from error

    # Serving.

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        name = "pingap.testing upstream"
        thread = threading.Thread(target=target, args=arguments, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            sock.settimeout(30)
            self._open.add(sock)
            self.connections += 1
            self._start(self._serve, sock, self.connections)

    def _serve(self, sock: socket.socket, number: int) -> None:
        served = Served(sock, number, self._note, self._stopping)
        try:
            self.script(served)
        except (ConnectionError, TimeoutError):
            pass  # the proxy disconnected, as many tests intend
        except Exception as error:
            ended = served.closed and isinstance(
                error, OSError
            )  # it used a connection that it had closed
            if not (ended or self._stopping.is_set()):
                with self._changed:
                    self.errors.append(error)
                    self._changed.notify_all()
        finally:
            self._open.discard(sock)
            sock.close()

    def _serve_by_path(self, served: Served) -> None:
        while not served.closed and (request := served.read_request()) is not None:
            self._handlers.get(request.path, self.default)(served, request)

    def _note(self, request: Received) -> None:
        with self._changed:
            if not any(request is known for known in self.requests):
                self.requests.append(request)
            self._changed.notify_all()

    def close(self) -> None:
        """Stop listening, close every connection, and wait for all scripts to end."""
        self._stopping.set()
        with contextlib.suppress(OSError):  # already closed by the test
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        self._threads[0].join(_STOP_SECONDS)
        for sock in list(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)  # close alone would not wake a reader
        for thread in self._threads:
            thread.join(_STOP_SECONDS)
        if any(thread.is_alive() for thread in self._threads):
            raise ScriptError("a script of the upstream did not end with the upstream")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        if error is None:
            self.check()
