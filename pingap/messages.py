"""Requests, responses, header fields and body filters: what plugins look at and change.

Header fields stay the bytes they were on the wire; text is made on access. Nothing here does IO.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterable, Iterable, Iterator, Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import Final, TypeAlias, overload

Field: TypeAlias = tuple[bytes, bytes]
"""A header field, ready to be sent: its name in lower case, and its line ``Name: value``."""

TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""A method or a field name (RFC 9110, 5.6.2)."""
FIELD_VALUE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
"""A field value, between its white space (RFC 9110, 5.5)."""

NO_CACHE: Field = (b"cache-control", b"Cache-Control: private, no-cache")
_TEXT: Field = (b"content-type", b"Content-Type: text/plain; charset=utf-8")
_JSON: Field = (b"content-type", b"Content-Type: application/json; charset=utf-8")


@lru_cache(maxsize=1024)
def header_key(name: str) -> bytes:
    """Return the name as header fields are compared: lower-case bytes."""
    return name.lower().encode("latin-1", "replace")


def field(name: str, value: str) -> Field:
    """Check and encode a header field once, so that it can be used for every request.

    :param name: a token (RFC 9110, 5.6.2).
    :param value: visible text; characters outside Latin-1 are sent as UTF-8.
    :raises ValueError: a character that cannot stand in a header field (RFC 9110, 5.5).
    """
    raw_name = name.encode("ascii", "replace")
    if not TOKEN.fullmatch(raw_name):
        raise ValueError(f"{name!r} is not a header name")
    try:
        raw_value = value.encode("latin-1").strip(b" \t")
    except UnicodeEncodeError:
        raw_value = value.encode("utf-8").strip(b" \t")
    if not FIELD_VALUE.fullmatch(raw_value):
        raise ValueError(f"the value of header {name} has a control character")
    return raw_name.lower(), b"%b: %b" % (raw_name, raw_value)


