"""An application of Starlette."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

from asgi_raw import seen, went
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket


class State(TypedDict):
    """What requests share."""

    greeting: str


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[State]:
    seen.append("up")
    yield {"greeting": "hello"}
    seen.append("down")


async def hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse(request.state.greeting)


async def form(request: Request) -> JSONResponse:
    async with request.form() as form:
        upload = form["file"]
        assert not isinstance(upload, str)
        return JSONResponse({"name": upload.filename, "size": len(await upload.read())})


async def url(request: Request) -> JSONResponse:
    user = request.scope["extensions"]["pingap"]["user"]
    return JSONResponse(
        {"url": str(request.url), "for": str(request.url_for("hello")), "user": user}
    )


async def stream(request: Request) -> StreamingResponse:
    async def pieces() -> AsyncIterator[str]:
        for number in range(100):
            yield f"{number}\n"

    return StreamingResponse(pieces())


async def endless(request: Request) -> StreamingResponse:
    async def pieces() -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(1000)
        finally:
            seen.append("ended")
            went.set()

    return StreamingResponse(pieces())


async def file(request: Request) -> FileResponse:
    return FileResponse(__file__)


def note() -> None:
    seen.append("background")
    went.set()


async def background(request: Request) -> PlainTextResponse:
    return PlainTextResponse("later", background=BackgroundTask(note))


async def boom(request: Request) -> PlainTextResponse:
    raise LookupError("no such shelf")


async def chat(websocket: WebSocket) -> None:
    await websocket.accept()
    while True:  # the end of the client raises WebSocketDisconnect, which nobody handles here
        await websocket.send_text((await websocket.receive_text()).upper())


ROUTES = [
    Route("/", hello, name="hello"),
    Route("/form", form, methods=["POST"]),
    Route("/url", url),
    Route("/stream", stream),
    Route("/endless", endless),
    Route("/file", file),
    Route("/background", background),
    Route("/boom", boom),
    WebSocketRoute("/chat", chat),
]
app = Starlette(routes=[*ROUTES, Mount("/sub", routes=ROUTES)], lifespan=lifespan)
debug = Starlette(debug=True, routes=ROUTES)
