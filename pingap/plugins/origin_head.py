"""The head of a response of an origin, checked as that of an upstream is when it is read."""

from __future__ import annotations

from typing import Final

from pingap.http.headers import TOKEN, Headers
from pingap.http.response import Response, make_response
from pingap.protocol.fields import read_length
from pingap.protocol.http1_head import Malformed

_KNOWN: Final = frozenset((b"content-type", b"content-length", b"set-cookie", b"location", b"vary"))


def response_head(status: int, headers: Headers, *, upgrade: str) -> Response:
    """Return the head as if it came from an upstream.

    :param upgrade: the protocol that the request asks for: only then may the status be 101.
    :raises ValueError: another status, the name of a field that is no token, or an invalid length.
    """
    if not 200 <= status <= 599 and not (status == 101 and upgrade):
        raise ValueError(f"{status!r} is not the status of a final response")
    for key in headers.keys:
        if key not in _KNOWN and TOKEN.fullmatch(key) is None:
            raise ValueError(f"{key!r} is not a header name")
    try:
        length = read_length(headers)
    except Malformed as error:
        raise ValueError(str(error)) from None
    return make_response(status, None, headers, length, b"", True)
