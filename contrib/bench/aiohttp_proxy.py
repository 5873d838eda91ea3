"""A simple proxy written with aiohttp: started by ``compare.py``, with two ports."""

from __future__ import annotations

import sys
import uuid
from collections.abc import AsyncIterator

from aiohttp import ClientSession, ClientTimeout, TCPConnector, web

_HOP_BY_HOP = frozenset(
    ("connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade")
)
_ORIGIN = web.AppKey("origin", str)
_CLIENT = web.AppKey("client", ClientSession)


async def ping(request: web.Request) -> web.Response:
    """Answer without an origin."""
    return web.Response(text="pong")


async def proxy(request: web.Request) -> web.StreamResponse:
    """Forward a request and its response, with the same two headers as the other proxies."""
    headers = {
        key: value for key, value in request.headers.items() if key.lower() not in _HOP_BY_HOP
    }
    headers["X-Request-Id"] = str(uuid.uuid4())
    url = request.app[_ORIGIN] + request.path_qs
    body = request.content if request.body_exists else None
    async with request.app[_CLIENT].request(
        request.method, url, headers=headers, data=body, allow_redirects=False
    ) as answer:
        response = web.StreamResponse(status=answer.status, reason=answer.reason)
        for key, value in answer.headers.items():
            if key.lower() not in _HOP_BY_HOP:
                response.headers.add(key, value)
        response.headers["X-Served-By"] = "aiohttp"
        response.content_length = answer.content_length
        await response.prepare(request)
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
        await response.write_eof()
        return response


async def client(app: web.Application) -> AsyncIterator[None]:
    """Keep one client session, as aiohttp recommends."""
    app[_CLIENT] = ClientSession(
        connector=TCPConnector(limit=0),
        timeout=ClientTimeout(total=None),
        auto_decompress=False,
    )
    yield
    await app[_CLIENT].close()


def main(port: int, origin: int) -> None:
    """Serve until stopped."""
    app = web.Application()
    app[_ORIGIN] = f"http://127.0.0.1:{origin}"
    app.cleanup_ctx.append(client)
    app.router.add_route("*", "/ping", ping)
    app.router.add_route("*", "/{path:.*}", proxy)
    try:
        import uvloop
    except ImportError:
        loop = None
    else:
        loop = uvloop.new_event_loop()
    web.run_app(app, host="127.0.0.1", port=port, backlog=4096, loop=loop, print=None)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
