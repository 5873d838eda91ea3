"""Reads a whole response of an upstream before later plugins see it: ``ctx.read_response``."""

from __future__ import annotations

from pingap.http.headers import set_unchecked
from pingap.http.response import Response
from pingap.proxy.body_relay import BodyRelay


async def take_whole(response: Response, relay: BodyRelay | None, limit: int) -> bytes | None:
    """Return the whole body of a response; that of an upstream is moved into it, and may be replaced.

    An empty one is not: it may be that of a response to HEAD, whose announced length stays.

    :param relay: of the upstream's response; None if all of it came at once.
    :param limit: maximum size in bytes.
    :returns: None if the body is larger, or comes from a plugin in pieces.
    """
    body: object = response.body
    if response.upstream and relay is not None:
        announced = response.content_length or 0
        body = await relay.hold(limit) if announced <= limit else None
    if not isinstance(body, bytes) or len(body) > limit:
        return None
    if response.upstream and body:
        set_unchecked(response, "body", body)
        set_unchecked(response, "content_length", len(body))
        set_unchecked(response, "is_read", True)
    return body
