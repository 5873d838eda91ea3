"""Reads a whole request body before the request is sent on: ``ctx.read_body``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pingap.http.errors import HTTPError
from pingap.http.headers import Headers
from pingap.http.request import Request
from pingap.http.response import Response
from pingap.proxy.body_relay import BodyRelay

if TYPE_CHECKING:
    from pingap.proxy.async_hooks import HookTasks


class Client(Protocol):
    """The part of the client side that the reader of a request uses."""

    @property
    def tasks(self) -> HookTasks:
        """Runs awaitables of plugins."""

    def send_interim(self, response: Response) -> None:
        """Send a 1xx response."""


async def read_whole(client: Client, request: Request, relay: BodyRelay, limit: int) -> bytes:
    """Return the whole body of a request, which is later sent on as usual.

    The time limit of the waiting hook is suspended in the meantime: the client determines how long it takes,
    within its own limits.

    :param limit: maximum size in bytes.
    :raises HTTPError: 413, it is larger.
    :raises RuntimeError: the request was sent, or is being sent.
    """
    if relay.was_opened:
        raise RuntimeError("the request was sent: call read_body before that")
    if request.content_length > limit:
        raise _too_large(limit)
    if request.expects_continue and not relay.ended:
        # The client waits for 100 Continue, and there is no upstream yet to send it.
        client.send_interim(Response.from_upstream(100, b"Continue", Headers(), None))
        request.headers.discard(b"expect")
    with client.tasks.without_limit():
        body = await relay.collect(limit)
    if len(body) > limit:  # another reader had a higher limit
        raise _too_large(limit)
    request.body = body
    return body


def _too_large(limit: int) -> HTTPError:
    return HTTPError(413, f"Request Entity Too Large, max:{limit}")
