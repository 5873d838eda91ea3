"""A response: made by a plugin, or the head of an upstream's. Nothing here does IO."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from http import HTTPStatus
from typing import Final

from pingap.http.headers import Field, Headers, set_unchecked
from pingap.http.redirects import STATUSES, location_field
from pingap.http.request import Request
from pingap.http.response_checks import RESPONSE_CHECKS, length_of

NO_CACHE: Field = (b"cache-control", b"Cache-Control: private, no-cache")
_TEXT: Field = (b"content-type", b"Content-Type: text/plain; charset=utf-8")
_JSON: Field = (b"content-type", b"Content-Type: application/json; charset=utf-8")
_HTML: Field = (b"content-type", b"Content-Type: text/html; charset=utf-8")
_HTML_HEADERS = Headers((_HTML, NO_CACHE))
_TEXT_HEADERS = Headers((_TEXT, NO_CACHE))
_JSON_HEADERS = Headers((_JSON, NO_CACHE))


class Response:
    """A response: made by a plugin, or the head of an upstream's response.

    Assigned values are checked immediately. Nothing can be assigned after the head was sent, because no
    client would see the change.

    :param status: 200 to 599.
    :param body: the whole body, or an async iterable of chunks, sent as they are produced (a file:
        :class:`FileBody`).
    :param headers: fields to send. The proxy writes ``Content-Length`` and similar fields;
        ``Cache-Control: private, no-cache`` is added unless given.
    :raises ValueError: another status.
    :raises TypeError: another kind of body.
    """

    __slots__ = (
        "body",
        "content_length",
        "headers",
        "is_read",
        "reason",
        "sent",
        "status",
        "upstream",
    )

    status: int
    """200 to 599; 101 and interim statuses only from an upstream."""
    headers: Headers
    """The fields."""
    body: bytes | AsyncIterable[bytes]
    """The whole body, or chunks that are sent as they are produced; for an upstream's response, data that
    came with its head."""
    content_length: int | None
    """Bytes of the body; None if unknown."""
    reason: bytes | None
    """The reason phrase of an upstream; None for the standard phrase."""
    upstream: bool
    """Whether it is the response of an upstream."""
    sent: bool
    """Whether the head has been sent, and can no longer be changed."""
    is_read: bool  # of an upstream, and its body may be replaced; unset until ``ctx.read_response``

    def __init__(
        self,
        status: int,
        body: bytes | str | AsyncIterable[bytes] = b"",
        headers: Headers | Mapping[str, str] | None = None,
    ) -> None:
        set_unchecked(self, "sent", False)
        set_unchecked(self, "upstream", False)
        self.reason = None
        self.status = status
        # A copy, since the caller may use the headers for several responses.
        self.headers = headers.copy() if isinstance(headers, Headers) else Headers(headers or ())
        self.body = body.encode() if isinstance(body, str) else body
        if b"cache-control" not in self.headers.keys:
            self.headers.append(NO_CACHE)

    def __setattr__(self, name: str, value: object) -> None:
        """Assign and check an attribute.

        :raises TypeError: another type.
        :raises ValueError: another value.
        :raises RuntimeError: the head has been sent.
        """
        if self.sent:
            raise RuntimeError(f"response.{name} can no longer be changed: the head was sent")
        if (check := RESPONSE_CHECKS.get(name)) is not None:
            check(self, value)
        if name == "body":
            set_unchecked(self, "content_length", length_of(value))
        set_unchecked(self, name, value)

    @classmethod
    def from_upstream(
        cls, status: int, reason: bytes | None, headers: Headers, content_length: int | None
    ) -> Response:
        """Return a response whose head arrived from an upstream, interim (1xx) or final.

        :param reason: None if the protocol has none (HTTP/2).
        :param content_length: None if it was not announced.
        """
        return make_response(status, reason, headers, content_length, b"", True)

    def copy(self) -> Response:
        """Return a copy of this response, so that one that is sent often is created only once."""
        headers = self.headers.copy()
        return make_response(self.status, None, headers, self.content_length, self.body, False)

    @classmethod
    def drop(cls) -> Response:
        """Return a response that is not sent: instead, the connection is closed or the stream reset.

        For clients that should get no response. The access log shows status 444.
        """
        return cls(444, NO_ANSWER)

    @classmethod
    def internal_redirect(cls, target: str) -> Response:
        """Return a response that is not sent: an internal location of the server answers instead.

        A plugin may return it from ``request``, ``proxy_upstream`` and ``upstream_response``. The location
        (``internal = true``) gets a GET request, or HEAD, for the target, without body. Phases for the response
        run for the plugins of both locations.

        :param target: the path, with or without query, percent-encoded.

        .. versionadded:: 1.1
        """
        return InternalRedirect(target)

    @classmethod
    def text(cls, status: int, text: str) -> Response:
        """Return a plain text response (UTF-8)."""
        return cls(status, text.encode(), _TEXT_HEADERS)

    @classmethod
    def json(cls, value: object, status: int = 200) -> Response:
        """Return a JSON response."""
        return cls(status, json.dumps(value).encode(), _JSON_HEADERS)

    @classmethod
    def html(cls, text: str, status: int = 200) -> Response:
        """Return an HTML page (UTF-8). Escape input from clients in it: ``html.escape``."""
        return cls(status, text.encode(), _HTML_HEADERS)

    @classmethod
    def redirect(
        cls,
        location: str,
        status: int = 302,
        *,
        external: bool = False,
        headers: Headers | Mapping[str, str] | None = None,
    ) -> Response:
        """Return a redirect without a body. 303 changes the method to GET, 307 and 308 keep it.

        Characters that are invalid in a URL are percent-encoded, those beyond ASCII as UTF-8; ``%`` is kept.
        So ``request.path`` can be passed unchanged; ``request.query`` only if it is ASCII, since it has a
        character for each byte.

        :param location: a path, with or without query, beginning with one slash.
        :param status: 301, 302, 303, 307 or 308.
        :param external: ``location`` may also be an ``http`` or ``https`` URL with an ASCII host and without
            user info. Never set it for text from a client.
        :param headers: additional fields.
        :raises ValueError: another location or status.
        """
        if status not in STATUSES:
            raise ValueError(f"{status!r} is not the status of a redirect: {STATUSES}")
        response = cls(status, b"", headers)
        response.headers.replace(location_field(location, external=external))
        return response

    def __repr__(self) -> str:
        return f"<Response {self.status}>"


class InternalRedirect(Response):
    """Stands for the response of an internal location (``Response.internal_redirect``).

    :param target: as in a request line.
    """

    __slots__ = ("target",)

    def __init__(self, target: str) -> None:
        super().__init__(500)
        self.target = target


class _NoAnswer:
    """The body of a response that is not sent."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        raise AssertionError("the body of a dropped response is never read")


NO_ANSWER: Final = _NoAnswer()


def has_no_body(request: Request, response: Response) -> bool:
    """Return whether the response has no body in any case (RFC 9112, 6.3)."""
    return request.method == "HEAD" or response.status in (204, 304)


class _Unchecked(Response):
    """A response that is created from values known to be valid."""

    __slots__ = ()
    __setattr__ = object.__setattr__  # type: ignore[assignment]


_new: Final = object.__new__


def make_response(
    status: int,
    reason: bytes | None,
    headers: Headers,
    content_length: int | None,
    body: bytes | AsyncIterable[bytes],
    upstream: bool,
) -> Response:
    """Return a response from values that need no check; see ``Response`` for their meaning."""
    self: Response = _new(_Unchecked)
    self.status = status
    self.reason = reason
    self.headers = headers
    self.content_length = content_length
    self.body = body
    self.upstream = upstream
    self.sent = False
    self.__class__ = Response
    return self


REASONS: dict[int, bytes] = {one.value: one.phrase.encode() for one in HTTPStatus}
"""Reason phrases of the registered status codes (RFC 9110, 15)."""
