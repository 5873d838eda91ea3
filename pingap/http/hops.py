"""The rules for passing a request to the next hop: ``Max-Forwards``, ``TRACE`` and ``Via`` (RFC 9110, 7.6)."""

from __future__ import annotations

import re
from typing import Final

from pingap.http.errors import BadRequest, HTTPError
from pingap.http.headers import Headers
from pingap.http.request import Request
from pingap.http.response import Response

COUNTED: Final = frozenset(("OPTIONS", "TRACE"))
"""Methods to which ``Max-Forwards`` applies."""

_MOST_DIGITS: Final = 9
# The fields of a TRACE request are sent back in the response, where others could read them (RFC 9110, 9.3.8).
# Dropping too many is harmless.
_SENSITIVE: Final = re.compile(rb"auth|cookie|token|key|secret|session|passw|signature|jwt|csrf")


def pass_hop(request: Request, via: bytes | None) -> Response | None:
    """Prepare a request for the next hop; return a response if it goes no further.

    :param via: the name of this server in ``Via``; None to add none.
    :raises HTTPError: 400, or 508 for a request that has already passed through this server.
    """
    if via is not None:
        _add_via(request, via)
    if request.method not in COUNTED:
        return None
    if request.method == "TRACE":
        if request.has_body:
            raise BadRequest("TRACE has no content")
        request.headers = without_credentials(request.headers)
    counts = request.headers.find_all(b"max-forwards")
    if not counts:
        return None
    if len(counts) > 1 or not counts[0].isdigit() or len(counts[0]) > _MOST_DIGITS:
        raise BadRequest("Max-Forwards must be one number")
    left = int(counts[0])
    if not left:
        return _reflect(request) if request.method == "TRACE" else Response(200)
    request.headers.replace((b"max-forwards", b"Max-Forwards: %d" % (left - 1)))
    return None


def without_credentials(headers: Headers) -> Headers:
    """Return headers without those that may identify the sender."""
    return Headers([one for one in headers.fields if not _SENSITIVE.search(one[0])])


def _add_via(request: Request, name: bytes) -> None:
    """Add this server to ``Via`` (RFC 9110, 7.6.3).

    :raises HTTPError: 508, it is already there.
    """
    for member in b",".join(request.headers.find_all(b"via")).split(b","):
        words = member.split()
        if len(words) > 1 and words[1].lower() == name.lower():
            raise HTTPError(508, "This request is in a loop")
    version = request.http_version.encode("ascii")
    request.headers.append((b"via", b"Via: %b %b" % (version, name)))


def _reflect(request: Request) -> Response:
    """Return the response to ``TRACE``: the request as received (RFC 9110, 9.3.8)."""
    line = f"TRACE {request.target} HTTP/{request.http_version}".encode("latin-1")
    body = b"\r\n".join([line, *request.headers.lines, b"", b""])
    return Response(200, body, {"Content-Type": "message/http"})
