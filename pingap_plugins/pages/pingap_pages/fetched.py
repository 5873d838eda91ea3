"""Pages that an upstream has: requested for each error, within limits."""

from __future__ import annotations

import logging
from typing import Final

from pingap import Headers, HTTPError, Request, RequestContext, Response, Worker
from pingap_pages.files import made

log = logging.getLogger("pingap")

MOST_AT_ONCE: Final = 32
"""Requests of a worker for one page that are in progress at the same time. Further errors get the page of
pingap: when a backend fails, errors are many."""
_PASSED_ON: Final = ("Accept", "Accept-Language", "User-Agent")
_KEPT: Final = ("Content-Language", "Content-Encoding")


class FetchedPage:
    """A page of an upstream.

    No location and no plugin is involved, so an error that happens here leads to no other request.

    :param upstream: its name.
    :param path: of the page, with or without query.
    :param timeout: total time limit in seconds.
    :param max_size: maximum size of the page in bytes.
    """

    def __init__(self, upstream: str, path: str, timeout: float, max_size: int) -> None:
        self._upstream = upstream
        self._path = path
        self._timeout = timeout
        self._max_size = max_size
        self._running = 0
        self.worker: Worker | None = None
        """Set before the first request."""

    async def response(
        self, request: Request, error: HTTPError, ctx: RequestContext, status: int
    ) -> Response | None:
        """Return the page; None if there is none in time.

        :param status: the status that is sent.
        """
        if self.worker is None or self._running >= MOST_AT_ONCE:
            return None
        self._running += 1
        try:
            found = await self.worker.fetch(
                self._request(request, ctx),
                upstream=self._upstream,
                timeout=self._timeout,
                response_limit=self._max_size,
            )
        except (HTTPError, KeyError) as failure:  # KeyError: a reload has removed the upstream
            log.warning("error_pages: %s of %s: %s", self._path, self._upstream, failure)
            return None
        finally:
            self._running -= 1
        if found.status != 200:
            log.warning("error_pages: %s of %s: %d", self._path, self._upstream, found.status)
            return None
        return _page(found, error, ctx, status)

    def _request(self, request: Request, ctx: RequestContext) -> Request:
        headers = Headers({"Host": request.header("host") or ctx.host(request) or self._upstream})
        for name in _PASSED_ON:
            if value := request.header(name):
                headers.set(name, value)
        return Request("GET", self._path, headers, request.host)


def _page(found: Response, error: HTTPError, ctx: RequestContext, status: int) -> Response:
    assert isinstance(found.body, bytes)
    content_type = found.headers.get("content-type") or "application/octet-stream"
    page = made(status, found.body, content_type, error, ctx)
    for name in _KEPT:
        if (value := found.headers.get(name)) is not None:
            page.headers.set(name, value)
    return page
