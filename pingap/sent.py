"""Heads as plugins see them: a wrong value is refused where it is assigned, and so is a late change.

The objects are those that came; only their class is another one from the moment on at which this
matters, so that requests without plugins pay nothing. (``Response`` checks by itself, as plugins make
some.)
"""

from __future__ import annotations

from typing import Any, Final

from pingap.headers import TOKEN, Field, Headers
from pingap.messages import Request, Response, is_target


class PluginRequest(Request):
    """A request that plugins may change."""

    def __setattr__(self, name: str, value: Any) -> None:
        """Assign what a request may have.

        :raises TypeError: another type.
        :raises ValueError: another value, or what ``rewrite`` is for.
        """
        if name in ("path", "query", "target"):
            raise ValueError(f"request.{name} is changed by request.rewrite()")
        if name in _FRAMING:
            raise ValueError(f"request.{name} tells how the request came, and cannot be changed")
        if name == "headers" and not isinstance(value, Headers):
            raise TypeError(f"headers are pingap.Headers, not {value!r:.40}")
        if name in _TEXT:
            if not isinstance(value, str):
                raise TypeError(f"request.{name} is text, not {value!r:.40}")
            if not is_target(value) or (
                name == "method" and not TOKEN.fullmatch(value.encode("ascii"))
            ):
                raise ValueError(f"request.{name} = {value!r:.40} cannot stand in a request")
        object.__setattr__(self, name, value)


_FRAMING: Final = ("content_length", "chunked", "keep_alive", "expects_continue")
_TEXT: Final = ("method", "host", "http_version", "upgrade", "websocket_key")


class SentRequest(PluginRequest):
    """A request whose head was sent to an upstream, or that was answered."""

    def __setattr__(self, name: str, value: Any) -> None:
        raise RuntimeError(f"request.{name} cannot be changed any more: {_TOO_LATE}")

    def rewrite(self, path: str, query: str | None = None) -> None:
        """Refuse."""
        raise RuntimeError(f"the request cannot be rewritten any more: {_TOO_LATE}")


class SentHeaders(Headers):
    """Header fields that were sent."""

    __slots__ = ()

    def __init__(self, fields: object = ()) -> None:  # (which is how ``fields`` is assigned)
        raise RuntimeError(f"header fields cannot be changed any more: {_TOO_LATE}")

    def append(self, prepared: Field) -> None:
        """Refuse."""
        raise RuntimeError(f"the header {_name(prepared[0])} cannot be added any more: {_TOO_LATE}")

    def replace(self, prepared: Field) -> None:
        """Refuse."""
        raise RuntimeError(f"the header {_name(prepared[0])} cannot be set any more: {_TOO_LATE}")

    def discard(self, key: bytes) -> None:
        """Refuse, unless there is nothing to drop."""
        if key in self.keys:
            raise RuntimeError(f"the header {_name(key)} cannot be dropped any more: {_TOO_LATE}")


_TOO_LATE: Final = "the head was sent"


def _name(key: bytes) -> str:
    return repr(key.decode("latin-1"))


def open_request(request: Request) -> None:
    """Let plugins change a request, with checks."""
    request.__class__ = PluginRequest


def close_request(request: Request) -> None:
    """Refuse changes of a request from now on."""
    if request.__class__ is not SentRequest:
        object.__setattr__(request, "__class__", SentRequest)
        _close_headers(request.headers)


def close_response(response: Response) -> None:
    """Refuse changes of a response from now on."""
    response.__dict__["sent"] = True
    _close_headers(response.headers)


def _close_headers(headers: Headers) -> None:
    if headers.__class__ is Headers:
        headers.__class__ = SentHeaders
