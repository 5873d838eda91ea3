"""Reading all of a request body before the request is sent on: ``ctx.read_body``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pingap.http.errors import HTTPError
from pingap.http.headers import Headers
from pingap.http.messages import Request, Response
from pingap.proxy.body_relay import BodyRelay

if TYPE_CHECKING:
    from pingap.proxy.async_hooks import HookTasks


class Client(Protocol):
    """The client's side, as far as it concerns the reader of a request."""

    @property
    def tasks(self) -> HookTasks:
        """Where what plugins await is run."""

    def send_interim(self, response: Response) -> None:
        """Send a 1xx response."""


async def read_whole(client: Client, request: Request, relay: BodyRelay, limit: int) -> bytes:
    """Return the whole body of a request, which is sent on later as if it came then.

    The time limit of the hook that waits for it stands still meanwhile: the client decides how long
    that takes, within limits of its own.

    :param limit: bytes it may have.
    :raises HTTPError: 413, it has more.
    :raises RuntimeError: the request was sent, or is being sent.
    """
    if relay.was_opened:
        raise RuntimeError("the request was sent: call read_body before that")
    if request.content_length > limit:
        raise _too_large(limit)
    if request.expects_continue and not relay.ended:
        # The client waits to be asked, and the upstream is not there to do it yet.
        client.send_interim(Response.from_upstream(100, b"Continue", Headers(), None))
        request.headers.discard(b"expect")
    with client.tasks.without_limit():
        body = await relay.collect(limit)
    if len(body) > limit:  # for another reader it was not
        raise _too_large(limit)
    request.body = body
    return body


def _too_large(limit: int) -> HTTPError:
    return HTTPError(413, f"Request Entity Too Large, max:{limit}")
