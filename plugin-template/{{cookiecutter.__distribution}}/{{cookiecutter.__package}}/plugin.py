"""{{ cookiecutter.__description }}."""

from __future__ import annotations

{% if cookiecutter.__reads %}
import hashlib
{% endif %}
{% if cookiecutter.__reads or cookiecutter.__upstream_attempt or cookiecutter.__logging %}
import logging

{% endif %}
{% if cookiecutter.async %}
import anyio
{% endif %}
from pingap import (
{% if cookiecutter.__reads or cookiecutter.__rewrites %}
    BodyFilter,
{% endif %}
{% if cookiecutter.__whole %}
    ByteSize,
{% endif %}
{% if cookiecutter.async %}
    Duration,
{% endif %}
{% if cookiecutter.__reads or cookiecutter.__rewrites or cookiecutter.__upstream_request %}
    Headers,
{% endif %}
{% if cookiecutter.__upstream_error or cookiecutter.__error_page %}
    HTTPError,
{% endif %}
    Plugin,
    PluginSettings,
{% if cookiecutter.__server_request or cookiecutter.__early_request or cookiecutter.__request or cookiecutter.__proxy_upstream or cookiecutter.__request_body or cookiecutter.__logging %}
    Request,
{% endif %}
{% if cookiecutter.__early_request or cookiecutter.__logging %}
    RequestContext,
{% endif %}
{% if cookiecutter.__server_request or cookiecutter.__request or cookiecutter.__upstream_error or cookiecutter.__error_page or cookiecutter.__upstream_response or cookiecutter.__upstream_response_body or cookiecutter.__response or cookiecutter.__response_body or cookiecutter.__logging %}
    Response,
{% endif %}
{% if cookiecutter.__upstream_attempt %}
    UpstreamAttempt,
{% endif %}
{% if cookiecutter.__websocket %}
    WebSocketFilter,
    WebSocketMessage,
{% endif %}
{% if cookiecutter.__proxy_upstream or cookiecutter.__response %}
    field,
{% endif %}
    hookimpl,
)

{% if cookiecutter.__reads or cookiecutter.__upstream_attempt or cookiecutter.__logging %}
# Below "pingap", so that it is written to the application log.
log = logging.getLogger("pingap.{{ cookiecutter.name }}")

{% endif %}

