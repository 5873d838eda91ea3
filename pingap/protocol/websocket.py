"""The WebSocket handshake on behalf of a client without one, and checks of responses to upgrade requests.

Over HTTP/2, clients send no key (RFC 8441, 5), but an HTTP/1.1 upstream requires one (RFC 6455, 4). So it is
created here, and the response is checked here, as the client would have done.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import Final

from pingap.http.errors import HTTPError, UpstreamError
from pingap.http.request import Request
from pingap.http.response import Response
from pingap.protocol.websocket_deflate import known_offers

_GUID: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def add_key(request: Request) -> None:
    """Set a key of our own in a request, replacing any existing one."""
    request.websocket_key = base64.b64encode(secrets.token_bytes(16)).decode("ascii")
    request.headers.set("Sec-WebSocket-Key", request.websocket_key)


def accept_value(key: str) -> str:
    """Return the value of ``Sec-WebSocket-Accept`` for a key."""
    digest = hashlib.sha1((key + _GUID).encode("ascii"), usedforsecurity=False).digest()
    return base64.b64encode(digest).decode("ascii")


def is_websocket(upgrade: str) -> bool:
    """Return whether the protocol in ``Upgrade``, or one of several, is WebSocket."""
    return "websocket" in _protocols(upgrade)


def limit_extensions(request: Request) -> None:
    """Offer the upstream only extensions with which its messages can still be read.

    Of the client's offers, permessage-deflate is kept.
    """
    offers = request.headers.get("sec-websocket-extensions")
    if offers is None:
        return
    if known := known_offers(offers):
        request.headers.set("Sec-WebSocket-Extensions", known)
    else:
        request.headers.discard(b"sec-websocket-extensions")


def check_upgrade(request: Request, response: Response) -> None:
    """Check the response to a request for another protocol.

    :raises HTTPError: it is not valid for an HTTP/2 client that requests a WebSocket. HTTP/1.1 clients check
        the protocol themselves, as behind other proxies.
    """
    if request.websocket_key:
        _check_answer(request, response)


def _protocols(upgrade: str) -> set[str]:
    return {protocol.strip().lower() for protocol in upgrade.split(",")}


def _check_answer(request: Request, response: Response) -> None:
    """Check that a response opens a WebSocket, or rejects it.

    For an HTTP/2 client, any status from 200 to 299 means that it is open (RFC 9110, 9.3.6).

    :raises HTTPError: it does neither.
    """
    if response.status == 101:
        headers = response.headers
        if (headers.get("upgrade") or "").lower() != "websocket":
            raise UpstreamError("switched to a protocol other than WebSocket")
        if headers.get("sec-websocket-accept") != accept_value(request.websocket_key):
            raise UpstreamError("accepted a WebSocket that was not asked for")
    elif response.status < 300:
        if response.upstream:
            raise UpstreamError(f"answered a WebSocket request with {response.status}")
        raise HTTPError(501, "There is no WebSocket here")
