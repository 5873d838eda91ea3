"""Errors of the proxy in the form that gRPC clients expect: a status in trailers instead of a page.

A gRPC response without a message is a head alone, with status 200 and the trailer fields ("Trailers-Only").
The codes are those of gRPC's own "HTTP to gRPC Status Code Mapping".
"""

from __future__ import annotations

import re
from typing import Final

from pingap.http.errors import HTTPError
from pingap.http.headers import Headers, field
from pingap.http.request import Request
from pingap.http.response import Response

# application/grpc, +proto, +json or others; not application/grpc-web, which has another format.
_GRPC: Final = re.compile(rb"application/grpc(?:$|[+; \t])", re.IGNORECASE)

_UNKNOWN: Final = 2
_CODES: Final = {
    400: 13,  # INTERNAL
    401: 16,  # UNAUTHENTICATED
    403: 7,  # PERMISSION_DENIED
    404: 12,  # UNIMPLEMENTED
    429: 14,  # UNAVAILABLE
    502: 14,
    503: 14,
    504: 14,
}

_CONTENT_TYPE: Final = field("Content-Type", "application/grpc")
_TO_ESCAPE: Final = re.compile(rb"[^ -$&-~]")


def is_grpc(request: Request) -> bool:
    """Return whether a request is a gRPC request."""
    content_type = request.headers.find(b"content-type")
    return content_type is not None and _GRPC.match(content_type) is not None


def grpc_error(error: HTTPError) -> Response:
    """Return the gRPC response for an error."""
    headers = Headers(
        [
            _CONTENT_TYPE,
            field("Grpc-Status", str(_CODES.get(error.status, _UNKNOWN))),
            field("Grpc-Message", _escaped(error.message or f"HTTP status {error.status}")),
        ]
    )
    return Response(200, b"", headers)


def _escaped(message: str) -> str:
    """Return a message encoded for ``grpc-message``: printable ASCII, the rest as ``%XX``."""
    return _TO_ESCAPE.sub(lambda found: b"%%%02X" % found[0][0], message.encode()).decode("ascii")
