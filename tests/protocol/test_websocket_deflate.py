"""permessage-deflate: what is agreed on, and messages as the ``websockets`` library compresses them.

Examples are those of RFC 7692, 7.2.3.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cost import cost
from support.websocket import BINARY, CONTINUATION, PING, TEXT, ws_frame
from support.wire import every_cut
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode

from pingap.protocol.websocket_deflate import MOST_FINAL_BLOCKS, Deflate, agreed, known_offers
from pingap.protocol.websocket_frames import (
    MessageDecoder,
    MessageEncoder,
    WebSocketError,
    WebSocketMessage,
)

LIMIT = 1 << 20
COMPRESSED = 4
HELLO = bytes.fromhex("f248cdc9c90700")


def read(
    parts: Iterable[bytes], deflate: Deflate | None = None, limit: int = LIMIT
) -> list[object]:
    """Return the messages of a client, or ``("bad", code)``."""
    inflater = (deflate or Deflate()).inflater(client=True)
    decoder = MessageDecoder(masked=True, limit=limit, inflater=inflater)
    found: list[object] = []
    try:
        for part in parts:
            decoder.feed(part)
            while (event := decoder.next()) is not None:
                found.append(event.data if isinstance(event, WebSocketMessage) else event)
    except WebSocketError as error:
        found.append(("bad", error.code))
    return found


def packed(data: bytes, kind: int = TEXT) -> bytes:
    return ws_frame(kind, data, rsv=COMPRESSED)


SHOWN = {
    "one frame": packed(HELLO),
    "two fragments": ws_frame(TEXT, HELLO[:3], rsv=COMPRESSED, fin=False)
    + ws_frame(CONTINUATION, HELLO[3:]),
    "two messages": packed(HELLO) + packed(HELLO),
    "the window of the one before": packed(HELLO) + packed(bytes.fromhex("f200110000")),
    "not compressed at all": packed(bytes.fromhex("000500faff48656c6c6f00")),
    "a final block": packed(bytes.fromhex("f348cdc9c9070000")),
    "a final block without the byte after it": packed(bytes.fromhex("f348cdc9c90700")),
    "two blocks": packed(bytes.fromhex("f248050000 00ffffcac9c90700".replace(" ", ""))),
    "as it is": ws_frame(TEXT, b"Hello"),
}


@pytest.mark.parametrize("case", SHOWN)
def test_the_examples_of_the_rfc(case: str) -> None:
    for parts in every_cut(SHOWN[case]):
        assert set(read(parts)) == {"Hello"}


def test_messages_go_on_after_a_final_block() -> None:
    assert read([SHOWN["a final block"] + SHOWN["two messages"]]) == ["Hello"] * 3
    assert read([SHOWN["a final block without the byte after it"] + packed(HELLO)]) == ["Hello"] * 2


def test_an_empty_message() -> None:
    assert read([packed(b"\0") + packed(b"\0", BINARY)]) == ["", b""]


def test_without_context_takeover_messages_stand_alone() -> None:
    alone = Deflate(client_no_context_takeover=True)
    assert read([SHOWN["two messages"]], alone) == ["Hello", "Hello"]
    assert read([SHOWN["the window of the one before"]], alone) == ["Hello", ("bad", 1007)]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (packed(b"\xff\xff\xff"), 1007),
        (packed(zlib.compress(b"with a header")), 1007),
        (ws_frame(PING, rsv=COMPRESSED), 1002),
        (ws_frame(TEXT, fin=False) + ws_frame(CONTINUATION, HELLO, rsv=COMPRESSED), 1002),
        (ws_frame(TEXT, HELLO, rsv=6), 1002),
        (packed(zlib.compressobj(wbits=-15).flush() * (MOST_FINAL_BLOCKS + 1)), 1007),
    ],
)
def test_what_is_no_compressed_message(data: bytes, code: int) -> None:
    for parts in every_cut(data):
        assert read(parts)[-1] == ("bad", code)


def squeezed(data: bytes) -> bytes:
    deflate = zlib.compressobj(9, wbits=-15)
    return (deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]


def test_the_limit_counts_what_is_decompressed() -> None:
    for size in (9_999, 10_000):
        assert read([packed(squeezed(bytes(size)), BINARY)] * 2, limit=10_000) == [bytes(size)] * 2
    assert read([packed(squeezed(bytes(10_001)), BINARY)], limit=10_000) == [("bad", 1009)]
    two = zlib.compressobj(wbits=-15)
    streams = two.compress(bytes(6)) + two.flush()
    assert read([packed(streams * 2, BINARY)], limit=12) == [bytes(12)]
    assert read([packed(streams * 2, BINARY)], limit=11) == [("bad", 1009)]
    noise = os.urandom(10_000)
    assert read([packed(squeezed(noise), BINARY)], limit=10_000) == [noise]
    assert read([ws_frame(BINARY, bytes(10_001))], limit=10_000) == [("bad", 1009)]


def test_a_bomb_is_not_unpacked() -> None:
    bomb = packed(squeezed(bytes(200_000_000)))
    assert cost(lambda _: read([bomb], limit=1 << 20), 1) < 0.2


# The websockets library as the other end.

texts = st.text(max_size=200).map(lambda text: text * 3)
windows = st.integers(9, 15)


@given(st.lists(texts, max_size=5), windows, st.booleans())
def test_messages_of_the_websockets_library(sent: list[str], bits: int, alone: bool) -> None:
    deflate = Deflate(client_no_context_takeover=alone, client_max_window_bits=bits)
    client = PerMessageDeflate(False, alone, 15, bits)
    data = b""
    for text in sent:
        frame = client.encode(Frame(Opcode.TEXT, text.encode()))
        data += ws_frame(TEXT, bytes(frame.data), rsv=COMPRESSED * frame.rsv1)
    assert read([data], deflate) == sent


@given(st.lists(texts, max_size=5), st.integers(8, 15), st.booleans())
def test_the_websockets_library_reads_ours(sent: list[str], bits: int, alone: bool) -> None:
    deflate = Deflate(server_no_context_takeover=alone, server_max_window_bits=bits)
    encoder = MessageEncoder(masked=False, deflater=deflate.deflater(client=False))
    client = PerMessageDeflate(alone, False, bits, 15)
    for text in sent:
        data = encoder.message(WebSocketMessage(text))
        payload = data[2:] if data[1] < 126 else data[4:]
        frame = client.decode(
            Frame(Opcode.TEXT, payload, rsv1=bool(data[0] & 0x40)), max_size=LIMIT
        )
        assert bytes(frame.data).decode() == text


def test_messages_become_smaller_and_refer_to_each_other() -> None:
    text = "".join(f"{number} " for number in range(100))
    for alone in (False, True):
        deflater = Deflate(client_no_context_takeover=alone).deflater(client=True)
        first, second = (deflater.message(text.encode()) for _ in range(2))
        assert first is not None
        assert second is not None
        assert len(first) < len(text)
        assert (first == second) is alone


def test_what_is_not_worth_it_is_sent_as_it_is() -> None:
    assert Deflate().deflater(client=True).message(b"x" * 20) is None
    assert Deflate(client_max_window_bits=8).deflater(client=True).message(b"x" * 2000) is None
    assert Deflate(client_max_window_bits=8).deflater(client=False).message(b"x" * 2000)


@given(st.lists(st.binary(max_size=2000), max_size=4), st.booleans(), windows)
def test_what_is_compressed_can_be_read(sent: list[bytes], alone: bool, bits: int) -> None:
    deflate = Deflate(client_no_context_takeover=alone, client_max_window_bits=bits)
    encoder = MessageEncoder(masked=True, deflater=deflate.deflater(client=True))
    data = b"".join(encoder.message(WebSocketMessage(one * 2)) for one in sent)
    assert read([data], deflate) == [one * 2 for one in sent]


# What is agreed on.

OFFERS = {
    "": "",
    "permessage-deflate": "permessage-deflate",
    "permessage-deflate; client_max_window_bits": "permessage-deflate; client_max_window_bits",
    'permessage-deflate;server_max_window_bits="10"': 'permessage-deflate;server_max_window_bits="10"',
    "permessage-deflate; server_max_window_bits=8; client_max_window_bits=15;"
    "server_no_context_takeover; client_no_context_takeover": None,
    "x-webkit-deflate-frame, permessage-deflate": "permessage-deflate",
    "permessage-deflate; client_max_window_bits , foo;a=1,permessage-deflate": (
        "permessage-deflate; client_max_window_bits, permessage-deflate"
    ),
    ", ,permessage-deflate,": "permessage-deflate",
    "permessage-bzip2": "",
    "Permessage-Deflate": "",
    "permessage-deflate; server_max_window_bits": "",
    "permessage-deflate; server_max_window_bits=7": "",
    "permessage-deflate; server_max_window_bits=16": "",
    "permessage-deflate; server_max_window_bits=010": "",
    "permessage-deflate; client_max_window_bits=x": "",
    "permessage-deflate; client_no_context_takeover=1": "",
    "permessage-deflate; mux": "",
    "permessage-deflate; client_max_window_bits; client_max_window_bits": "",
    "permessage-deflate foo": "",
    "permessage-deflate;": "",
    "=": "",
}  # fmt: skip


@pytest.mark.parametrize("offers", OFFERS)
def test_only_valid_offers_of_it_are_passed_on(offers: str) -> None:
    expected = OFFERS[offers]
    assert known_offers(offers) == (offers if expected is None else expected)


ANSWERS = {
    "": None,
    "permessage-deflate": Deflate(),
    "permessage-deflate; server_max_window_bits=9": Deflate(server_max_window_bits=9),
    'permessage-deflate; client_max_window_bits="10"; client_no_context_takeover': Deflate(
        client_max_window_bits=10, client_no_context_takeover=True
    ),
    "permessage-deflate ; server_no_context_takeover": Deflate(server_no_context_takeover=True),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_what_a_server_has_agreed_to(answer: str) -> None:
    assert agreed(answer) == ANSWERS[answer]


@pytest.mark.parametrize(
    "answer",
    [
        "foo",
        "permessage-deflate, permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; server_max_window_bits=20",
        "permessage-deflate; unknown",
        "permessage-deflate;;",
        "@",
    ],
)
def test_what_a_server_cannot_agree_to(answer: str) -> None:
    with pytest.raises(ValueError, match=r"not offered|malformed"):
        agreed(answer)


@given(st.text('permsage-dflt;,= "\\x', max_size=60))
def test_any_list_of_extensions_is_an_answer_or_an_error(value: str) -> None:
    known_offers(value)
    with suppress(ValueError):
        agreed(value)


@pytest.mark.parametrize(
    "unit", ["permessage-deflate,", "a;b=c,", '"', ";", ", ", "permessage-deflate; a=b;c "]
)
def test_a_list_costs_as_much_as_it_is_long(unit: str) -> None:
    def read_list(size: int) -> None:
        for _ in range(10):
            known_offers(unit * size)

    assert cost(read_list, 16_000) < 80 * cost(read_list, 1000) + 0.001  # 16 times as long


def _read_byte_by_byte(size: int) -> None:
    data = packed(squeezed(os.urandom(size)), BINARY)
    assert len(read([data[at : at + 1] for at in range(len(data))])) == 1


def test_reading_costs_as_much_as_there_is() -> None:
    assert cost(_read_byte_by_byte, 160_000) < 24 * cost(_read_byte_by_byte, 20_000)
