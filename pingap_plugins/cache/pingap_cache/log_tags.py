"""Tags of the access log: ``{:<name of the cache>.status}`` and others."""

from __future__ import annotations

from collections.abc import Mapping

from pingap import ContextKey, LogTag, Request, RequestContext, Response
from pingap_cache.visits import Visit


def log_tags(key: ContextKey[Visit | None]) -> Mapping[str, LogTag]:
    """Return the tags of one cache.

    :param key: where a request has its visit; a hit from memory has none.
    """

    def status(request: Request, response: Response | None, ctx: RequestContext) -> str | None:
        return None if response is None else response.headers.get("x-cache-status")

    def reason(request: Request, response: Response | None, ctx: RequestContext) -> str | None:
        visit = ctx[key]
        if visit is not None:
            return visit.reason
        return "fresh" if status(request, response, ctx) == "hit" else None

    def took(name: str) -> LogTag:
        def tag(request: Request, response: Response | None, ctx: RequestContext) -> str | None:
            seconds = ctx.timings.get(name)
            return None if seconds is None else f"{seconds * 1000:.3f}"

        return tag

    return {
        "status": status,
        "reason": reason,
        "lookup": took("cache.lookup"),
        "lock": took("cache.lock"),
    }
