"""Requests and responses: the heads that plugins look at and change. Nothing here does IO."""

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

    The body is not here: a request body filter sees it (``request_body``), and ``ctx.read_body`` reads
    all of it.

    ``target`` and ``query`` are as sent, with a character for each byte (Latin-1). ``path`` is what
    locations and plugins match on: normalised Unicode text, unless the server says
    ``path_matching = "raw"``. See ``raw_path`` for the path as sent.
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
    """The host that was asked for: of an absolute target, else of ``Host``.

    Without port, in lower case, without a dot at its end; an IPv6 literal has brackets.
    """
    http_version: str
    """``1.0``, ``1.1`` or ``2.0``."""
    content_length: int
    """Bytes of the body, if their number was announced."""
    chunked: bool
    """A body of unknown length follows."""
    expects_continue: bool
    """The client waits for 100 Continue before it sends the body."""
    upgrade: str
    """The protocol that the client wants to change to (``websocket``); empty for none."""
    websocket_key: str
    """What is sent as ``Sec-WebSocket-Key`` for a client that sends none, since it speaks HTTP/2."""
    asks_timing: bool
    """The client asked for the time of plugins (``X-Pingap-Plugin-Timing``)."""
    body: bytes | None
    """The whole body, if a plugin asked for it (``Plugin.whole_request_body``, ``ctx.read_body``)."""
    keep_alive: bool
    """The client may send another request on this connection."""
    other_paths: tuple[str, ...]
    """What else a backend may take the path for (``servers.*.allow_in_paths``)."""
    path_danger: str
    """Why no upstream gets the request: it may serve another path than the one matched on."""
    received_target: str
    """The target as the client sent it, if not that is forwarded (``servers.*.forward_path``)."""
    sent: bool
    """The head was sent to an upstream, and cannot be changed any more."""
    _parsed_query: tuple[str, MultiDict]  # unset until a plugin asks

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
        """Set everything: a request of HTTP/1.1 without a body, whose target was split before."""
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
        """Change what the upstream is asked for.

        What the client asked for stays readable in ``ctx.original``.

        :param path: the new path, beginning with ``/``, percent-encoded where needed; characters
            beyond ASCII are encoded here. Later plugins see it as it is given.
        :param query: the new query without ``?``, written as ``query`` is; ``None`` keeps it.
        :raises ValueError: a character that cannot stand in a request target.
        """
        query = self.query if query is None else query
        target = f"{as_sent(path)}?{query}" if query else as_sent(path)
        if not path.startswith("/") or "?" in path or not is_target(target):
            raise ValueError(f"{target!r} is not a request target")
        set_unchecked(self, "path", path)
        set_unchecked(self, "query", query)
        set_unchecked(self, "target", target)

    def header(self, name: str) -> str | None:
        """Return the value of a header field; several lines are one list (:meth:`Headers.get`)."""
        return self.headers.get(name)

    def cookie(self, name: str) -> str | None:
        """Return the value of a cookie; the first one, if the client sends several of that name."""
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
        """All cookies, as sent; parsed at each access. ``cookie`` is quicker for a single one."""
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
        return f"<Request {self.method} {self.host}{ascii(self.target)[1:-1]}>"  # (for logs)


def has_no_body(request: Request, response: Response) -> bool:
    """Return whether no body may be sent, whatever the head says (RFC 9112, 6.3)."""
    return request.method == "HEAD" or response.status in (204, 304)


def is_target(text: str) -> bool:
    """Return whether a text can stand in a request line (RFC 9112, 3.2), UTF-8 included."""
    return _TARGET(text) is not None


class Response:
    """A response: made by a plugin, or the head of what an upstream sent.

    What is assigned is checked at once, and nothing can be assigned any more when the head was sent: a
    change that no client would see is a mistake.

    :param status: 200 to 599.
    :param body: the whole body, or an async iterable of chunks, sent as they come (a file:
        :class:`FileBody`).
    :param headers: fields to send. ``Content-Length`` and the like are written by the proxy;
        ``Cache-Control: private, no-cache`` is added unless given.
    :raises ValueError: another status.
    :raises TypeError: another kind of body.
    """

    __slots__ = ("body", "content_length", "headers", "reason", "sent", "status", "upstream")

    status: int
    """200 to 599; 101 and interim ones only of an upstream."""
    headers: Headers
    """The fields."""
    body: bytes | AsyncIterable[bytes]
    """All of it, or chunks that are sent as they come; of an upstream's response, what came with
    its head."""
    content_length: int | None
    """Bytes of the body; None if that is not known."""
    reason: bytes | None
    """What an upstream said beside the status; None for the usual phrase."""
    upstream: bool
    """Whether it came from an upstream."""
    sent: bool
    """The head was sent, and cannot be changed any more."""

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
        # A copy, since the caller may use the headers for every response.
        self.headers = headers.copy() if isinstance(headers, Headers) else Headers(headers or ())
        self.body = body.encode() if isinstance(body, str) else body
        if b"cache-control" not in self.headers.keys:
            self.headers.append(NO_CACHE)

    def __setattr__(self, name: str, value: object) -> None:
        """Assign what the response may have.

        :raises TypeError: another type.
        :raises ValueError: another value.
        :raises RuntimeError: the head was sent.
        """
        if self.sent:
            raise RuntimeError(f"response.{name} cannot be changed any more: the head was sent")
        if (check := RESPONSE_CHECKS.get(name)) is not None:
            check(self, value)
        if name == "body":
            set_unchecked(self, "content_length", length_of(value))
        set_unchecked(self, name, value)

    @classmethod
    def from_upstream(
        cls, status: int, reason: bytes | None, headers: Headers, content_length: int | None
    ) -> Response:
        """Return the response whose head arrived from an upstream, interim (1xx) or final.

        :param reason: None if the protocol has none: HTTP/2.
        :param content_length: None if the head announced none.
        """
        return make_response(status, reason, headers, content_length, b"", True)

    def copy(self) -> Response:
        """Return a response like this one, so that one that is often sent is made only once."""
        headers = self.headers.copy()
        return make_response(self.status, None, headers, self.content_length, self.body, False)

    @classmethod
    def drop(cls) -> Response:
        """Return a response that is not sent: the connection is closed, or the stream reset, instead.

        For clients that deserve no answer. The access log shows status 444.
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
        """Return an HTML page (UTF-8). What clients sent must be escaped in it: ``html.escape``."""
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

        Characters that cannot stand in a URL are percent-encoded, those beyond ASCII as UTF-8;
        ``%`` stays. So ``request.path`` can be given as it is; ``request.query`` only if it is
        ASCII, since it has a character for each byte.

        :param location: a path, with or without query, beginning with one slash.
        :param status: 301, 302, 303, 307 or 308.
        :param external: ``location`` may also be a URL of ``http`` or ``https``, whose host is
            ASCII and has no user in front. Never set it for text of a client.
        :param headers: further fields.
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
    """A response in the making, of values that are known to be right."""

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
    """Return a response of values that need no check; ``Response`` says what each is."""
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
"""Assign to a message what plugins may not, or not any more."""


REASONS: dict[int, bytes] = {one.value: one.phrase.encode() for one in HTTPStatus}
"""Reason phrases of the registered status codes (RFC 9110, 15)."""
