"""The valid values of a response's attributes: each is checked when assigned."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable
from typing import Any, Final, Protocol

from pingap.http.headers import FIELD_VALUE, Headers


class _Response(Protocol):
    """The attributes of a ``Response`` that the checks of others depend on."""

    body: bytes | AsyncIterable[bytes]
    content_length: int | None
    upstream: bool


def _check_status(_: object, status: Any) -> None:
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise ValueError(f"{status!r} is not the status of a final response (200 to 599)")


def _check_body(response: _Response, body: object) -> None:
    if response.upstream and not getattr(response, "is_read", False):
        raise ValueError(
            "the body of an upstream's response is changed by a filter (response_body), or after "
            "ctx.read_response in upstream_response, or replaced with the response, by returning "
            "another one there"
        )
    if not isinstance(body, bytes | AsyncIterable):
        raise TypeError(f"a body is bytes or an async iterable of bytes, not {body!r:.40}")


def length_of(body: Any) -> int | None:
    """Return the length of a body; a file knows it, and other iterables may provide it."""
    if isinstance(body, bytes):
        return len(body)
    length = getattr(body, "content_length", None)
    return length if isinstance(length, int) else None


def _check_length(response: _Response, length: Any) -> None:
    if length is None:
        return
    if not isinstance(length, int) or length < 0:
        raise ValueError(f"{length!r} is not a number of bytes")
    known = length_of(response.body)
    if response.upstream:
        known = response.content_length
    elif known is None:
        known = length
    if length != known:
        raise ValueError(f"content_length = {length}, but the body has {known} bytes")


def check_headers(_: object, headers: object) -> None:
    """Reject anything but ``Headers``, and headers of another head that has been sent.

    :raises TypeError: it is rejected.
    """
    if type(headers) is not Headers:
        hint = "a copy() of them" if isinstance(headers, Headers) else f"not {headers!r:.40}"
        raise TypeError(f"headers are pingap.Headers, {hint}")


def _check_reason(_: object, reason: object) -> None:
    if reason is not None and not (isinstance(reason, bytes) and FIELD_VALUE.fullmatch(reason)):
        raise ValueError(f"{reason!r:.40} is not a reason phrase: bytes without control characters")


def _check_upstream(_: object, value: object) -> None:
    raise AttributeError("this describes what pingap did, and cannot be changed")


RESPONSE_CHECKS: Final[dict[str, Callable[[Any, Any], None]]] = {
    "status": _check_status,
    "body": _check_body,
    "content_length": _check_length,
    "headers": check_headers,
    "reason": _check_reason,
    "upstream": _check_upstream,
    "sent": _check_upstream,
}
"""Name of an attribute -> the function that checks its values."""
