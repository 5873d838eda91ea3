"""Requests, responses, header fields and body filters: what plugins look at and change.

Header fields stay the bytes they were on the wire; text is made on access. Nothing here does IO.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterable, Iterable, Iterator, Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import TypeAlias

Field: TypeAlias = tuple[bytes, bytes, bytes]
"""A header field: the name in lower case, the name as written, the value."""

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")

NO_CACHE: Field = (b"cache-control", b"Cache-Control", b"private, no-cache")
_TEXT: Field = (b"content-type", b"Content-Type", b"text/plain; charset=utf-8")
_JSON: Field = (b"content-type", b"Content-Type", b"application/json; charset=utf-8")


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
    if not _TOKEN.fullmatch(raw_name):
        raise ValueError(f"{name!r} is not a header name")
    try:
        raw_value = value.encode("latin-1").strip(b" \t")
    except UnicodeEncodeError:
        raw_value = value.encode("utf-8").strip(b" \t")
    if not _VALUE.fullmatch(raw_value):
        raise ValueError(f"the value of header {name} has a control character")
    return raw_name.lower(), raw_name, raw_value


class Headers:
    """Header fields in the order they came, names compared without case (RFC 9110, 5.1).

    A plugin that prepared its fields with :func:`field` may use ``append`` and ``replace``, which
    check nothing again. ``fields`` is the list of prepared fields itself: it may be searched,
    changed, and assigned anew.

    :param fields: names and values; or prepared fields, of which a list is taken over as it is.
    """

    __slots__ = ("fields",)

    def __init__(self, fields: Iterable[Field] | Mapping[str, str] = ()) -> None:
        if isinstance(fields, list):
            self.fields: list[Field] = fields
        elif isinstance(fields, Mapping):
            self.fields = [field(name, value) for name, value in fields.items()]
        else:
            self.fields = list(fields)

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the first value with this name, or ``default``."""
        key = header_key(name)
        for found, _, value in self.fields:
            if found == key:
                return value.decode("latin-1")
        return default

    def get_all(self, name: str) -> list[str]:
        """Return every value with this name, in order."""
        key = header_key(name)
        return [value.decode("latin-1") for found, _, value in self.fields if found == key]

    def set(self, name: str, value: str) -> None:
        """Replace every field with this name by one.

        :raises ValueError: as :func:`field`.
        """
        self.replace(field(name, value))

    def add(self, name: str, value: str) -> None:
        """Append a field; fields with the same name stay.

        :raises ValueError: as :func:`field`.
        """
        self.fields.append(field(name, value))

    def set_default(self, name: str, value: str) -> None:
        """Set a field unless one with this name is there.

        :raises ValueError: as :func:`field`.
        """
        if name not in self:
            self.fields.append(field(name, value))

    def remove(self, name: str) -> None:
        """Drop every field with this name."""
        key = header_key(name)
        self.fields = [one for one in self.fields if one[0] != key]

    def replace(self, prepared: Field) -> None:
        """Replace every field with the name of this prepared one by it."""
        key = prepared[0]
        fields = self.fields
        for one in fields:
            if one[0] == key:
                self.fields = fields = [one for one in fields if one[0] != key]
                break
        fields.append(prepared)

    def append(self, prepared: Field) -> None:
        """Append a prepared field."""
        self.fields.append(prepared)

    def items(self) -> list[tuple[str, str]]:
        """Return every field as a pair of name as written and value."""
        return [(name.decode("latin-1"), value.decode("latin-1")) for _, name, value in self.fields]

    def copy(self) -> Headers:
        """Return a list of its own with the same fields."""
        return Headers(list(self.fields))

    def has(self, key: bytes) -> bool:
        """Tell whether a field is there, by its name in lower-case bytes."""
        for field in self.fields:  # noqa: SIM110  # any() takes three times as long
            if field[0] == key:
                return True
        return False

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.has(header_key(name))

    def __getitem__(self, name: str) -> str:
        if (value := self.get(name)) is None:
            raise KeyError(name)
        return value

    def __setitem__(self, name: str, value: str) -> None:
        self.set(name, value)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.items())

    def __len__(self) -> int:
        return len(self.fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self.fields == other.fields

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"Headers({self.items()!r})"


class Request:
    """The head of a request, as received; plugins may change it before it is sent on.

    ``host`` is the host that was asked for, without port: of an absolute target, else of the
    ``Host`` field. The body is not here: a request body filter sees it (``request_body``).
    """

    __slots__ = (
        "chunked",
        "content_length",
        "expects_continue",
        "headers",
        "host",
        "http_version",
        "keep_alive",
        "method",
        "path",
        "query",
        "target",
    )

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
        self.content_length = 0
        self.chunked = False
        self.expects_continue = False
        self.keep_alive = True

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
        if query is not None:
            self.query = query
        target = f"{path}?{self.query}" if self.query else path
        if not path.startswith("/") or not _is_target(target):
            raise ValueError(f"{target!r} is not a request target")
        self.path, self.target = path, target

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
    """

    __slots__ = ("body", "content_length", "headers", "reason", "status", "upstream")

    def __init__(
        self,
        status: int,
        body: bytes | str | AsyncIterable[bytes] = b"",
        headers: Headers | Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self.reason: bytes | None = None
        if isinstance(body, str):
            body = body.encode()
        self.body: bytes | AsyncIterable[bytes] = body
        if isinstance(headers, Headers):
            self.headers = headers
        else:
            self.headers = Headers([NO_CACHE] if headers is None else headers)
        if not self.headers.has(b"cache-control"):
            self.headers.fields.append(NO_CACHE)
        self.content_length: int | None = len(body) if isinstance(body, bytes) else None
        self.upstream = False

    @classmethod
    def from_upstream(
        cls, status: int, reason: bytes, headers: Headers, content_length: int | None
    ) -> Response:
        """Return the response whose head arrived from an upstream, interim (1xx) or final.

        :param content_length: None if the head announced none.
        """
        self = cls.__new__(cls)
        self.status = status
        self.reason = reason
        self.headers = headers
        self.body = b""
        self.content_length = content_length
        self.upstream = True
        return self

    @classmethod
    def text(cls, status: int, text: str) -> Response:
        """Return a plain text response (UTF-8)."""
        return cls(status, text, Headers((_TEXT, NO_CACHE)))

    @classmethod
    def json(cls, value: object, status: int = 200) -> Response:
        """Return a JSON response."""
        return cls(status, json.dumps(value), Headers((_JSON, NO_CACHE)))

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


REASONS: dict[int, bytes] = {one.value: one.phrase.encode() for one in HTTPStatus}
"""Reason phrases of the registered status codes (RFC 9110, 15)."""
