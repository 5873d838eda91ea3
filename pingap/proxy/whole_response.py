"""Filters a response whose body is already complete, without the relay that a body in pieces needs."""

from __future__ import annotations

from pingap.http.headers import Headers
from pingap.http.response import Response
from pingap.proxy.async_stage import AsyncStage
from pingap.proxy.exchange import Exchange
from pingap.proxy.filter_chain import Filters, wrong_length
from pingap.proxy.filter_stages import SyncStage
from pingap.proxy.held_head import HeldHead


def is_whole(x: Exchange, response: Response, filters: Filters, held: int) -> bool:
    """Return whether the body is complete, and neither filter nor head has to be waited for.

    :param held: bytes that may wait with the head; of a larger body, the head leaves first.
    """
    body = response.body
    if not isinstance(body, bytes) or (x.response_body is not None and response.upstream):
        return False
    if held and len(body) > held:
        return False
    return not any(isinstance(stage, AsyncStage) for stage in filters)


def send_filtered(x: Exchange, response: Response, filters: Filters, held: HeldHead | None) -> None:
    """Filter the body, and send the response.

    :raises HTTPError: a filter failed; nothing was sent.
    """
    body, length = response.body, response.content_length
    assert isinstance(body, bytes)
    trailers = Headers()
    for stage in filters:
        assert isinstance(stage, SyncStage)
        body = stage.whole(body, trailers)
    if length is not None and len(body) != length:
        raise wrong_length(filters, len(body), length)
    if held is not None:
        held.release()
    if x.unattended:
        return
    if not trailers.lines:
        x.downstream.send_whole(response, body)
        return
    x.downstream.send_head(response, length)
    if body:
        x.downstream.send_chunk(body)
    x.downstream.send_end(trailers)
