"""Continuing without the client: an upstream's response is read to its end, for filters that keep it.

A plugin requests it (``ctx.finish_without_client``), such as a cache that is being filled. The client side
then drops the data sent to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from pingap.http.errors import ClientGone

if TYPE_CHECKING:
    from pingap.proxy.exchange import Exchange

LARGEST_BODY: Final = 64 * 1024 * 1024
"""Maximum size of a body that is read without a client."""


def can_go_on(x: Exchange) -> bool:
    """Return whether nothing more is needed from a client that has just disconnected."""
    if x.failure is not None or x.tunnelling or x.ctx.pins_upstream or x.ctx.connection.pins:
        return False
    if x.request_body is not None and not x.request_body.ended:
        return False
    if not x.head_sent or x.upstream is not None:
        return True
    # Otherwise a plugin produces the body, or all of it has arrived and passes async filters.
    return x.response_body is None or x.response_body.ended


def go_on(x: Exchange) -> None:
    """Read the response at full speed: the client no longer limits it."""
    x.unattended = True
    x.status_when_left = x.ctx.status or 499
    x.hold_answer(False)
    if x.response_body is not None:
        bound_body(x)
    x.on_client_full(False)


def end() -> NoReturn:
    """End an exchange that continued to its end: for the client, it ended for another reason.

    :raises ClientGone: always.
    """
    raise ClientGone


def bound_body(x: Exchange) -> None:
    """Limit the body; beyond it, the exchange ends as if no plugin had requested it."""
    assert x.response_body is not None
    x.response_body.limit = LARGEST_BODY
