"""The phases of a response before it is sent: plugins change it, and filter its body."""

from __future__ import annotations

from pingap.http.attempts import Retry
from pingap.http.response import InternalRedirect, Response
from pingap.plugins.chains import Chains
from pingap.proxy.attempts import ask_again
from pingap.proxy.exchange import Exchange
from pingap.proxy.filter_chain import Filters, rewrites
from pingap.proxy.hook_runner import ask_filters, call_first
from pingap.proxy.runtime import LocationRuntime

_NO_BODY = frozenset((101, 204, 304))


async def change_upstream_response(
    x: Exchange, location: LocationRuntime, response: Response
) -> Response:
    """Run ``upstream_response``; if a plugin replaces the response, the upstream's is dropped."""
    chain = x.chains.upstream_response
    x.ctx._exchange = x  # for ``ctx.read_response``
    while chain:
        step, *rest = chain
        chain = tuple(rest)
        answer = call_first(x, (step,), "upstream_response", x.request, response, x.ctx)
        if answer is not None and not isinstance(answer, Response | Retry):
            answer = await answer
        if isinstance(answer, Retry):
            if x.request_body is None:
                response = await ask_again(x, location, answer)
                chain = x.chains.upstream_response
        elif answer is not None and answer is not response:
            x.drop_upstream()
            x.leave_peer()
            response = answer
            if type(answer) is InternalRedirect:
                break  # the other plugins see the response of the internal location in ``response``
    return response


async def ask_for_filters(x: Exchange, chains: Chains, response: Response) -> Filters:
    """Run the phases that filter the body of a response; for a client, also ``response_body``."""
    if x.request.method == "HEAD" or response.status in _NO_BODY:
        if chains.rewriters:
            response.content_length = None  # the result of a GET is unknown
        return ()
    filters: Filters = ()
    args = (x.request, response, x.ctx)
    if chains.upstream_response_body and response.upstream:
        chain = chains.upstream_response_body
        filters = await ask_filters(x, chain, "upstream_response_body", *args)
    if chains.response_body and not x.ctx.in_background:
        filters = (*filters, *await ask_filters(x, chains.response_body, "response_body", *args))
    if rewrites(filters, chains.rewriters):
        response.content_length = None
    return filters
