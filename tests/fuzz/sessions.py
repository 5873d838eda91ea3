"""What a case does: a session of one protocol, polite at first and then hostile, or only one of both."""

from __future__ import annotations

import random
import ssl
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address

from fuzz import http1, http2
from fuzz.content import Ask, Book
from fuzz.mutate import mutate
from fuzz.peer import Peer, Wrong

LOCATIONS = ("h1", "h2", "plain", "tls")
"""Of the configuration whose origins answer asks."""
_KEY = b"dGhlIHNhbXBsZSBub25jZQ=="


@dataclass
class Case:
    """One session.

    :param name: ``<seed>.<number>``; all that is random follows from it.
    :param ports: server -> port: ``web``, ``tls``, ``proxied``.
    """

    name: str
    book: Book
    ports: dict[str, int]

    def __post_init__(self) -> None:
        self.rng = random.Random(self.name)
        self.kind = self.rng.choice(
            (
                "http1",
                "http1",
                "http1",
                "http2",
                "http2",
                "http2",
                "tls",
                "websocket",
                "proxy",
                "grpc",
            )
        )
        self._number = 0

    async def run(self) -> None:
        """Play it.

        :raises Wrong: a polite part did not get the right answer.
        """
        await getattr(self, f"_{self.kind}")()

    async def be_polite(self) -> None:
        """Send a single request on a connection of its own."""
        peer = await self._connect()
        try:
            await http1.polite(peer, self._asks(1, *LOCATIONS), last=True)
        finally:
            peer.close()

    def _asks(self, most: int, *locations: str) -> list[Ask]:
        self._number += most
        first = self._number - most
        return [
            self.book.ask(self.rng, f"{self.name}.{first + n}", *locations)
            for n in range(self.rng.randint(1, most))
        ]

    def _victims(self) -> list[Ask]:
        """Return requests that are going to be broken: their paths promise nothing."""
        rng = self.rng
        return [
            Ask(
                f"{self.name}.x{n}",
                location=rng.choice(LOCATIONS),
                size=rng.choice(
                    (None, 1, 50, 3001)
                ),  # (without poison: it may well become a request)
                answer=0,
                kind=rng.choice(("any", "odd")),
            )
            for n in range(rng.randint(1, 4))
        ]

    async def _connect(self, server: str = "web", *alpn: str) -> Peer:
        tls = None
        before = b""
        if server == "tls":
            tls = ssl.create_default_context()
            tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
            tls.set_alpn_protocols(alpn or ["http/1.1"])
        if server == "proxied":
            before = _proxy_header(self.rng)
        return await Peer.connect(self.rng, self.ports[server], tls, before)

    async def _http1(self) -> None:
        peer = await self._connect(self.rng.choice(("web", "web", "tls", "proxied")))
        try:
            if self.rng.random() < 0.7:
                await http1.polite(peer, self._asks(4, *LOCATIONS))
            await http1.hostile(peer, self._victims())
        finally:
            peer.close()

    async def _http2(self) -> None:
        server = self.rng.choice(("web", "tls", "proxied"))
        peer = await self._connect(server, "h2")
        session = http2.Session(peer, "https" if server == "tls" else "http")
        try:
            if self.rng.random() < 0.7:
                await http2.polite(session, self._asks(6, *LOCATIONS))
            await http2.hostile(session, self._victims())
        finally:
            peer.close()

    async def _tls(self) -> None:
        """Break a handshake: cut it, flip its bits, speak something else, or leave in the middle."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context()
        client = context.wrap_bio(incoming, outgoing, server_hostname="fuzz.test")
        with suppress(ssl.SSLWantReadError):
            client.do_handshake()
        hello = outgoing.read()
        peer = await Peer.connect(self.rng, self.ports["tls"])
        try:
            await peer.write(hello if self.rng.random() < 0.3 else mutate(self.rng, hello))
            if self.rng.random() < 0.5:
                await peer.write(mutate(self.rng, self.rng.randbytes(300)))
            await peer.leave()
        finally:
            peer.close()

    async def _websocket(self) -> None:
        """Echo bytes through a tunnel: all of them come back, whatever they are."""
        peer = await self._connect(self.rng.choice(("web", "tls")))
        try:
            await peer.write(
                b"GET /h1/any/ws HTTP/1.1\r\nHost: fuzz.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n\r\n" % _KEY
            )
            head = await peer.read_until(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 101 "):
                raise Wrong(f"no tunnel: {head[:200]!r}")
            for _ in range(self.rng.randint(1, 4)):
                data = self.rng.randbytes(self.rng.choice((1, 126, 70_000)))
                await peer.write(data)
                if await peer.read_exactly(len(data)) != data:
                    raise Wrong("a tunnel brought other bytes back")
            await peer.write(self.rng.randbytes(self.rng.choice((1, 100, 300_000))))
            await peer.leave()
        finally:
            peer.close()

    async def _proxy(self) -> None:
        """Send a broken PROXY header."""
        peer = await Peer.connect(self.rng, self.ports["proxied"])
        try:
            data = mutate(self.rng, _proxy_header(self.rng))
            await peer.write(data + http1.message(self.rng, self._victims()[0]))
            await peer.leave()
        finally:
            peer.close()

    async def _grpc(self) -> None:
        """Send what is, or is not, a message of gRPC-Web."""
        peer = await self._connect()
        try:
            kind = self.rng.choice(("grpc-web", "grpc-web-text", "grpc-web+proto"))
            data = b"\0\0\0\0\5hello" if self.rng.random() < 0.5 else self.rng.randbytes(50)
            await peer.write(
                f"POST /grpc/any/a HTTP/1.1\r\nHost: fuzz.test\r\nContent-Type: application/{kind}\r\n"
                f"Content-Length: {len(data)}\r\n\r\n".encode()
                + data
            )
            await peer.leave()
        finally:
            peer.close()


def _proxy_header(rng: random.Random) -> bytes:
    client, port = IPv4Address(rng.randrange(2**32)), rng.randrange(1, 65536)
    if rng.random() < 0.5:
        return f"PROXY TCP4 {client} 127.0.0.1 {port} 80\r\n".encode()
    body = client.packed + b"\x7f\0\0\1" + port.to_bytes(2) + b"\0\x50"
    extra = rng.choice((b"", b"\x04\0\3abc"))
    size = (len(body) + len(extra)).to_bytes(2)
    return b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + size + body + extra