class Headers:
    """Header fields in the order they came, names compared without case (RFC 9110, 5.1).

    A plugin that prepared its fields with :func:`field` may use ``append``, ``replace`` and
    ``find``, which check and encode nothing again.

    (Kept as they stand on the wire, with their names in lower case beside: so reading, looking up
    and writing fields are single operations of Python's lists, not loops in Python.)

    :param fields: names and values, or prepared fields.
    """

    __slots__ = ("keys", "lines")

    def __init__(self, fields: Iterable[Field] | Mapping[str, str] = ()) -> None:
        if isinstance(fields, Mapping):
            fields = [field(name, value) for name, value in fields.items()]
        self.keys: list[bytes] = []
        """The names in lower case."""
        self.lines: list[bytes] = []
        """``Name: value``, each at the place of its key."""
        for prepared in fields:
            self.append(prepared)

    @classmethod
    def of(cls, keys: list[bytes], lines: list[bytes]) -> Headers:
        """Return headers that take over two lists."""
        self = cls.__new__(cls)
        self.keys = keys
        self.lines = lines
        return self

    @property
    def fields(self) -> list[Field]:
        """All fields, prepared. May be assigned anew; changing the list itself has no effect."""
        return list(zip(self.keys, self.lines, strict=True))

    @fields.setter
    def fields(self, fields: Iterable[Field]) -> None:
        self.__init__(fields)  # type: ignore[misc]

    @overload
    def get(self, name: str, default: str) -> str: ...

    @overload
    def get(self, name: str, default: None = None) -> str | None: ...

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the first value with this name, or ``default``."""
        value = self.find(header_key(name))
        return default if value is None else value.decode("latin-1")

    def find(self, key: bytes) -> bytes | None:
        """Return the first value, as bytes, of the name that is written so in lower case."""
        if key in self.keys:
            return self.lines[self.keys.index(key)][len(key) + 2 :]
        return None

    def get_all(self, name: str) -> list[str]:
        """Return every value with this name, in order."""
        return [value.decode("latin-1") for value in self.find_all(header_key(name))]

    def find_all(self, key: bytes) -> list[bytes]:
        """Return every value, as bytes, of the name that is written so in lower case."""
        if key not in self.keys:
            return []
        start = len(key) + 2
        return [
            line[start:] for known, line in zip(self.keys, self.lines, strict=True) if known == key
        ]

    def set(self, name: str, value: str) -> None:
        """Replace every field with this name by one.

        :raises ValueError: as :func:`field`.
        """
        self.replace(field(name, value))

    def add(self, name: str, value: str) -> None:
        """Append a field; fields with the same name stay.

        :raises ValueError: as :func:`field`.
        """
        self.append(field(name, value))

    def set_default(self, name: str, value: str) -> None:
        """Set a field unless one with this name is there.

        :raises ValueError: as :func:`field`.
        """
        if name not in self:
            self.append(field(name, value))

    def remove(self, name: str) -> None:
        """Drop every field with this name."""
        self.discard(header_key(name))

    def discard(self, key: bytes) -> None:
        """Drop every field with the name that is written so in lower case."""
        keys = self.keys
        while key in keys:
            at = keys.index(key)
            del keys[at]
            del self.lines[at]

    def append(self, prepared: Field) -> None:
        """Append a prepared field.

        :raises ValueError: it has a line break.
        """
        key, line = prepared
        if b"\n" in line or b"\r" in line:
            raise ValueError(f"header field with a line break: {line!r}")
        self.keys.append(key)
        self.lines.append(line)

    def replace(self, prepared: Field) -> None:
        """Replace every field with the name of this prepared one by it.

        :raises ValueError: it has a line break.
        """
        key, line = prepared
        if b"\n" in line or b"\r" in line:
            raise ValueError(f"header field with a line break: {line!r}")
        if key in self.keys:
            self.discard(key)
        self.keys.append(key)
        self.lines.append(line)

    def items(self) -> list[tuple[str, str]]:
        """Return every field as a pair of name as written and value."""
        return [
            (line[: len(key)].decode("latin-1"), line[len(key) + 2 :].decode("latin-1"))
            for key, line in zip(self.keys, self.lines, strict=True)
        ]

    def copy(self) -> Headers:
        """Return headers of their own with the same fields."""
        other = Headers.__new__(Headers)
        other.keys, other.lines = self.keys.copy(), self.lines.copy()
        return other

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and header_key(name) in self.keys

    def __getitem__(self, name: str) -> str:
        if (value := self.get(name)) is None:
            raise KeyError(name)
        return value

    def __setitem__(self, name: str, value: str) -> None:
        self.set(name, value)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.items())

    def __len__(self) -> int:
        return len(self.keys)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and (self.keys, self.lines) == (other.keys, other.lines)

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"Headers({self.items()!r})"


_TEXT_HEADERS = Headers((_TEXT, NO_CACHE))
_JSON_HEADERS = Headers((_JSON, NO_CACHE))


class Request:
    """The head of a request, as received; plugins may change it before it is sent on.

    The body is not here: a request body filter sees it (``request_body``).
    """

    host: str = ""
    """The host that was asked for, without port: of an absolute target, else of ``Host``."""
    http_version: str = "1.1"
    """``1.0``, ``1.1`` or ``2.0``."""
    content_length: int = 0
    """Bytes of the body, if their number was announced."""
    chunked: bool = False
    """A body of unknown length follows."""
    expects_continue: bool = False
    """The client waits for 100 Continue before it sends the body."""
    upgrade: str = ""
    """The protocol that the client wants to change to (``websocket``); empty for none."""
    websocket_key: str = ""
    """What is sent as ``Sec-WebSocket-Key`` for a client that sends none, since it speaks HTTP/2."""
    body: bytes | None = None
    """The whole body, if a plugin of the location asked for it (``Plugin.whole_request_body``)."""
    keep_alive: bool = True
    """The client may send another request on this connection."""

    def __init__(
        self,
        method: str,
        target: str,
        headers: Headers,
        host: str = "",
        http_version: str = "1.1",
    ) -> None:
        self.method = method
        self.target = target
        self.path, _, self.query = target.partition("?")
        self.headers = headers
        self.host = host
        self.http_version = http_version

    @classmethod
    def of(cls, method: str, target: str, path: str, query: str, headers: Headers) -> Request:
        """Return a request whose target was split before."""
        self = cls.__new__(cls)
        self.method = method
        self.target = target
        self.path = path
        self.query = query
        self.headers = headers
        return self

    @property
    def has_body(self) -> bool:
        """True if body bytes or trailers may follow the head."""
        return self.chunked or self.content_length > 0

    def rewrite(self, path: str, query: str | None = None) -> None:
        """Change what the upstream is asked for.

        :param path: the new path, beginning with ``/``, percent-encoded where needed.
        :param query: the new query without ``?``; ``None`` keeps it.
        :raises ValueError: a character that cannot stand in a request target.
        """
        query = self.query if query is None else query
        target = f"{path}?{query}" if query else path
        if not path.startswith("/") or "?" in path or not _is_target(target):
            raise ValueError(f"{target!r} is not a request target")
        self.path, self.query, self.target = path, query, target

    def header(self, name: str) -> str | None:
        """Return the first value of a header field."""
        return self.headers.get(name)

    def cookie(self, name: str) -> str | None:
        """Return the value of a cookie of the first ``Cookie`` field."""
        for pair in (self.headers.get("cookie") or "").split(";"):
            key, _, value = pair.strip().partition("=")
            if key == name:
                return value
        return None

    def query_value(self, name: str) -> str | None:
        """Return the first value of a query parameter, as sent (not percent-decoded)."""
        for pair in self.query.split("&"):
            key, _, value = pair.partition("=")
            if key == name and pair:
                return value
        return None

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.host}{self.target}>"


def _is_target(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text and "#" not in text


class Response:
    """A response: made by a plugin, or the head of what an upstream sent.

    :param status: 200 to 599.
    :param body: the whole body, or an async iterable of chunks, sent as they come.
    :param headers: fields to send. ``Content-Length`` and the like are written by the proxy;
        ``Cache-Control: private, no-cache`` is added unless given.
    :raises ValueError: another status.
    :raises TypeError: another kind of body.
    """

    body: bytes | AsyncIterable[bytes] = b""
    """All of it, or chunks that are sent as they come; of an upstream's response, what came with
    its head."""
    content_length: int | None = None
    """Bytes of the body; None if that is not known."""
    reason: bytes | None = None
    """What an upstream said beside the status; None for the usual phrase."""
    upstream: bool = False
    """Whether it came from an upstream."""

    def __init__(
        self,
        status: int,
        body: bytes | str | AsyncIterable[bytes] = b"",
        headers: Headers | Mapping[str, str] | None = None,
    ) -> None:
        if not isinstance(status, int) or not 200 <= status <= 599:
            raise ValueError(f"{status!r} is not the status of a final response (200 to 599)")
        self.status = status
        if isinstance(body, str):
            body = body.encode()
        if isinstance(body, bytes):
            self.content_length = len(body)
        elif not isinstance(body, AsyncIterable):
            raise TypeError(f"a body is bytes, text or an async iterable, not {body!r:.40}")
        self.body = body
        # A copy, since the caller may use the headers for every response.
        self.headers = headers.copy() if isinstance(headers, Headers) else Headers(headers or ())
        if b"cache-control" not in self.headers.keys:
            self.headers.append(NO_CACHE)

    @classmethod
    def from_upstream(
        cls, status: int, reason: bytes | None, headers: Headers, content_length: int | None
    ) -> Response:
        """Return the response whose head arrived from an upstream, interim (1xx) or final.

        :param reason: None if the protocol has none: HTTP/2.
        :param content_length: None if the head announced none.
        """
        self = cls.__new__(cls)
        self.status = status
        self.reason = reason
        self.headers = headers
        self.content_length = content_length
        self.upstream = True
        return self

    def copy(self) -> Response:
        """Return a response like this one, so that one that is often sent is made only once."""
        other = Response.__new__(Response)
        other.status = self.status
        other.body = self.body
        other.content_length = self.content_length
        headers = self.headers
        other.headers = Headers.of(headers.keys.copy(), headers.lines.copy())
        return other

    @classmethod
    def text(cls, status: int, text: str) -> Response:
        """Return a plain text response (UTF-8)."""
        return cls(status, text.encode(), _TEXT_HEADERS)

    @classmethod
    def json(cls, value: object, status: int = 200) -> Response:
        """Return a JSON response."""
        return cls(status, json.dumps(value).encode(), _JSON_HEADERS)

    def __repr__(self) -> str:
        return f"<Response {self.status}>"


class BodyFilter:
    """Looks at or rewrites one body, chunk by chunk, in order.

    A filter belongs to one request. It must not keep more of the body than it needs: what it
    keeps is memory of the proxy.
    """

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk (never empty); return what may be sent on now, possibly ``b""``."""
        return chunk

    def end(self, trailers: Headers) -> bytes:
        """Take the end of the body; return what is left to send.

        :param trailers: the trailer fields, empty if there are none; may be changed.
        """
        return b""


class WholeBodyFilter(BodyFilter):
    """Hands over a body in one piece, if it is not too large; otherwise lets it pass unchanged.

    Override ``change``. (A whole *request* body that must not be too large is asked for by
    ``Plugin.whole_request_body``.)

    :param limit: bytes that are kept at most.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: list[bytes] = []
        self._size = 0

    def change(self, body: bytes) -> bytes:
        """Return what is sent instead of a body that was no larger than the limit."""
        return body

    def feed(self, chunk: bytes) -> bytes:
        """Keep the chunk; let everything pass once it is too much."""
        self._size += len(chunk)
        if self._size <= self._limit:
            self._kept.append(chunk)
            return b""
        kept, self._kept = self._kept, []
        return b"".join([*kept, chunk])

    def end(self, trailers: Headers) -> bytes:
        """Hand over what was kept."""
        return self.change(b"".join(self._kept)) if self._size <= self._limit else b""


REASONS: dict[int, bytes] = {one.value: one.phrase.encode() for one in HTTPStatus}
"""Reason phrases of the registered status codes (RFC 9110, 15)."""
