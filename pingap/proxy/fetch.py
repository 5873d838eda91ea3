"""Requests of plugins to a configured upstream: ``worker.fetch``.

From ``ask_upstream`` on, they are handled like any request: balancing, pools, retries, circuit breakers and
observers are the same. Instead of a client, a plugin waits for the whole response.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import anyio

from pingap.http.connection import Connection
from pingap.http.context import RequestContext
from pingap.http.errors import ClientGone, HTTPError, PingapError, forget_frames
from pingap.http.request import Request
from pingap.http.response import Response
from pingap.plugins.chains import NO_CHAINS
from pingap.proxy.attempts import ask_upstream
from pingap.proxy.exchange import Exchange
from pingap.proxy.nobody import Nobody
from pingap.proxy.runtime import LocationRuntime, ServerRuntime
from pingap.upstream.retrying.retries import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pingap.proxy.async_hooks import HookTasks
    from pingap.upstream.upstream import UpstreamRuntime
    from pingap.wire.backlog import Backlog

LARGEST_RESPONSE: Final = 64 * 1024 * 1024
RETRIES: Final = 1
"""Number of retries if a connection could not be made."""

_HOP_BY_HOP: Final = (
    *(b"connection", b"content-length", b"expect", b"keep-alive", b"proxy-connection"),
    *(b"te", b"trailer", b"transfer-encoding", b"upgrade"),
)


class Fetching:
    """The requests of plugins in one worker.

    :param tasks: runs connecting.
    """

    def __init__(self, tasks: HookTasks) -> None:
        self._tasks = tasks
        self._running: set[Exchange] = set()
        self._is_closed = False

    async def fetch(
        self,
        request: Request,
        body: bytes,
        connection: Connection,
        server: ServerRuntime,
        upstreams: Mapping[str, UpstreamRuntime],
        name: str,
        seconds: float,
        keep_body: bool,
        limit: int,
    ) -> Response:
        """Return the whole response to a request.

        :param connection: takes the place of a client connection.
        :param server: reports errors.
        :param name: of the upstream, which is among ``upstreams``.
        :param seconds: total time limit.
        :param keep_body: whether the response has its body; otherwise it is dropped.
        :param limit: maximum size of the body in bytes, if it is kept.
        :raises HTTPError: there is no response, or it is too large.
        """
        if self._is_closed:
            raise HTTPError(503, "The proxy is shutting down")
        own = _prepared(request, body)
        plugin = _Plugin(
            self._tasks, upstreams[name].pool.backlog, keep_body, min(limit, LARGEST_RESPONSE)
        )
        location = LocationRuntime(
            name="", chains=NO_CHAINS, upstream=name, upstreams=upstreams, retry=_POLICY
        )
        ctx = RequestContext(connection, time.monotonic())
        await self._exchange(Exchange(server, plugin, own, ctx), body, location, plugin, seconds)
        # Raised here, where no frame refers to the exchange.
        if plugin.error is not None:
            raise plugin.error
        if plugin.response is None:
            raise HTTPError(504, "The upstream server did not answer in time")
        return plugin.response

    async def _exchange(
        self, x: Exchange, body: bytes, location: LocationRuntime, plugin: _Plugin, seconds: float
    ) -> None:
        """Return when an exchange is over, or its time limit has passed."""
        if (sent := x.request_body) is not None:
            sent.feed(body)
            sent.end(None)
        x.lifecycle = _run(x, location, plugin).__await__()
        self._running.add(x)
        try:
            x.step()
            with anyio.move_on_after(seconds):
                await plugin.over.wait()
        finally:
            self._running.discard(x)
            if not plugin.over.is_set():
                x.fail(ClientGone())

    def close(self) -> None:
        """End every request, because the worker ends."""
        self._is_closed = True
        for x in list(self._running):
            x.fail(HTTPError(503, "The proxy is shutting down"))


_POLICY: Final = RetryPolicy(most=RETRIES)


def _prepared(request: Request, body: bytes) -> Request:
    """Return a request of our own, framed for its body.

    :raises ValueError: it asks for another protocol.
    """
    if request.upgrade or request.method == "CONNECT":
        raise ValueError(f"{request!r} asks for a tunnel, which cannot be fetched")
    headers = request.headers.copy()
    for key in _HOP_BY_HOP:
        headers.discard(key)
    own = Request(request.method, request.target, headers, request.host)
    own.content_length = len(body)
    return own


class _Plugin(Nobody):
    """Takes the place of a client connection, and keeps the data sent to it.

    :param keeps_body: false: it drops the data.
    :param limit: bytes of the body that it keeps.
    :ivar over: set when the exchange has ended.
    """

    def __init__(self, tasks: HookTasks, backlog: Backlog, keeps_body: bool, limit: int) -> None:
        super().__init__(tasks, backlog)
        self.keeps_body = keeps_body
        self._limit = limit
        self.over = anyio.Event()
        self.response: Response | None = None
        self.error: HTTPError | None = None
        self.chunks: list[bytes] = []

    def send_chunk(self, chunk: bytes) -> None:
        """Keep a piece of the body.

        :raises HTTPError: it is too large.
        """
        self.body_bytes_sent += len(chunk)
        if not self.keeps_body:
            return
        self.check_size(self.body_bytes_sent)
        self.chunks.append(chunk)

    def check_size(self, size: int) -> None:
        """Check that the body is not too large.

        :raises HTTPError: it is.
        """
        if size > self._limit:
            raise HTTPError(502, f"The response has more than {self._limit} bytes")

    def exchange_ended(self) -> None:
        """Wake the plugin."""
        if self.response is None and self.error is None:
            self.error = HTTPError(500, "Internal error")
        self.over.set()


async def _run(x: Exchange, location: LocationRuntime, plugin: _Plugin) -> None:
    """Send the request to the upstream, and keep the response: the lifecycle of such an exchange."""
    try:
        response = await ask_upstream(x, location)
        if x.response_body is not None:
            x.response_body.open(plugin)
            await x.relay_response()
        own = response.copy()
        # Only if there is one: otherwise the length announced in a response to HEAD would be lost.
        if plugin.body_bytes_sent or (own.body and not plugin.keeps_body):
            own.body = b"".join(plugin.chunks)
        elif isinstance(own.body, bytes):  # it came with its head
            plugin.check_size(len(own.body))
        plugin.response = own
    except HTTPError as error:
        x.ctx.error = plugin.error = error
        x.server.report(x, error)
        forget_frames(error)
    except PingapError as error:  # the plugin was cancelled, or has waited too long
        x.ctx.error = error
        forget_frames(error)
        plugin.error = HTTPError(504, "The upstream server did not answer in time")
    finally:
        _end(x)


def _end(x: Exchange) -> None:
    ctx = x.ctx
    x.drop_upstream()
    x.leave_peer()
    ctx.ended_at = time.monotonic()
    if ctx.upstream_head_at:
        ctx.connection.stats.upstream_times[ctx.upstream_name].end(ctx)
    if ctx.connection.pins is not None:
        ctx.connection.pins.release()
