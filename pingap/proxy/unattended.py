"""Going on without the client: an upstream's answer is read to its end, for filters that keep it.

A plugin asks for it (``ctx.finish_without_client``), as a cache does that is being filled. What is sent
then goes nowhere: the client's side drops it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from pingap.http.errors import ClientGone

if TYPE_CHECKING:
    from pingap.proxy.exchange import Exchange

LARGEST_BODY: Final = 64 * 1024 * 1024
"""Bytes of a body that is read though nobody waits for it."""


def can_go_on(x: Exchange) -> bool:
    """Return whether nothing more is needed of a client that has just left."""
    if x.failure is not None or x.tunnelling or x.ctx.pins_upstream or x.ctx.connection.pins:
        return False
    if x.request_body is not None and not x.request_body.ended:
        return False
    if not x.head_sent or x.upstream is not None:
        return True
    # Otherwise a plugin produces the body, or all of it has come and passes async filters.
    return x.response_body is None or x.response_body.ended


def go_on(x: Exchange) -> None:
    """Read the answer as fast as it comes: the client no longer limits that."""
    x.unattended = True
    x.status_when_left = x.ctx.status or 499
    x.hold_answer(False)
    if x.response_body is not None:
        bound_body(x)
    x.on_client_full(False)


def end() -> NoReturn:
    """End an exchange that went on to its end: to the client, it is over for another reason.

    :raises ClientGone: always.
    """
    raise ClientGone


def bound_body(x: Exchange) -> None:
    """Limit the body; with more, the exchange ends as if nobody had asked for it."""
    assert x.response_body is not None
    x.response_body.limit = LARGEST_BODY
