"""Header lists of HTTP/2 as responses (RFC 9113, 8.3.2), without IO."""

from __future__ import annotations

import re
from typing import Final

from pingap.http.headers import make_headers
from pingap.http.response import Response
from pingap.protocol.events import HeadLimits
from pingap.protocol.fields import read_length
from pingap.protocol.http1_head import Malformed
from pingap.protocol.http2_errors import PROTOCOL_ERROR, StreamError
from pingap.protocol.http2_fields import HeaderList, check_no_connection_fields, split

_STATUS: Final = re.compile(rb"[1-9][0-9][0-9]")
_PSEUDO: Final = frozenset((b":status",))
_NO_BODY: Final = frozenset((204, 304))


class ResponseHead:
    """A parsed head. It can be used for many responses, each with its own headers.

    :param length: ``content-length``; None if there is none.
    """

    __slots__ = ("keys", "length", "lines", "status")

    def __init__(
        self, status: int, keys: list[bytes], lines: list[bytes], length: int | None
    ) -> None:
        self.status = status
        self.keys = keys
        self.lines = lines
        self.length = length

    def response(self) -> Response:
        """Return a response with this head."""
        headers = make_headers(self.keys.copy(), self.lines.copy())
        return Response.from_upstream(self.status, None, headers, self.length)

    def body_length(self, *, head: bool) -> int | None:
        """Return the expected length of the body; None if any is allowed.

        :param head: whether it is the response to a HEAD request.
        """
        return 0 if head or self.status in _NO_BODY else self.length


def read_head(fields: HeaderList, limits: HeadLimits) -> ResponseHead:
    """Read the header list of a response.

    :raises StreamError: it is malformed, or too large.
    """
    try:
        return _read(fields, limits)
    except Malformed as error:
        raise StreamError(PROTOCOL_ERROR, str(error)) from None


def _read(fields: HeaderList, limits: HeadLimits) -> ResponseHead:
    pseudo, keys, lines = split(fields, _PSEUDO)
    status = pseudo.get(b":status", b"")
    if not _STATUS.fullmatch(status):
        raise Malformed("no status")
    check_no_connection_fields(keys)
    if len(keys) > limits.fields:
        raise Malformed("too many header fields")
    if sum(map(len, lines)) + 2 * len(lines) > limits.size:
        raise Malformed("response head too large")
    return ResponseHead(int(status), keys, lines, read_length(make_headers(keys, lines)))
