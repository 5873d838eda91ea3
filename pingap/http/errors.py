"""Errors that are sent to clients, and errors that never are.

An error has a source (who is at fault), a status and a message for the client. Pages are made by
``error_page``, and retries are decided in ``lifecycle``.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING

from pingap.http.headers import Field, field

if TYPE_CHECKING:
    from pingap.http.request import Request


class Source(Enum):
    """Who caused an error."""

    DOWNSTREAM = "downstream"
    UPSTREAM = "upstream"
    PLUGIN = "plugin"
    INTERNAL = "internal"


class PingapError(Exception):
    """The base of all errors that pingap raises deliberately."""


class HTTPError(PingapError):
    """Ends a request with a status and a sentence for the client.

    A plugin may raise it from any phase that runs before the response head was sent.

    :param status: the status code to answer with, 400 to 599.
    :param message: one sentence for the client; it must not expose internal addresses, paths or values.
    :param error_type: the value of ``{{error_type}}`` in ``basic.error_template``.
    :param headers: header fields of the response, such as ``{"Retry-After": "60"}``.
    :raises TypeError: a message that is not a string.
    :raises ValueError: another status, an error type that is not one word, or a malformed header.
    """

    source = Source.INTERNAL

    def __init__(
        self,
        status: int,
        message: str = "",
        *,
        error_type: str = "HTTPStatus",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        if not isinstance(message, str):
            raise TypeError(f"the message is text for the client, not {message!r:.40}")
        if not isinstance(status, int) or not 400 <= status <= 599:
            raise ValueError(f"{status!r} is not the status of an error (400 to 599)")
        if not error_type.isalnum():
            raise ValueError(f"{error_type!r} is not a word")
        self.status = status
        self.message = message
        self.error_type = error_type
        self.fields: list[Field] = [field(*item) for item in headers.items()] if headers else []
        """The fields, prepared."""


class BadRequest(HTTPError):
    """The client violated the protocol. The connection is closed if no further request can be read.

    :param status: 400, or the more specific 408, 413, 414, 431, 501 or 505.
    """

    source = Source.DOWNSTREAM
    request: Request | None = None
    """The request, as far as it could be read; for the log."""

    def __init__(self, message: str, status: int = 400) -> None:
        kind = "ReadTimedout" if status == 408 else "InvalidHTTPHeader"
        super().__init__(status, message, error_type=kind)


class ClientGone(PingapError):
    """The client disconnected before its response was complete."""


class UpstreamError(HTTPError):
    """An upstream could not be reached, violated the protocol, or closed the connection too early.

    :param detail: the reason, for the log; it may contain addresses, so it is never sent to the client.
    :param connecting: the connection failed, so another attempt is always safe.
    :param untouched: the connection ended before any byte of a response.
    :param unprocessed: the upstream reported that it did not process the request (HTTP/2), or never got it.
    :param blameless: the peer did not cause the error, so it does not count as its failure.
    """

    source = Source.UPSTREAM

    def __init__(
        self,
        detail: str,
        *,
        error_type: str = "ConnectionClosed",
        status: int = 502,
        connecting: bool = False,
        untouched: bool = False,
        unprocessed: bool = False,
        blameless: bool = False,
    ) -> None:
        super().__init__(status, "The upstream server could not answer", error_type=error_type)
        self.detail = detail
        self.connecting = connecting
        self.untouched = untouched
        self.unprocessed = unprocessed
        self.blameless = blameless

    def __str__(self) -> str:
        return self.detail


class OriginError(UpstreamError):
    """An origin failed: it raised an exception, or broke the rules of its interface.

    :param origin: its name.
    :param cause: the exception.
    """

    place = ""
    hook = "origin"

    def __init__(self, origin: str, cause: BaseException) -> None:
        super().__init__(f"{origin} failed", error_type="OriginFailed")
        self.instance = origin
        self.__cause__ = cause


class MessageError(HTTPError):
    """A body does not consist of the expected messages, or one of them is too large.

    :param detail: what was sent, for the log: "sent an event of ...".
    :param status: the status if the client sent it; for an upstream it is always 502.
    :param from_client: whether the client sent it.
    """

    def __init__(self, detail: str, status: int = 502, *, from_client: bool = False) -> None:
        message = "The request body is not valid" if status == 400 else "A message is too large"
        if not from_client:
            status, message = 502, "The upstream server could not answer"
        super().__init__(status, message, error_type="InvalidMessage")
        self.source = Source.DOWNSTREAM if from_client else Source.UPSTREAM
        self.detail = detail

    def __str__(self) -> str:
        return self.detail


class FileBodyError(HTTPError):
    """A file that is the body of a response cannot be read to its end; this is logged as a warning.

    :param detail: the reason, for the log; it may contain paths, so it is never sent to the client.
    """

    def __init__(self, detail: str) -> None:
        super().__init__(500, "Internal server error", error_type="InternalError")
        self.detail = detail

    def __str__(self) -> str:
        return self.detail


class PluginError(HTTPError):
    """A plugin raised an exception: the client gets 500, without the reason.

    :param instance: name of the plugin instance, its key in ``[plugins]``.
    :param hook: the phase it was called in.
    :param place: file and line of the code that was called, if it did not raise the exception itself.
    """

    source = Source.PLUGIN

    def __init__(self, instance: str, hook: str, place: str = "") -> None:
        super().__init__(500, "Internal server error", error_type="InternalError")
        self.instance = instance
        self.hook = hook
        self.place = place

    def __str__(self) -> str:
        return f"plugin {self.instance} failed in {self.hook}"


def forget_frames(error: BaseException) -> None:
    """Remove the tracebacks of a handled error and of its causes.

    Their frames refer to the request, which refers to the error: a reference cycle that only the
    garbage collector frees.
    """
    below: BaseException | None = error
    while below is not None:
        below.__traceback__ = None
        below = below.__cause__ or below.__context__
