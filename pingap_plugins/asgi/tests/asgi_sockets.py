"""WebSocket applications without a framework."""

from __future__ import annotations

from asgi_raw import Message, Receive, Send, go, seen, wait, went

ACCEPT = {"type": "websocket.accept"}
CLOSE = {"type": "websocket.close"}


async def echo(scope: Message, receive: Receive, send: Send) -> None:
    """Send every message back; note the scope and the end."""
    seen.append(scope)
    assert (await receive())["type"] == "websocket.connect"
    chosen = scope["subprotocols"][-1] if scope["subprotocols"] else None
    await send({**ACCEPT, "subprotocol": chosen, "headers": [(b"x-a", b"b")]})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})
    seen.append(message)
    went.set()


async def deny(scope: Message, receive: Receive, send: Send) -> None:
    await receive()
    await send(CLOSE)


async def deny_with_a_page(scope: Message, receive: Receive, send: Send) -> None:
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "websocket.http.response.start", "status": 401, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": b"who ", "more_body": True})
    await send({"type": "websocket.http.response.body", "body": b"are you?"})


async def close(scope: Message, receive: Receive, send: Send) -> None:
    await receive()
    await send(ACCEPT)
    await send({"type": "websocket.send", "text": "bye"})
    await send({**CLOSE, "code": 4001, "reason": "enough"})
    seen.append(await receive())
    went.set()


async def busy(scope: Message, receive: Receive, send: Send) -> None:
    """Accept, and read nothing before the test says so."""
    await receive()
    await send(ACCEPT)
    went.set()
    await wait(go)
    size = 0
    while (message := await receive())["type"] == "websocket.receive":
        size += len(message.get("bytes") or b"")
        await send({"type": "websocket.send", "text": str(size)})


async def endless(scope: Message, receive: Receive, send: Send) -> None:
    await receive()
    await send(ACCEPT)
    seen.append(0)
    went.set()
    try:
        while True:
            await send({"type": "websocket.send", "bytes": bytes(10_000)})
            seen[0] += 10_000
    except OSError as error:
        seen.append(error)
        go.set()


async def fail(scope: Message, receive: Receive, send: Send) -> None:
    await receive()
    await send(ACCEPT)
    raise LookupError("no such shelf")


async def fail_at_once(scope: Message, receive: Receive, send: Send) -> None:
    raise LookupError("no such shelf")


async def leave(scope: Message, receive: Receive, send: Send) -> None:
    await receive()
    await send(ACCEPT)
