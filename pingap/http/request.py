"""The head of a request, which plugins read and change. Nothing here does IO."""

from __future__ import annotations

import re
from typing import Final

from mypy_extensions import mypyc_attr

from pingap.http.cookies import parse_cookies
from pingap.http.forms import parse_query
from pingap.http.headers import Headers, set_unchecked
from pingap.http.multi_dict import MultiDict
from pingap.http.paths import as_sent

_TARGET = re.compile(r"[!-\"$-~\x80-\xff]+").fullmatch  # no control character, space, or fragment


ATTRIBUTES = (
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


@mypyc_attr(allow_interpreted_subclasses=True)
class Request:
    """The head of a request, as received; plugins may change it before it is sent on.

    The body is not included: use a request body filter (``request_body``), or ``ctx.read_body`` for the whole
    body.

    ``target`` and ``query`` are as sent, with a character for each byte (Latin-1). ``path`` is the path that
    locations and plugins match: normalised Unicode text, unless the server has ``path_matching = "raw"``. See
    ``raw_path`` for the path as sent.
    """

    __slots__ = ATTRIBUTES

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
        made = new_request(type(self))
        for name in ATTRIBUTES:
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

    def rewrite(self, path: str, query: str | None = None, *, raw_path: str | None = None) -> None:
        """Change the target for the upstream.

        The original one stays available in ``ctx.original``.

        :param path: the new path, beginning with ``/``, percent-encoded where needed; characters beyond ASCII
            are encoded here. Later plugins see it as given.
        :param query: the new query without ``?``, in the form of ``query``; ``None`` keeps it.
        :param raw_path: another spelling of the same path, which is sent instead, in the form of ``target``. A
            part of the target as the client sent it keeps its spelling in this way, while later plugins see
            the normalised path. (Since 1.1.)
        :raises ValueError: a character that is invalid in a request target.
        """
        query = self.query if query is None else query
        sent = as_sent(path) if raw_path is None else raw_path
        target = f"{sent}?{query}" if query else sent
        if not (path.startswith("/") and sent.startswith("/")) or not is_target(target):
            raise ValueError(f"{target!r} is not a request target")
        if "?" in path or "?" in sent:
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


new_request: Final = Request.__new__
"""Creates the object without calling its class, because every request needs one."""


def is_target(text: str) -> bool:
    """Return whether a text is valid in a request line (RFC 9112, 3.2), including UTF-8."""
    return _TARGET(text) is not None
