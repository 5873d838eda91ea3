"""The handshake of WebSocket for a client that made none, and answers to any request for a protocol.

Over HTTP/2 a client proves nothing by a key (RFC 8441, 5), but an upstream of HTTP/1.1 wants one
(RFC 6455, 4). So it is made here, and the answer checked here, as the client would have done.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import Final

from pingap.http.errors import HTTPError, UpstreamError
from pingap.http.messages import Request, Response
from pingap.protocol.websocket_deflate import known_offers

_GUID: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def add_key(request: Request) -> None:
    """Give a request a key of its own, instead of whatever came under that name."""
    request.websocket_key = base64.b64encode(secrets.token_bytes(16)).decode("ascii")
    request.headers.set("Sec-WebSocket-Key", request.websocket_key)


def accept_value(key: str) -> str:
    """Return what ``Sec-WebSocket-Accept`` says to a key."""
    digest = hashlib.sha1((key + _GUID).encode("ascii"), usedforsecurity=False).digest()
    return base64.b64encode(digest).decode("ascii")


def is_websocket(upgrade: str) -> bool:
    """Return whether the protocol of an ``Upgrade``, or one of several, is WebSocket."""
    return "websocket" in _protocols(upgrade)


def limit_extensions(request: Request) -> None:
    """Offer the upstream no extension without which its messages could not be read.

    What is left of the client's offers is permessage-deflate.
    """
    offers = request.headers.get("sec-websocket-extensions")
    if offers is None:
        return
    if known := known_offers(offers):
        request.headers.set("Sec-WebSocket-Extensions", known)
    else:
        request.headers.discard(b"sec-websocket-extensions")


def check_upgrade(request: Request, response: Response) -> None:
    """Check the answer to a request that asks for another protocol.

    :raises HTTPError: it is no answer to a client of HTTP/2 that asks for a WebSocket. (A client of
        HTTP/1.1 sees itself which protocol begins, as behind other proxies.)
    """
    if request.websocket_key:
        _check_answer(request, response)


def _protocols(upgrade: str) -> set[str]:
    return {protocol.strip().lower() for protocol in upgrade.split(",")}


def _check_answer(request: Request, response: Response) -> None:
    """Check that an answer begins a WebSocket, or says that there will be none.

    To a client of HTTP/2 any status from 200 to 299 says that it has begun (RFC 9110, 9.3.6).

    :raises HTTPError: it does neither.
    """
    if response.status == 101:
        headers = response.headers
        if (headers.get("upgrade") or "").lower() != "websocket":
            raise UpstreamError("changed to another protocol than WebSocket")
        if headers.get("sec-websocket-accept") != accept_value(request.websocket_key):
            raise UpstreamError("accepted a WebSocket that was not asked for")
    elif response.status < 300:
        if response.upstream:
            raise UpstreamError(f"answered a WebSocket with {response.status}")
        raise HTTPError(501, "There is no WebSocket here")
