"""A connection to one etcd member, for one request or one stream.

etcd's JSON gateway: keys and values are base64, numbers of 64 bits are strings, and members with their
default value are absent.
"""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import anyio
import httpcore

from pingap import StorageError
from pingap_etcd.location import Location

MOST_BYTES: Final = 64 << 20
"""Maximum size of an answer, or of one message of a stream."""
SILENCE_SECONDS: Final = 60.0
"""How long a stream may say nothing: its connection may be dead."""
_UNAUTHENTICATED: Final = ("invalid auth token", "revision of auth store is old")
_OTHER_MEMBER: Final = ("no leader", "request timed out", "server stopped", "leader changed")

Answer = dict[str, Any]


class UnreachableError(StorageError):
    """A member, or all of them, gave no answer."""


class SilentError(Exception):
    """A stream said nothing for ``SILENCE_SECONDS``."""


class TokenExpiredError(Exception):
    """The token of the login is not accepted any more."""


class Session:
    """Requests to one member.

    :param location: with the time limits.
    :param endpoint: URL of the member.
    """

    def __init__(
        self, location: Location, endpoint: str, pool: httpcore.AsyncConnectionPool
    ) -> None:
        self._location = location
        self._endpoint = endpoint
        self._pool = pool

    @classmethod
    @asynccontextmanager
    async def open(cls, location: Location, endpoint: str) -> AsyncIterator[Session]:
        """Yield a session; it connects with its first request.

        Certificates are read for each session, so those that were renewed are used.

        :raises StorageError: the certificates cannot be used.
        """
        context = _context(location) if endpoint.startswith("https:") else None
        async with httpcore.AsyncConnectionPool(ssl_context=context) as pool:
            yield cls(location, endpoint, pool)

    async def post(
        self, path: str, body: Mapping[str, object], headers: Mapping[str, str]
    ) -> Answer:
        """Make a request and return its answer.

        :param path: below ``/v3/``.
        :raises UnreachableError: there is no answer.
        :raises TokenExpiredError: another login is needed.
        :raises StorageError: the request is refused.
        """
        received = bytearray()
        with self._translated():
            async with self._request(path, body, headers, silence=None) as answer:
                async for chunk in answer.aiter_stream():
                    received += chunk
                    if len(received) > MOST_BYTES:
                        raise StorageError(f"the answer of etcd is over {MOST_BYTES >> 20} MiB")
        return _answer(bytes(received), answer.status)

    async def stream(
        self, path: str, body: Mapping[str, object], headers: Mapping[str, str]
    ) -> AsyncIterator[Answer]:
        """Make a request and yield its messages, each of which is a line.

        :raises SilentError: there was no message for a while.
        :raises UnreachableError: there is no answer, or the connection was lost.
        :raises TokenExpiredError: another login is needed.
        :raises StorageError: the request is refused.
        """
        received = bytearray()
        with self._translated():
            async with self._request(path, body, headers, silence=SILENCE_SECONDS) as answer:
                async for chunk in answer.aiter_stream():
                    received += chunk
                    while (end := received.find(b"\n")) >= 0:
                        line = bytes(received[:end])
                        del received[: end + 1]
                        yield _message(line, answer.status)
                    if len(received) > MOST_BYTES:
                        raise StorageError(f"a message of etcd is over {MOST_BYTES >> 20} MiB")
        if received:
            _answer(bytes(received), answer.status)  # an error has no end of line
        raise UnreachableError(f"{self._endpoint}: the stream ended")

    @asynccontextmanager
    async def _request(
        self,
        path: str,
        body: Mapping[str, object],
        headers: Mapping[str, str],
        silence: float | None,
    ) -> AsyncIterator[httpcore.Response]:
        limits = {
            "connect": self._location.connect_timeout,
            "write": self._location.timeout,
            "read": silence,
        }
        content = json.dumps(body).encode()
        fields = {
            **headers,
            "Host": self._endpoint.partition("://")[2],
            "Content-Length": str(len(content)),
        }
        request = httpcore.Request(
            "POST",
            f"{self._endpoint}/v3/{path}",
            headers=[(name.encode(), value.encode()) for name, value in fields.items()],
            content=content,
            extensions={"timeout": limits},
        )
        with anyio.move_on_after(self._location.timeout) as limit:
            answer = await self._pool.handle_async_request(request)
        if limit.cancelled_caught:
            raise UnreachableError(
                f"{self._endpoint}: no answer within {self._location.timeout:g} s"
            )
        try:
            yield answer
        finally:
            await answer.aclose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except httpcore.ConnectTimeout:
            seconds = self._location.connect_timeout
            raise UnreachableError(
                f"{self._endpoint}: no connection within {seconds:g} s"
            ) from None
        except httpcore.ReadTimeout:
            raise SilentError from None
        except (
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.TimeoutException,
            OSError,  # TLS 1.3: a certificate is refused after the handshake, which httpcore passes on
        ) as error:
            raise UnreachableError(f"{self._endpoint}: {_reason(error)}") from None


def _context(location: Location) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=location.ca or None)
    except OSError as error:
        raise StorageError(f"ca: {location.ca} cannot be used: {_reason(error)}") from None
    if location.cert:
        try:
            context.load_cert_chain(location.cert, location.key, password=_no_password)
        except (OSError, ValueError) as error:
            files = f"{location.cert} with {location.key}"
            raise StorageError(f"cert: {files} cannot be used: {_reason(error)}") from None
    return context


def _no_password() -> str:
    raise ValueError("the key is encrypted")


def _message(line: bytes, status: int) -> Answer:
    """Return a message of a stream; one that cancels a watch because of the login is an exception."""
    message = _answer(line, status)
    result: Answer = message.get("result", message)
    _check_token(str(result.get("cancel_reason", "")))
    return result


def _answer(data: bytes, status: int) -> Answer:
    """Return an answer; errors are exceptions."""
    try:
        answer = json.loads(data)
    except ValueError:
        answer = None
    if not isinstance(
        answer, dict
    ):  # for example, a client certificate with a name is refused as text
        shown = data[:200].decode("utf-8", "replace").strip()
        raise StorageError(f"etcd answered with the status {status}: {shown}")
    error = answer.get("error")
    if error is None and status == 200:
        return answer
    text = str(error.get("message") if isinstance(error, dict) else answer.get("message", error))
    _check_token(text)
    if any(one in text for one in _OTHER_MEMBER):
        raise UnreachableError(text)
    raise StorageError(f"etcd answered: {text}")


def _check_token(text: str) -> None:
    if any(one in text for one in _UNAUTHENTICATED):
        raise TokenExpiredError


def _reason(error: BaseException) -> str:
    """Return the message of the system or of OpenSSL, which libraries wrap."""
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, ssl.SSLCertVerificationError):
            return f"its certificate is not valid: {below.verify_message}"
        if isinstance(below, ssl.SSLError):
            return below.reason or str(below)
        if isinstance(below, OSError) and below.errno:
            return os.strerror(below.errno)  # asyncio has its own text
        below = below.__cause__ or below.__context__
    return str(error) or type(error).__name__