class {{ cookiecutter.__class }}(Plugin):
    """{{ cookiecutter.__description }}."""

    category = "{{ cookiecutter.name }}"
{% if cookiecutter.__server_request or cookiecutter.__upstream_request or cookiecutter.__upstream_attempt or cookiecutter.__upstream_error or cookiecutter.__error_page or cookiecutter.__websocket %}
    contract = "1.1"
{% endif %}
{% if cookiecutter.__reads %}
    body = "reads"  # filters do not change bodies, so the announced length is kept
{% endif %}
{% if cookiecutter.__rewrites %}
    body = "rewrites"  # filters change the length, so bodies are sent in chunks
{% endif %}
{% if cookiecutter.__early_request or cookiecutter.__proxy_upstream %}
    # Only the plugin sets these: headers of clients with these names are dropped.
{% if cookiecutter.__early_request %}
{% if cookiecutter.__proxy_upstream %}
    adds_headers = ("{{ cookiecutter.__header }}-Client", "{{ cookiecutter.__header }}")
{% else %}
    adds_headers = ("{{ cookiecutter.__header }}-Client",)
{% endif %}
{% else %}
    adds_headers = ("{{ cookiecutter.__header }}",)
{% endif %}
{% endif %}

    class Settings(PluginSettings):
        """Keys of `[plugins.<name>]` in TOML, besides `category`."""

        text: str = "hello"
        """The text of the plugin."""
{% if cookiecutter.__request %}
        path: str = "{{ cookiecutter.__path }}"
        """The path that the plugin answers."""
{% endif %}
{% if cookiecutter.__whole %}
        max_body: ByteSize = 65536
        """Maximum size of a request body; a larger one is answered with 413."""
{% endif %}
{% if cookiecutter.async %}
        delay: Duration = 0.0
        """How long the plugin waits."""
{% endif %}

    def __init__(self, settings: Settings) -> None:
        self.text = settings.text
{% if cookiecutter.__request %}
        self.path = settings.path
{% endif %}
{% if cookiecutter.__whole %}
        self.whole_request_body = settings.max_body  # read before `request` runs
{% endif %}
{% if cookiecutter.async %}
        self.delay = settings.delay
{% endif %}
{% if cookiecutter.__proxy_upstream or cookiecutter.__response %}
        # Prepared once; a text that is invalid in a header is a configuration error.
        self.header = field("{{ cookiecutter.__header }}", settings.text)
{% endif %}
{% if cookiecutter.__server_request %}

    @hookimpl
    {{ cookiecutter.__def }} server_request(self, request: Request) -> Response | None:
        """Answer on every host of a server that lists the plugin."""
        if request.path != "/.well-known{{ cookiecutter.__path }}":
            return None
{% if cookiecutter.async %}
        await self.wait()
{% endif %}
        return Response.text(200, f"{self.text}\n")
{% endif %}
{% if cookiecutter.__early_request %}

    @hookimpl
    {{ cookiecutter.__def }} early_request(self, request: Request, ctx: RequestContext) -> None:
        """Add the client's address, for other plugins and the upstream."""
{% if cookiecutter.async %}
        await self.wait()
{% endif %}
        request.headers.set("{{ cookiecutter.__header }}-Client", ctx.client_ip(request))
{% endif %}
{% if cookiecutter.__request %}

    @hookimpl
    {{ cookiecutter.__def }} request(self, request: Request) -> Response | None:
        """Answer on the path; let all other requests pass."""
        if request.path != self.path:
            return None
{% if cookiecutter.async %}
        await self.wait()
{% endif %}
{% if cookiecutter.__whole %}
        return Response.text(200, f"{self.text}: {len(request.body or b'')} bytes\n")
{% else %}
        return Response.text(200, f"{self.text}\n")
{% endif %}
{% endif %}
{% if cookiecutter.__proxy_upstream %}

    @hookimpl
    {{ cookiecutter.__def }} proxy_upstream(self, request: Request) -> None:
        """Add a header to requests that go to the upstream."""
{% if cookiecutter.async %}
        await self.wait()
{% endif %}
        request.headers.replace(self.header)
{% endif %}
{% if cookiecutter.__upstream_request %}

    @hookimpl
    {{ cookiecutter.__def }} upstream_request(self, headers: Headers) -> None:
        """Add a header to each attempt to send the request to an upstream."""
{% if cookiecutter.async %}
        await self.wait()
{% endif %}
        headers.set("{{ cookiecutter.__header }}-Attempt", self.text)
{% endif %}
{% if cookiecutter.__request_body %}

    @hookimpl
    def request_body(self, request: Request) -> BodyFilter | None:
        """Filter a body on its way to the upstream."""
        return self.filter_for(request.headers)
{% endif %}
{% if cookiecutter.__upstream_attempt %}

    @hookimpl
    {{ cookiecutter.__def }} upstream_attempt(self, attempt: UpstreamAttempt) -> None:
        """Write a line for each attempt to the application log."""
{% if cookiecutter.async %}
        await self.wait()
{% endif %}
        log.info("%s: attempt %d, %s, %d", self.text, attempt.number, attempt.peer, attempt.status)
{% endif %}
{% if cookiecutter.__upstream_error %}

    @hookimpl
    {{ cookiecutter.__def }} upstream_error(self, error: HTTPError) -> Response | None:
        """Answer in place of an upstream that gave no response."""
{% if cookiecutter.async %}
        await self.wait()
{% endif %}
        return Response.text(error.status, f"{self.text}\n")
{% endif %}
{% if cookiecutter.__upstream_response %}

    @hookimpl
    {{ cookiecutter.__def }} upstream_response(self, response: Response) -> None:
        """Remove the header in which the upstream names its software."""
{% if cookiecutter.async %}
        await self.wait()
{% endif %}
        response.headers.remove("X-Powered-By")
{% endif %}
{% if cookiecutter.__upstream_response_body %}

    @hookimpl
    def upstream_response_body(self, response: Response) -> BodyFilter | None:
        """Filter the body of an upstream's response."""
        return self.filter_for(response.headers)
{% endif %}
{% if cookiecutter.__error_page %}

    @hookimpl
    {{ cookiecutter.__def }} error_page(self, error: HTTPError) -> Response | None:
        """Make the page for an error."""
{% if cookiecutter.async %}
        await self.wait()
{% endif %}
        return Response.text(error.status, f"{self.text}: {error.message}\n")
{% endif %}
{% if cookiecutter.__response %}

    @hookimpl
    {{ cookiecutter.__def }} response(self, response: Response) -> None:
        """Add a header to every response."""
{% if cookiecutter.async %}
        await self.wait()
{% endif %}
        response.headers.replace(self.header)
{% endif %}
{% if cookiecutter.__response_body %}

    @hookimpl
    def response_body(self, response: Response) -> BodyFilter | None:
        """Filter a body on its way to the client."""
        return self.filter_for(response.headers)
{% endif %}
{% if cookiecutter.__websocket %}

    @hookimpl
    {{ cookiecutter.__def }} websocket(self) -> WebSocketFilter | None:
        """Read the messages of a WebSocket."""
{% if cookiecutter.async %}
        await self.wait()
{% endif %}
        return Prefix(self.text)
{% endif %}
{% if cookiecutter.__logging %}

    @hookimpl
    {{ cookiecutter.__def }} logging(
        self,
        request: Request,
        response: Response | None,
        ctx: RequestContext,
    ) -> None:
        """Write a line to the application log."""
{% if cookiecutter.async %}
        await self.wait()
{% endif %}
        status = response.status if response else "nothing"
        milliseconds = ctx.service_time * 1000
        log.info("%s: %s, %s, %.1f ms", self.text, request.path, status, milliseconds)
{% endif %}
{% if cookiecutter.__reads %}

    def filter_for(self, headers: Headers) -> BodyFilter | None:
        """Return a filter for a body, unless it is compressed."""
        return None if "content-encoding" in headers else Digest(self.text)
{% endif %}
{% if cookiecutter.__rewrites %}

    def filter_for(self, headers: Headers) -> BodyFilter | None:
        """Return a filter for a body if it is plain text."""
        plain = (headers.get("content-type") or "").startswith("text/plain")
        return Append(self.text) if plain and "content-encoding" not in headers else None
{% endif %}
{% if cookiecutter.async %}

    async def wait(self) -> None:
        """Stands for whatever you await: a side call, a query, a thread.

        The key `timeout` of the plugin limits how long it may take, 30 s by default.
        """
        await anyio.sleep(self.delay)
{% endif %}
{% if cookiecutter.__reads %}


class Digest(BodyFilter):
    """Passes a body on, and writes its SHA-256 to the application log."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha256 = hashlib.sha256()

    def feed(self, chunk: bytes) -> bytes:
        """Handle a chunk; its boundaries are arbitrary."""
        self.sha256.update(chunk)
        return chunk

    def end(self, trailers: Headers) -> bytes:
        """Handle the end of the body."""
        log.info("%s: SHA-256 %s", self.text, self.sha256.hexdigest())
        return b""
{% endif %}
{% if cookiecutter.__rewrites %}


class Append(BodyFilter):
    """Passes a body on, and adds a line."""

    def __init__(self, text: str) -> None:
        self.line = f"{text}\n".encode()

    def end(self, trailers: Headers) -> bytes:
        """Handle the end of the body; return the remaining data."""
        return self.line
{% endif %}
{% if cookiecutter.__websocket %}


class Prefix(WebSocketFilter):
    """Puts the text in front of what clients write."""

    def __init__(self, text: str) -> None:
        self.text = text

    def from_client(self, message: WebSocketMessage) -> WebSocketMessage | str:
        """Take a message; return what the upstream gets."""
        return f"{self.text}: {message.data}" if isinstance(message.data, str) else message
{% endif %}
