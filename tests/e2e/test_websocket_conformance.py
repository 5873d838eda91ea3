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
from support.proxy import Proxy
from support.rig import configure
from support.tls import client_context
from support.websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Http1WebSocket,
    Http2WebSocket,
    WsFrame,
    WsTransport,
    ws_frame,
)
from websockets.sync.server import ServerConnection, serve

LEAF = issue("a.test", common_name="leaf")
LAST = b"the last message"
DONE = ws_frame(TEXT, LAST)
SIZES = (0, 16, 64, 1024, 8192, 100_000)
MOST = 20 * 1024 * 1024

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
            self._known[key] = transcript(self.direct, extensions, *sent)
        return self._known[key]


def transcript(open_: Open, extensions: str, *sent: bytes) -> list[WsFrame]:
    """Send pieces, and return all frames that come back until the end, control frames last.

    (The server answers a ping while it echoes messages, so the order of the two differs.)
    """
    transport = open_(extensions)
    try:
        for piece in sent:
            try:
                transport.send(piece)
            except OSError:
                break  # the server has ended the connection because of an earlier piece
        found = transport.frames(_is_last)
        return sorted(found, key=lambda frame: frame.opcode >= CLOSE)
    finally:
        transport.close()


def _is_last(found: list[WsFrame]) -> bool:
    is_compressed = found[-1].first & 0x40
    return len(found) > len(SIZES) if is_compressed else found[-1].payload == LAST


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
        with Proxy(toml, tmp_path_factory.mktemp("ws")) as proxy:
            yield Site(direct, proxy.port("web"), proxy.port("tls"))
        server.shutdown()
        thread.join(5)


def fragments(data: bytes, size: int, opcode: int = TEXT, between: bytes = b"") -> bytes:
    """Return a message in fragments, with other frames between them."""
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    last = len(parts) - 1
    return between.join(
        ws_frame(CONTINUATION if place else opcode, part, fin=place == last)
        for place, part in enumerate(parts)
    )


TEXT_SIZES = (0, 125, 126, 127, 128, 65535, 65536)
KOSME = "Hello-\N{MICRO SIGN}@\xdf\xf6\xe4\xfc\xe0\xe1-UTF-8!! \N{GREEK SMALL LETTER KAPPA}\U0010ffff".encode()
BAD_UTF8 = {
    "overlong": b"\xc0\xaf",
    "surrogate": b"\xed\xa0\x80",
    "beyond Unicode": b"\xf4\x90\x80\x80",
    "lone continuation": b"\x80",
    "cut short": b"\xce",
    "five bytes": b"\xf8\x88\x80\x80\x80",
}

