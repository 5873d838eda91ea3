"""What Autobahn's suite asks of WebSocket, as bytes that a client sends; the groups are those of the suite."""

from __future__ import annotations

from typing import Final

from support.websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    WsFrame,
    WsTransport,
    ws_frame,
)

LAST: Final = b"the last message"
DONE: Final = ws_frame(TEXT, LAST)
SIZES: Final = (0, 16, 64, 1024, 8192, 100_000)
MOST: Final = 20 * 1024 * 1024
"""Bytes of a message that the server takes."""


def transcript(transport: WsTransport, *sent: bytes) -> list[WsFrame]:
    """Send pieces, and return all frames that come back until the end, control frames last.

    (The server answers a ping while it echoes messages, so the order of the two differs.)
    """
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
"""The code with which a server ends some of the cases."""
