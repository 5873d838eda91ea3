"""Heads as plugins see them: invalid values are rejected when assigned, and so are late changes.

The objects stay the same; only their class changes when this matters, so that requests without plugins have
no overhead. ``Response`` checks on its own, because plugins also create responses.
"""

from __future__ import annotations

from typing import Any, Final

from pingap.http.headers import TOKEN, Field, Headers, set_unchecked
from pingap.http.request import Request, is_target
from pingap.http.response import Response
from pingap.http.response_checks import check_headers


class PluginRequest(Request):
    """A request that plugins may change until it is sent.

    The lifecycle assigns the class itself, because a call would cost more.
    """

    __slots__ = ()

    def __setattr__(self, name: str, value: Any) -> None:
        """Assign and check an attribute.

        :raises TypeError: another type.
        :raises ValueError: another value, or an attribute that ``rewrite`` changes.
        :raises RuntimeError: the head has been sent.
        """
        if self.sent:
            raise RuntimeError(f"request.{name} can no longer be changed: {_TOO_LATE}")
        if name in ("path", "query", "target"):
            raise ValueError(f"request.{name} is changed by request.rewrite()")
        if name in _FRAMING:
            raise ValueError(
                f"request.{name} describes how the request arrived, and cannot be changed"
            )
        if name == "headers":
            check_headers(self, value)
        if name in _TEXT:
            if not isinstance(value, str):
                raise TypeError(f"request.{name} is text, not {value!r:.40}")
            if not is_target(value) or (
                name == "method" and not TOKEN.fullmatch(value.encode("ascii"))
            ):
                raise ValueError(f"request.{name} = {value!r:.40} is not valid in a request")
        set_unchecked(self, name, value)

    def rewrite(self, path: str, query: str | None = None, *, raw_path: str | None = None) -> None:
        """Rewrite as ``Request`` does.

        :raises RuntimeError: the head has been sent.
        """
        if self.sent:
            raise RuntimeError(f"the request can no longer be rewritten: {_TOO_LATE}")
        super().rewrite(path, query, raw_path=raw_path)

    def replace_query(self, query: str) -> None:
        """Replace the query as ``Request`` does.

        :raises RuntimeError: the head has been sent.
        """
        if self.sent:
            raise RuntimeError(f"the query can no longer be replaced: {_TOO_LATE}")
        super().replace_query(query)


_FRAMING: Final = ("content_length", "chunked", "keep_alive", "expects_continue")
_TEXT: Final = ("method", "host", "http_version", "upgrade", "websocket_key")


class SentHeaders(Headers):
    """Header fields that have been sent."""

    __slots__ = ()

    def __init__(self, fields: object = ()) -> None:  # called when ``fields`` is assigned
        raise RuntimeError(f"header fields can no longer be changed: {_TOO_LATE}")

    def append(self, prepared: Field) -> None:
        """Refuse."""
        raise RuntimeError(f"the header {_name(prepared[0])} can no longer be added: {_TOO_LATE}")

    def replace(self, prepared: Field) -> None:
        """Refuse."""
        raise RuntimeError(f"the header {_name(prepared[0])} can no longer be set: {_TOO_LATE}")

    def discard(self, key: bytes) -> None:
        """Raise an error, unless there is nothing to drop."""
        if key in self.keys:
            raise RuntimeError(f"the header {_name(key)} can no longer be dropped: {_TOO_LATE}")


def close_head(head: Request | Response) -> None:
    """Reject changes by plugins from now on: they would come too late."""
    set_unchecked(head, "sent", True)
    head.headers.__class__ = SentHeaders


_TOO_LATE: Final = "the head was sent"


def _name(key: bytes) -> str:
    return repr(key.decode("latin-1"))
