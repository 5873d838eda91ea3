"""HTTP/1.1: valid requests and the exact answers to them, then what is broken."""

from __future__ import annotations

import random

from fuzz.content import Ask
from fuzz.mutate import mutate
from fuzz.peer import Peer, Wrong


def message(rng: random.Random, ask: Ask, *, last: bool = False) -> bytes:
    """Return a valid request."""
    lines = [f"{ask.method} {ask.target} HTTP/1.1", "Host: fuzz.test"]
    lines += [f"X-{n}: {'v' * rng.choice((1, 50, 2000))}" for n in range(rng.choice((0, 0, 3, 20)))]
    if last:
        lines.append("Connection: close")
    data = b""
    if ask.size is not None:
        if rng.random() < 0.4:
            lines.append(rng.choice(("Transfer-Encoding: chunked", "transfer-encoding:  chunked ")))
            data = chunked(rng, ask.body)
        else:
            lines.append(f"Content-Length: {ask.size}")
            data = ask.body
    rng.shuffle(lines[1:])
    return "\r\n".join([*lines, "", ""]).encode() + data


def chunked(rng: random.Random, data: bytes) -> bytes:
    """Return data in chunked coding, with extensions and trailers now and then."""
    found = b""
    while data:
        size = rng.choice((1, 7, 1000, 30_000))
        more = rng.choice((b"", b"", b";a=b", b';c="d"'))
        found += b"%x%b\r\n%b\r\n" % (len(data[:size]), more, data[:size])
        data = data[size:]
    return found + b"0\r\n" + rng.choice((b"", b"X-Trailer: t\r\n")) + b"\r\n"


async def read_answer(peer: Peer, ask: Ask) -> None:
    """Read one answer, and check that it is the one.

    :raises Wrong: it is not.
    """
    status = 100
    while status < 200:  # interim ones
        head = (await peer.read_until(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(head[0].split()[1])
    fields = {
        name.lower(): value.strip() for name, _, value in (one.partition(":") for one in head[1:])
    }
    found = b""
    if fields.get("transfer-encoding") == "chunked":
        while size := int(await peer.read_until(b"\r\n"), 16):
            found += await peer.read_exactly(size)
            await peer.read_exactly(2)
        while await peer.read_until(b"\r\n") != b"\r\n":
            pass
    else:
        found = await peer.read_exactly(int(fields["content-length"]))
    check(ask, status, found)


def check(ask: Ask, status: int, found: bytes) -> None:
    """Compare an answer with the one that belongs to the request."""
    if status != 200 or found != ask.expected:
        text = found[:200] if status != 200 else f"another body of {len(found)} bytes"
        raise Wrong(f"{ask.method} {ask.target}: {status}, {text!r}; expected {ask.answer} bytes")


async def polite(peer: Peer, asks: list[Ask], *, last: bool = False) -> None:
    """Send requests, one by one or pipelined, and check the answers."""
    rng = peer.rng
    if rng.random() < 0.3 and sum(ask.size or 0 for ask in asks) < 50_000:
        await peer.write(b"".join(message(rng, ask) for ask in asks))
        for ask in asks:
            await read_answer(peer, ask)
        return
    for ask in asks:
        await peer.write(message(rng, ask, last=last and ask is asks[-1]))
        await read_answer(peer, ask)


async def hostile(peer: Peer, victims: list[Ask]) -> None:
    """Send broken requests, and leave."""
    await peer.write(b"".join(mutate(peer.rng, message(peer.rng, ask)) for ask in victims))
    await peer.leave()
