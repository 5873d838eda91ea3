"""Small plugins, each for another part of the API."""

from __future__ import annotations

import re
import zlib
from dataclasses import replace
from pathlib import Path

import anyio

from pingap import (
    BackgroundTasks,
    BodyFilter,
    FileBody,
    Headers,
    HTTPError,
    Peer,
    Plugin,
    PluginSettings,
    Request,
    RequestContext,
    Response,
    ServerSentEvent,
    SSEFilter,
    UpstreamAttempt,
    WebSocketFilter,
    WebSocketMessage,
    Worker,
    hookimpl,
)


class Compressor(Plugin):
    """Compresses text with gzip, and sends what there is when the upstream pauses."""

    category = "small_compressor"
    contract = "1.1"
    body = "rewrites"
    reads_headers = ("accept-encoding",)

    @hookimpl
    def response(self, request: Request, response: Response, ctx: RequestContext) -> None:
        # Body filters do not run for error pages.
        if ctx.error is None and self._applies(request, response):
            response.headers.set("Content-Encoding", "gzip")
            response.headers.set("Vary", "Accept-Encoding")
            ctx.variants["encoding"] = "gzip"

    @hookimpl
    def response_body(self, response: Response, ctx: RequestContext) -> BodyFilter | None:
        return Gzip() if "encoding" in ctx.variants else None

    def _applies(self, request: Request, response: Response) -> bool:
        wanted = request.headers.get("Accept-Encoding") or ""
        return "gzip" in wanted and "Content-Encoding" not in response.headers


class Gzip(BodyFilter):
    """A body in gzip."""

    def __init__(self) -> None:
        self.compressor = zlib.compressobj(wbits=31)

    def feed(self, chunk: bytes) -> bytes:
        return self.compressor.compress(chunk)

    def flush(self) -> bytes:
        return self.compressor.flush(zlib.Z_SYNC_FLUSH)

    def end(self, trailers: Headers) -> bytes:
        return self.compressor.flush()


class Tracer(Plugin):
    """Gives each attempt an id, and keeps what became of it."""

    category = "small_tracer"
    contract = "1.1"

    def __init__(self, settings: PluginSettings) -> None:
        self.spans: list[str] = []

    @hookimpl
    def upstream_request(self, headers: Headers, peer: Peer, ctx: RequestContext) -> None:
        headers.set("X-Span", str(ctx.upstream_retries + 1))

    @hookimpl
    def upstream_attempt(self, attempt: UpstreamAttempt) -> None:
        self.spans.append(f"attempt {attempt.number}: {attempt.status or 'failed'}")

    @hookimpl
    def logging(self, response: Response | None, ctx: RequestContext) -> None:
        self.spans.append(f"request: {ctx.status} {ctx.outcome}")


class Leader(Plugin):
    """Counts, in one worker of all; every worker answers with the count."""

    category = "small_leader"
    contract = "1.1"

    async def lead(self, tasks: BackgroundTasks, worker: Worker) -> None:
        while True:
            worker.shared.counter("small-leader").add(1)
            await anyio.sleep(0.01)

    @hookimpl
    def request(self, ctx: RequestContext) -> Response:
        return Response.text(200, str(ctx.shared.counter("small-leader").value))


class ErrorPages(Plugin):
    """Error pages in plain text, of a server: also where no location matches."""

    category = "small_error_pages"
    contract = "1.1"

    @hookimpl
    def error_page(self, error: HTTPError) -> Response:
        return Response.text(error.status, f"Sorry: {error.status}")


class Files(Plugin):
    """Files of a directory, with ranges."""

    category = "small_files"
    contract = "1.1"

    class Settings(PluginSettings):
        """Where they are."""

        root: str
        """The directory."""

    def __init__(self, settings: Settings) -> None:
        self.root = Path(settings.root)

    @hookimpl
    def request(self, request: Request) -> Response:
        name = request.path.rpartition("/")[2]
        try:
            whole = FileBody(self.root / name)
        except (OSError, ValueError):
            raise HTTPError(404, "no such file") from None
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("Range") or "")
        if found is None:
            return Response(200, whole)
        first, last, size = int(found[1]), int(found[2]), whole.content_length
        if not first <= last < size:
            return Response(416)
        response = Response(206, FileBody(self.root / name, first, last - first + 1))
        response.headers.set("Content-Range", f"bytes {first}-{last}/{size}")
        return response


class Observer(Plugin):
    """Rewrites messages of a WebSocket."""

    category = "small_observer"
    contract = "1.1"

    @hookimpl
    def websocket(self) -> WebSocketFilter:
        return Politely()


class Politely(WebSocketFilter):
    """Says please."""

    def from_client(self, message: WebSocketMessage) -> WebSocketMessage | str:
        return f"{message.data}, please" if isinstance(message.data, str) else message


class Events(Plugin):
    """Numbers the events of a stream, and drops those that are secret."""

    category = "small_events"
    contract = "1.1"
    body = "rewrites"

    @hookimpl
    def upstream_response_body(self, response: Response) -> BodyFilter | None:
        kind = response.headers.get("Content-Type") or ""
        return Numbers() if kind.startswith("text/event-stream") else None


class Numbers(SSEFilter):
    """The events of one stream."""

    count = 0

    def event(self, event: ServerSentEvent) -> ServerSentEvent | None:
        if event.event == "secret":
            return None
        self.count += 1
        return replace(event, id=str(self.count))
