"""What Autobahn's suite asks of WebSocket, asked through pingap: the same must come back as without it.

An intermediary passes frames as they are (RFC 6455, 5.4 to 5.8; 7.1). So each case is run against a
server alone, and through pingap by HTTP/1.1, TLS and HTTP/2 (RFC 8441); the transcripts are equal, and
the verdict of the server (1002, 1007, ...) reaches the client. The groups are those of the suite.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Iterator

import pytest
from support.certificates import issue
from support.rig import configure
from support.tls import client_context
from support.websocket import (
    CLOSE,
    PING,
    TEXT,
    Http1WebSocket,
    Http2WebSocket,
    WsFrame,
    WsTransport,
    ws_frame,
)
from support.websocket_cases import (
    CASES,
    DONE,
    KOSME,
    MOST,
    SIZES,
    VERDICTS,
    fragments,
    transcript,
)
from websockets.sync.server import ServerConnection, serve

from pingap.testing import Proxy

LEAF = issue("a.test", common_name="leaf")

Open = Callable[..., WsTransport]


class Site:
    """A server that echoes messages, alone and behind pingap."""

    def __init__(self, direct: int, plain: int, tls: int) -> None:
        context = client_context()
        self.ways: dict[str, Open] = {
            "HTTP/1.1": lambda *more: Http1WebSocket(plain, *more),
            "TLS": lambda *more: Http1WebSocket(tls, *more, context=context),
            "HTTP/2": lambda *more: Http2WebSocket(plain, *more),
        }
        self.direct: Open = lambda *more: Http1WebSocket(direct, *more)
        self._known: dict[tuple[bytes, ...], list[WsFrame]] = {}

    def expected(self, extensions: str, *sent: bytes) -> list[WsFrame]:
        """Return what the server alone answers."""
        key = (extensions.encode(), *sent)
        if key not in self._known:
            self._known[key] = transcript(self.direct(extensions), *sent)
        return self._known[key]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    def echo(connection: ServerConnection) -> None:
        for message in connection:
            connection.send(message)

    more = LEAF.toml("leaf", "is_default = true")
    more += '[servers.tls]\naddr = "127.0.0.1:0"\nlocations = ["all"]\nglobal_certificates = true\n'
    with serve(echo, "127.0.0.1", 0, max_size=MOST, ping_interval=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        direct = server.socket.getsockname()[1]
        toml = configure(f"127.0.0.1:{direct}", server="enabled_h2 = true", more=more)
        with Proxy(toml) as proxy:
            yield Site(direct, proxy.port("web"), proxy.port("tls"))
        server.shutdown()
        thread.join(5)


@pytest.mark.parametrize("way", ["HTTP/1.1", "TLS", "HTTP/2"])
@pytest.mark.parametrize("case", CASES)
def test_the_same_comes_back_as_without_pingap(site: Site, case: str, way: str) -> None:
    found = transcript(site.ways[way](), *CASES[case])
    assert found == site.expected("", *CASES[case])
    assert found[-1].opcode == CLOSE


@pytest.mark.parametrize("way", ["HTTP/1.1", "TLS", "HTTP/2"])
@pytest.mark.parametrize(("case", "code"), VERDICTS.items())
def test_the_verdict_of_the_server_arrives(site: Site, case: str, code: int, way: str) -> None:
    assert transcript(site.ways[way](), *CASES[case])[-1].payload[:2] == code.to_bytes(2)


@pytest.mark.parametrize("way", ["HTTP/1.1", "TLS", "HTTP/2"])
@pytest.mark.parametrize("size", [1, 7, 997])
def test_frames_chopped_into_pieces(site: Site, way: str, size: int) -> None:
    sent = ws_frame(TEXT, KOSME * 20) + fragments(KOSME, 5, between=ws_frame(PING, b"p")) + DONE
    if size == 1:
        sent = ws_frame(TEXT, KOSME) + ws_frame(PING, b"p") + DONE
    pieces = [sent[at : at + size] for at in range(0, len(sent), size)]
    assert transcript(site.ways[way](), *pieces) == site.expected("", sent)


@pytest.mark.parametrize("way", ["HTTP/1.1", "TLS", "HTTP/2"])
@pytest.mark.parametrize(
    "offer",
    [
        "permessage-deflate",
        "permessage-deflate; client_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; client_max_window_bits=10; server_max_window_bits=10",
    ],
)
def test_compressed_messages(site: Site, way: str, offer: str) -> None:
    """Groups 12 and 13: the extension is between the ends, and pingap changes nothing of it."""
    sent = b""
    deflate = zlib.compressobj(wbits=-10)
    for size in SIZES:
        if "no_context" in offer:
            deflate = zlib.compressobj(wbits=-10)
        message = b'{"key": "value"}' * (size // 16)
        packed = deflate.compress(message) + deflate.flush(zlib.Z_SYNC_FLUSH)
        sent += ws_frame(TEXT, packed[:-4], rsv=4)
    found = transcript(site.ways[way](offer), sent + DONE)
    assert found == site.expected(offer, sent + DONE)
    assert [frame.first >> 4 for frame in found[:-1]] == [0b1100] * (len(SIZES) + 1)
    opened = site.ways[way](offer)
    assert "permessage-deflate" in opened.head  # type: ignore[attr-defined]
    opened.close()
