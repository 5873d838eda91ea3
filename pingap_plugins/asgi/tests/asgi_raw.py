"""Applications without a framework. A test sees what one got in ``seen``, and lets it go on with ``go``."""

from __future__ import annotations

import asyncio
import contextvars
import json
import socket
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

seen: list[Any] = []
went = threading.Event()
"""Set when an application has reached the point that a test waits for."""
go = threading.Event()
"""Set by the test."""


def clear() -> None:
    seen.clear()
    went.clear()
    go.clear()


def fill(sock: socket.socket, piece: bytes, most: int) -> int:
    """Send a piece again and again until nobody takes more; return how many bytes that were."""
    sent = 0
    sock.settimeout(0.5)
    with suppress(TimeoutError):
        while sent < most:
            sent += sock.send(piece[sent % len(piece) :])
    return sent


async def wait(event: threading.Event) -> None:
    """Wait for the test, without blocking the event loop."""
    await asyncio.to_thread(event.wait, 20)


async def answer(send: Send, body: bytes = b"ok", status: int = 200, *headers: Any) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})


async def scope(scope: Message, receive: Receive, send: Send) -> None:
    """Answer with the scope."""
    found = {**scope, "headers": dict(scope["headers"])}
    await answer(send, repr(found).encode())


async def echo(scope: Message, receive: Receive, send: Send) -> None:
    """Send the body back, piece by piece."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
        await send({"type": "http.response.body", "body": message["body"], "more_body": more})


async def length(scope: Message, receive: Receive, send: Send) -> None:
    """Answer with the size of the body; read nothing of it before the test says so."""
    went.set()
    await wait(go)
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message["body"])
        more = message["more_body"]
    await answer(send, b"%d" % size)


async def endless(scope: Message, receive: Receive, send: Send) -> None:
    """Send until that fails; count the bytes in ``seen``."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    seen.append(0)
    try:
        while True:
            await send({"type": "http.response.body", "body": bytes(10_000), "more_body": True})
            seen[0] += 10_000
            went.set()
            await asyncio.sleep(0)
    except OSError as error:
        seen.append(error)
        go.set()


async def wait_for_end(scope: Message, receive: Receive, send: Send) -> None:
    """Answer nothing; note what comes after the request."""
    seen.append(await receive())
    went.set()
    seen.append(await receive())
    seen.append(await receive())
    go.set()


async def after_answer(scope: Message, receive: Receive, send: Send) -> None:
    """Go on working after the answer."""
    await receive()
    await answer(send)
    seen.append(await receive())
    went.set()
    await wait(go)
    seen.append("done")


async def counted(scope: Message, receive: Receive, send: Send) -> None:
    """Answer with the number of requests so far, which may be stored."""
    seen.append(scope["path"])
    await answer(send, b"%d" % len(seen), 200, (b"cache-control", b"max-age=60"))


async def scripted(scope: Message, receive: Receive, send: Send) -> None:
    """Send the messages that the query has as Python, wait or raise where they say so."""
    from urllib.parse import unquote

    for message in eval(unquote(scope["query_string"].decode())):
        if message == "raise":
            raise LookupError("no such shelf")
        if message == "wait":
            await wait(go)
            continue
        await send(message)


VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="unset")


async def context(scope: Message, receive: Receive, send: Send) -> None:
    """Answer with the value that a context variable had before."""
    before = VARIABLE.get()
    VARIABLE.set(scope["path"])
    await answer(send, before.encode())


async def lifespan(scope: Message, receive: Receive, send: Send) -> None:
    """Note start and end; share a list with the requests."""
    if scope["type"] == "lifespan":
        assert (await receive())["type"] == "lifespan.startup"
        seen.append("up")
        scope["state"]["shared"] = ["from the start"]
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        await asyncio.sleep(0.01)
        seen.append("down")
        await send({"type": "lifespan.shutdown.complete"})
        return
    scope["state"]["own"] = True
    await answer(send, json.dumps(scope["state"]).encode())


async def cannot_start(scope: Message, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "there is no database"})


def make() -> Any:
    """Make an application."""
    seen.append("made")
    return lifespan


def fails() -> Any:
    raise OSError("no disk")


def wsgi(environ: Any, start_response: Any) -> Any:
    return [b""]


def asgi2(scope: Any) -> Any:
    return scope


class Class:
    """An application as a class."""

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        await answer(send, b"from an object")


instance = Class()
not_callable = 7


async def stuck(scope: Message, receive: Receive, send: Send) -> None:
    """Read the body, and never answer, or send half of a response first."""
    while (await receive()).get("more_body"):
        pass
    try:
        if scope["path"] == "/half":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
        if scope["path"] == "/late":
            await answer(send)
            await wait(go)
            seen.append("done")
            return
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        seen.append("cancelled")
        went.set()
        raise
