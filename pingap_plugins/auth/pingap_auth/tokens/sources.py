"""Where a request carries its token: a header, a cookie or a parameter of the query."""

from __future__ import annotations

from typing import Final

from pingap import Request, field
from pingap_auth.keys import without_parameters

_BEARER: Final = b"bearer"


class TokenSources:
    """The places in which a token may be, in the order in which they are looked at.

    :param header: its name; empty: none. ``Bearer`` in front of the token is removed.
    :param cookie: the same.
    :param query: the same.
    """

    def __init__(self, header: str, cookie: str, query: str) -> None:
        self._header = field(header, "")[0] if header else b""
        self._cookie = cookie
        self._query = query

    @property
    def is_authorization(self) -> bool:
        """Whether the token is only in ``Authorization``, which caches heed by themselves."""
        return self._header == b"authorization" and not self._cookie and not self._query

    def read(self, request: Request) -> bytes | None:
        """Return the token of the first place that has one; empty if there is none.

        :returns: None if that place has several different ones.
        """
        for found in (self._of_header(request), self._of_cookie(request), self._of_query(request)):
            tokens = {token for token in found if token}
            if tokens:
                return tokens.pop() if len(tokens) == 1 else None
        return b""

    def _of_header(self, request: Request) -> list[bytes]:
        if not self._header:
            return []
        return [_without_scheme(value) for value in request.headers.find_all(self._header)]

    def _of_cookie(self, request: Request) -> list[bytes]:
        if not self._cookie:
            return []
        return [one.encode("latin-1") for one in request.cookies.get_all(self._cookie)]

    def _of_query(self, request: Request) -> list[bytes]:
        if not self._query or not request.query:
            return []
        return [one.encode() for one in request.query_params.get_all(self._query)]

    def drop_others(self, request: Request, token: bytes) -> None:
        """Remove other tokens than this one: an upstream could read one that nobody has verified."""
        if any(one != token for one in self._of_cookie(request)):
            without_cookie(request, self._cookie)
        if any(one != token for one in self._of_query(request)):
            self._hide_query(request)

    def hide(self, request: Request) -> None:
        """Remove the token from all places."""
        if self._header:
            request.headers.discard(self._header)
        if self._cookie:
            without_cookie(request, self._cookie)
        self._hide_query(request)

    def _hide_query(self, request: Request) -> None:
        if self._query and request.query:
            request.replace_query(without_parameters(request.query, (self._query,)))


def _without_scheme(value: bytes) -> bytes:
    scheme, _, token = value.partition(b" ")
    return token.strip(b" ") if scheme.lower() == _BEARER else value


def without_cookie(request: Request, name: str) -> None:
    """Remove all cookies of a name; the others stay as they were sent."""
    text = request.headers.get("cookie")
    if text is None or name not in text:
        return
    pairs = [one.strip() for one in text.split(";")]
    kept = [one for one in pairs if one and one.partition("=")[0].strip() != name]
    if not kept:
        request.headers.discard(b"cookie")
    elif len(kept) != len(pairs):
        request.headers.set("Cookie", "; ".join(kept))
