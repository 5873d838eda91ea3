"""What Autobahn's suite asks of WebSocket, asked of pingap itself: it reads every frame for a plugin.

The cases are those of ``tests/e2e/test_websocket_conformance.py``. What the server alone answers is the
measure, by messages: a filter gets whole ones, and passes them on as one frame each.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from support.plugins import installed, routes, write_distribution
from support.websocket import (
    CLOSE,
    PONG,
    TEXT,
    Http1WebSocket,
    Http2WebSocket,
    WsTransport,
    ws_frame,
)
from support.websocket_cases import CASES, LAST, MOST, VERDICTS, transcript
from websockets.sync.server import ServerConnection, serve

from pingap.testing import Proxy

SOURCE = """
class Reader(Plugin):
    category = "reader"

    class Filter(WebSocketFilter):
        message_limit = 20 * 1024 * 1024

    @hookimpl
    def websocket(self): return self.Filter()
"""

DIFFERENT = {
    # The message is not complete, so the server never sees a part of it, and closes in order.
    "7 close within a message": 1000,
}
"""Cases that end with another code than they do without pingap, where the RFC allows both."""


class Site(NamedTuple):
    """A server that echoes messages, alone and behind a plugin."""

    direct: int
    proxied: int


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    def echo(connection: ServerConnection) -> None:
        for message in connection:
            connection.send(message)

    folder = tmp_path_factory.mktemp("conformance")
    write_distribution(folder / "site", "test_plugins", SOURCE)
    with serve(echo, "127.0.0.1", 0, max_size=MOST, ping_interval=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        direct = server.socket.getsockname()[1]
        toml = routes(
            {"ws": "reader"},
            f"127.0.0.1:{direct}",
            server="enabled_h2 = true",
            more='[plugins.reader]\ncategory = "reader"\n',
        ).replace('"/ws/"', '"/ws"')
        with installed(folder / "site"), Proxy(toml) as proxy:
            yield Site(direct, proxy.port())
            assert "Traceback" not in proxy.log
        server.shutdown()
        thread.join(5)


class Summary(NamedTuple):
    """What a client gets to see."""

    messages: list[tuple[int, bytes]]
    pongs: list[bytes]
    code: bytes


def summary(transport: WsTransport, *sent: bytes) -> Summary:
    """Send pieces, and return what came back."""
    messages: list[tuple[int, bytes]] = []
    pongs: list[bytes] = []
    code = b""
    inflate = zlib.decompressobj(wbits=-15)
    for frame in transcript(transport, *sent):
        payload = frame.payload
        if frame.first & 0x40:
            payload = inflate.decompress(payload + b"\0\0\xff\xff")
        if frame.opcode == CLOSE:
            code = payload[:2]
        elif frame.opcode == PONG:
            pongs.append(payload)
        elif frame.opcode:
            messages.append((frame.opcode, payload))
        else:
            opcode, begun = messages.pop()
            messages.append((opcode, begun + payload))
    return Summary(messages, pongs, code)


@pytest.mark.parametrize("transport", [Http1WebSocket, Http2WebSocket])
@pytest.mark.parametrize("case", CASES)
def test_a_client_sees_what_it_sees_without_pingap(
    site: Site, case: str, transport: type[WsTransport]
) -> None:
    expected = summary(Http1WebSocket(site.direct), *CASES[case])
    if case in DIFFERENT:
        expected = expected._replace(code=DIFFERENT[case].to_bytes(2))
    found = summary(transport(site.proxied), *CASES[case])
    # The code is what matters; a violation may be seen before what came earlier was answered.
    assert found.code == expected.code
    if expected.code in ((1000).to_bytes(2), b""):
        assert found == expected


@pytest.mark.parametrize("transport", [Http1WebSocket, Http2WebSocket])
@pytest.mark.parametrize(("case", "code"), VERDICTS.items())
def test_the_verdict_is_our_own(
    site: Site, case: str, code: int, transport: type[WsTransport]
) -> None:
    assert summary(transport(site.proxied), *CASES[case]).code == code.to_bytes(2)


@pytest.mark.parametrize("transport", [Http1WebSocket, Http2WebSocket])
@pytest.mark.parametrize(
    "offer",
    [
        "permessage-deflate",
        "permessage-deflate; client_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; client_max_window_bits=10; server_max_window_bits=10",
        "permessage-deflate; client_max_window_bits=9; server_max_window_bits=9",
    ],
)
def test_compressed_messages(site: Site, offer: str, transport: type[WsTransport]) -> None:
    bits = 9 if "=9" in offer else 10
    deflate = zlib.compressobj(wbits=-bits)
    sent, messages = b"", []
    for size in (0, 16, 64, 1024, 8192, 100_000):
        if "no_context" in offer:
            deflate = zlib.compressobj(wbits=-bits)
        text = b'{"key": "value"}' * (size // 16)
        packed = deflate.compress(text) + deflate.flush(zlib.Z_SYNC_FLUSH)
        sent += ws_frame(TEXT, packed[:-4], rsv=4)
        messages.append(text)
    client = transport(site.proxied, offer)
    client.send(sent + ws_frame(TEXT, LAST))
    found = []
    inflate = zlib.decompressobj(wbits=-15)
    for frame in client.read(len(messages) + 1):
        if not frame.first & 0x40:
            found.append(frame.payload)
            continue
        found.append(inflate.decompress(frame.payload + b"\0\0\xff\xff"))
        if "no_context" in offer:
            inflate = zlib.decompressobj(wbits=-15)
    client.close()
    assert found == [*messages, LAST]
