"""``Cache-Status``: how the cache handled a request (RFC 9211)."""

from __future__ import annotations

from typing import Final, Literal

import http_sf

from pingap import Field, Headers

Forward = Literal[
    "bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale", "partial"
]
"""Why a request went to the origin (RFC 9211, 2.2)."""

_KEY: Final = b"cache-status"


class CacheStatus:
    """Writes the field for one cache.

    :param name: of this cache, such as ``pingap``; in quotes if it is no token.
    """

    __slots__ = ("_hit", "_line", "_name")

    def __init__(self, name: str) -> None:
        member: http_sf.Token | str = http_sf.Token(name)
        try:
            self._name = http_sf.ser([(member, {})])
        except ValueError:
            self._name = http_sf.ser([(name, {})])
        self._line = f"Cache-Status: {self._name}".encode("ascii")
        self._hit = self._line + b"; hit; ttl=%d"

    def hit(self, ttl: float) -> Field:
        """Return the field of a response from the cache (RFC 9211, 2.1 and 2.5).

        :param ttl: seconds it is still fresh; below 0 if it is stale.
        """
        return _KEY, self._hit % ttl

    def forwarded(
        self,
        why: Forward,
        *,
        status: int | None = None,
        stored: bool = False,
        collapsed: bool = False,
        detail: str = "",
    ) -> Field:
        """Return the field of a response for which the origin was asked (RFC 9211, 2.2 to 2.8).

        :param status: what the origin answered, if that is not what the client gets.
        :param stored: whether the response was stored.
        :param collapsed: whether the request was answered with the response to another one.
        :param detail: more for people to read, in ASCII.
        """
        parameters: dict[str, object] = {"fwd": http_sf.Token(why)}
        if status is not None:
            parameters["fwd-status"] = status
        if stored:
            parameters["stored"] = True
        if collapsed:
            parameters["collapsed"] = True
        text = self._line.decode("ascii")
        for name, value in parameters.items():
            text += f"; {name}" if value is True else f"; {name}={http_sf.ser(value)}"  # type: ignore[arg-type]
        if detail:
            text += f"; detail={http_sf.ser(detail)}"
        return _KEY, text.encode("ascii")


def add_status(headers: Headers, prepared: Field) -> None:
    """Append this cache's field behind those of caches nearer to the origin (RFC 9211, 2)."""
    headers.append(prepared)
