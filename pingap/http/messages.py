"""Requests and responses: the heads that plugins read and change. Nothing here does IO."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from http import HTTPStatus
from typing import Final

from pingap.http.cookies import parse_cookies
from pingap.http.forms import parse_query
from pingap.http.headers import Field, Headers, new
from pingap.http.multi_dict import MultiDict
from pingap.http.paths import as_sent
from pingap.http.redirects import STATUSES, location_field
from pingap.http.response_checks import RESPONSE_CHECKS, length_of

NO_CACHE: Field = (b"cache-control", b"Cache-Control: private, no-cache")
_TEXT: Field = (b"content-type", b"Content-Type: text/plain; charset=utf-8")
_JSON: Field = (b"content-type", b"Content-Type: application/json; charset=utf-8")
_HTML: Field = (b"content-type", b"Content-Type: text/html; charset=utf-8")
_HTML_HEADERS = Headers((_HTML, NO_CACHE))
_TEXT_HEADERS = Headers((_TEXT, NO_CACHE))
_JSON_HEADERS = Headers((_JSON, NO_CACHE))
_TARGET = re.compile(r"[!-\"$-~\x80-\xff]+").fullmatch  # no control character, space, or fragment


class Request:
    """The head of a request, as received; plugins may change it before it is sent on.

    The body is not included: use a request body filter (``request_body``), or ``ctx.read_body`` for the whole
    body.

    ``target`` and ``query`` are as sent, with a character for each byte (Latin-1). ``path`` is the path that
    locations and plugins match: normalised Unicode text, unless the server has ``path_matching = "raw"``. See
    ``raw_path`` for the path as sent.
    """

    __slots__ = (
        "_parsed_query",
        "asks_timing",
        "body",
        "chunked",
        "content_length",
        "expects_continue",
        "headers",
        "host",
        "http_version",
        "keep_alive",
        "method",
        "other_paths",
        "path",
        "path_danger",
        "query",
        "received_target",
        "sent",
        "target",
        "upgrade",
        "websocket_key",
    )

    method: str
    target: str
    path: str
    query: str
    headers: Headers
    host: str
    """The requested host: of an absolute target, else of ``Host``.

    Without port, in lower case, without a final dot; an IPv6 literal has brackets.
    """
    http_version: str
    """``1.0``, ``1.1`` or ``2.0``."""
    content_length: int
    """Bytes of the body, if announced."""
    chunked: bool
    """Whether a body of unknown length follows."""
    expects_continue: bool
    """Whether the client waits for 100 Continue before it sends the body."""
    upgrade: str
    """The protocol that the client wants to switch to (``websocket``); empty for none."""
    websocket_key: str
    """The ``Sec-WebSocket-Key`` for a client without one, because it uses HTTP/2."""
    asks_timing: bool
    """Whether the client asked for plugin timing (``X-Pingap-Plugin-Timing``)."""
    body: bytes | None
    """The whole body, if a plugin asked for it (``Plugin.whole_request_body``, ``ctx.read_body``)."""
    keep_alive: bool
    """Whether the client may send another request on this connection."""
    other_paths: tuple[str, ...]
    """Other paths that a backend may read this path as (``servers.*.allow_in_paths``)."""
    path_danger: str
    """Why no upstream gets the request: it could serve another path than the one matched."""
    received_target: str
    """The target as the client sent it, if another one is forwarded (``servers.*.forward_path``)."""
    sent: bool
    """Whether the head has been sent to an upstream, and can no longer be changed."""
    _parsed_query: tuple[str, MultiDict]  # unset until a plugin needs it

    def __init__(
        self,
        method: str,
        target: str,
        headers: Headers,
        host: str = "",
        http_version: str = "1.1",
    ) -> None:
        path, _, query = target.partition("?")
        self.begin(method, target, path, query, host, headers)
        self.http_version = http_version

    def begin(
        self, method: str, target: str, path: str, query: str, host: str, headers: Headers
    ) -> None:
        """Set everything: an HTTP/1.1 request without a body, whose target has been split."""
        self.method = method
        self.target = target
        self.path = path
        self.query = query
        self.host = host
        self.headers = headers
        self.http_version = "1.1"
        self.content_length = 0
        self.chunked = self.expects_continue = self.asks_timing = False
        self.upgrade = self.websocket_key = self.path_danger = self.received_target = ""
        self.body = None
        self.sent = False
        self.keep_alive = True
        self.other_paths = ()

    def copy(self) -> Request:
        """Return a copy, which can be changed even if this one was sent.

        .. versionadded:: 1.1
        """
        made: Request = object.__new__(type(self))
        for name in Request.__slots__:
            if hasattr(self, name):
                set_unchecked(made, name, getattr(self, name))
        set_unchecked(made, "headers", self.headers.copy())
        set_unchecked(made, "sent", False)
        return made

    @property
    def raw_path(self) -> str:
        """The path of the target, not normalised; bytes beyond ASCII are percent-encoded."""
        path = self.target.partition("?")[0]
        return path if path.isascii() else as_sent(path, "latin-1")

    @property
    def has_body(self) -> bool:
        """True if body bytes or trailers may follow the head."""
        return self.chunked or self.content_length > 0

    def rewrite(self, path: str, query: str | None = None) -> None:
        """Change the target for the upstream.

        The original one stays available in ``ctx.original``.

        :param path: the new path, beginning with ``/``, percent-encoded where needed; characters beyond ASCII
            are encoded here. Later plugins see it as given.
        :param query: the new query without ``?``, in the form of ``query``; ``None`` keeps it.
        :raises ValueError: a character that is invalid in a request target.
        """
        query = self.query if query is None else query
        target = f"{as_sent(path)}?{query}" if query else as_sent(path)
        if not path.startswith("/") or "?" in path or not is_target(target):
            raise ValueError(f"{target!r} is not a request target")
        set_unchecked(self, "path", path)
        set_unchecked(self, "query", query)
        set_unchecked(self, "target", target)

    def replace_query(self, query: str) -> None:
        """Change the query for the upstream; the path stays as it is, as matched and as sent.

        :param query: without ``?``, in the form of ``query``; empty: the target has none.
        :raises ValueError: a character that is invalid in a request target.

        .. versionadded:: 1.1
        """
        path = self.target.partition("?")[0]
        target = f"{path}?{query}" if query else path
        if not is_target(target):
            raise ValueError(f"{target!r} is not a request target")
        set_unchecked(self, "query", query)
        set_unchecked(self, "target", target)

    def header(self, name: str) -> str | None:
        """Return the value of a header field; several lines form one list (:meth:`Headers.get`)."""
        return self.headers.get(name)

    def cookie(self, name: str) -> str | None:
        """Return the value of a cookie; the first one if the client sends several with that name."""
        text = self.headers.get("cookie")
        if text is None or name not in text:
            return None
        for pair in text.split(";"):
            key, _, value = pair.strip().partition("=")
            if key == name:
                return value
        return None

    @property
    def cookies(self) -> MultiDict:
        """All cookies, as sent; parsed at each access. ``cookie`` is faster for a single one."""
        return parse_cookies(self.headers.get("cookie", ""))

    @property
    def query_params(self) -> MultiDict:
        """The parameters of the query, decoded: escapes and ``+``; invalid UTF-8 becomes U+FFFD.

        Parsed at the first access, and again if a plugin has changed the query.

        :raises HTTPError: 400, more than 1000 parameters. It is a ``ValueError``, too.
        """
        parsed = getattr(self, "_parsed_query", None)
        if parsed is None or parsed[0] is not self.query:
            parsed = (self.query, parse_query(self.query))
            set_unchecked(self, "_parsed_query", parsed)
        return parsed[1]

    def query_value(self, name: str) -> str | None:
        """Return the first value of a query parameter, as sent (``query_params`` decodes)."""
        for pair in self.query.split("&"):
            key, _, value = pair.partition("=")
            if key == name and pair:
                return value
        return None

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.host}{ascii(self.target)[1:-1]}>"  # for logs


def has_no_body(request: Request, response: Response) -> bool:
    """Return whether the response has no body in any case (RFC 9112, 6.3)."""
    return request.method == "HEAD" or response.status in (204, 304)


def is_target(text: str) -> bool:
    """Return whether a text is valid in a request line (RFC 9112, 3.2), including UTF-8."""
    return _TARGET(text) is not None


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
        *("body", "content_length", "headers", "is_read", "reason", "sent", "status", "upstream"),
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


class _NoAnswer:
    """The body of a response that is not sent."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        raise AssertionError("the body of a dropped response is never read")


NO_ANSWER: Final = _NoAnswer()


class _Unchecked(Response):
    """A response that is created from values known to be valid."""

    __slots__ = ()
    __setattr__ = object.__setattr__  # type: ignore[assignment]


def make_response(
    status: int,
    reason: bytes | None,
    headers: Headers,
    content_length: int | None,
    body: bytes | AsyncIterable[bytes],
    upstream: bool,
) -> Response:
    """Return a response from values that need no check; see ``Response`` for their meaning."""
    self: Response = new(_Unchecked)
    self.status = status
    self.reason = reason
    self.headers = headers
    self.content_length = content_length
    self.body = body
    self.upstream = upstream
    self.sent = False
    self.__class__ = Response
    return self


set_unchecked: Final = object.__setattr__
"""Assigns attributes that plugins may not assign, or no longer."""


REASONS: dict[int, bytes] = {one.value: one.phrase.encode() for one in HTTPStatus}
"""Reason phrases of the registered status codes (RFC 9110, 15)."""