CASES: dict[str, tuple[bytes, ...]] = {
    # 1: framing.
    **{f"1 text of {size}": (ws_frame(TEXT, b"*" * size), DONE) for size in TEXT_SIZES},
    **{f"1 binary of {size}": (ws_frame(BINARY, b"\xfe" * size), DONE) for size in TEXT_SIZES},
    # 2: pings and pongs.
    "2 empty ping": (ws_frame(PING), DONE),
    "2 ping of 125": (ws_frame(PING, bytes(range(125))), DONE),
    "2 ping of 126": (ws_frame(PING, bytes(126)), DONE),
    "2 ten pings": (b"".join(ws_frame(PING, b"payload-%d" % n) for n in range(10)), DONE),
    "2 unsolicited pong": (ws_frame(PONG, b"x") + ws_frame(TEXT, b"after"), DONE),
    # 3: reserved bits.
    **{f"3 reserved {bits}": (ws_frame(TEXT, b"a", rsv=bits), DONE) for bits in range(1, 8)},
    "3 reserved of a ping": (ws_frame(PING, b"a", rsv=2), DONE),
    # 4: opcodes.
    **{f"4 opcode {code}": (ws_frame(code, b"a"), DONE) for code in (3, 5, 7, 11, 13, 15)},
    # 5: fragmentation.
    "5 fragmented ping": (ws_frame(PING, b"a", fin=False) + ws_frame(CONTINUATION, b"b"), DONE),
    "5 two fragments": (fragments(b"fragment1fragment2", 9), DONE),
    "5 ping between": (fragments(b"fragment1fragment2", 9, between=ws_frame(PING, b"p")), DONE),
    "5 many fragments": (fragments(b"x" * 100, 1, BINARY, ws_frame(PING, b"p")), DONE),
    "5 empty fragments": (fragments(b"ab", 1, between=ws_frame(CONTINUATION, fin=False)), DONE),
    "5 continuation of nothing": (ws_frame(CONTINUATION, b"a"), DONE),
    "5 message within a message": (ws_frame(TEXT, b"a", fin=False) + ws_frame(TEXT, b"b"), DONE),
    "5 not masked": (ws_frame(TEXT, b"a", masked=False), DONE),
    # 6: UTF-8.
    "6 valid": (ws_frame(TEXT, KOSME), DONE),
    "6 a byte in each fragment": (fragments(KOSME, 1), DONE),
    **{f"6 {name}": (ws_frame(TEXT, KOSME + bad), DONE) for name, bad in BAD_UTF8.items()},
    "6 bad in a fragment": (fragments(KOSME + b"\xed\xa0\x80", 3), DONE),
    # 7: closing.
    "7 empty close": (ws_frame(CLOSE),),
    "7 close of one byte": (ws_frame(CLOSE, b"\x03"),),
    "7 longest reason": (ws_frame(CLOSE, b"\x03\xe8" + b"*" * 123),),
    "7 reason too long": (ws_frame(CLOSE, b"\x03\xe8" + b"*" * 124),),
    "7 reason that is no UTF-8": (ws_frame(CLOSE, b"\x03\xe8\xed\xa0\x80"),),
    "7 data after close": (ws_frame(CLOSE, b"\x03\xe8") + ws_frame(TEXT, b"late"),),
    "7 close within a message": (ws_frame(TEXT, b"a", fin=False) + ws_frame(CLOSE, b"\x03\xe8"),),
    **{
        f"7 code {code}": (ws_frame(CLOSE, code.to_bytes(2)),)
        for code in (0, 999, 1000, 1001, 1003, 1004, 1005, 1006, 1007, 1011, 1015, 2999, 3000, 4999, 65535)
    },
    # 9: large messages.
    "9 text of 1 MiB": (ws_frame(TEXT, b"*" * 2**20), DONE),
    "9 binary of 4 MiB": (ws_frame(BINARY, b"\xfe" * 2**22), DONE),
    "9 4 MiB in fragments": (fragments(b"*" * 2**22, 2**16, BINARY), DONE),
    "9 more than the server takes": (ws_frame(BINARY, bytes(MOST + 1)), DONE),
}  # fmt: skip


@pytest.mark.parametrize("way", ["HTTP/1.1", "TLS", "HTTP/2"])
@pytest.mark.parametrize("case", CASES)
def test_the_same_comes_back_as_without_pingap(site: Site, case: str, way: str) -> None:
    found = transcript(site.ways[way], "", *CASES[case])
    assert found == site.expected("", *CASES[case])
    assert found[-1].opcode == CLOSE


VERDICTS = {
    "2 ping of 126": 1002,
    "3 reserved 4": 1002,
    "4 opcode 5": 1002,
    "5 continuation of nothing": 1002,
    "6 surrogate": 1007,
    "7 code 1000": 1000,
    "7 code 4999": 4999,
    "7 code 1005": 1002,
    "9 binary of 4 MiB": 1000,
    "9 more than the server takes": 1009,
}


@pytest.mark.parametrize("way", ["HTTP/1.1", "TLS", "HTTP/2"])
@pytest.mark.parametrize(("case", "code"), VERDICTS.items())
def test_the_verdict_of_the_server_arrives(site: Site, case: str, code: int, way: str) -> None:
    assert transcript(site.ways[way], "", *CASES[case])[-1].payload[:2] == code.to_bytes(2)


@pytest.mark.parametrize("way", ["HTTP/1.1", "TLS", "HTTP/2"])
@pytest.mark.parametrize("size", [1, 7, 997])
def test_frames_chopped_into_pieces(site: Site, way: str, size: int) -> None:
    sent = ws_frame(TEXT, KOSME * 20) + fragments(KOSME, 5, between=ws_frame(PING, b"p")) + DONE
    if size == 1:
        sent = ws_frame(TEXT, KOSME) + ws_frame(PING, b"p") + DONE
    pieces = [sent[at : at + size] for at in range(0, len(sent), size)]
    assert transcript(site.ways[way], "", *pieces) == site.expected("", sent)


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
    found = transcript(site.ways[way], offer, sent + DONE)
    assert found == site.expected(offer, sent + DONE)
    assert [frame.first >> 4 for frame in found[:-1]] == [0b1100] * (len(SIZES) + 1)
    opened = site.ways[way](offer)
    assert "permessage-deflate" in opened.head  # type: ignore[attr-defined]
    opened.close()
