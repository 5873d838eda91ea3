"""Frames of WebSocket: read cut anywhere, refused unless they are exact, written as the other end reads them.

The ``websockets`` library is the other end. Examples are those of RFC 6455, 5.7.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.cost import cost
from support.websocket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, ws_frame
from support.wire import at, cut, every_cut
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State

from pingap.protocol.websocket_frames import (
    NO_CODE,
    Close,
    Control,
    MessageDecoder,
    MessageEncoder,
    WebSocketError,
    WebSocketMessage,
    check_close,
    mask,
)

Found = list[object]
LIMIT = 1 << 17


def read(parts: Iterable[bytes], *, masked: bool = True, limit: int = LIMIT) -> Found:
    """Return what bytes mean; ``("bad", code)`` ends them."""
    decoder = MessageDecoder(masked=masked, limit=limit)
    found: Found = []
    try:
        for part in parts:
            decoder.feed(part)
            while (event := decoder.next()) is not None:
                found.append(event)
    except WebSocketError as error:
        found.append(("bad", check_close(error.code, error.reason).code))
    return found


def messages(*data: str | bytes) -> Found:
    return [WebSocketMessage(one) for one in data]


KOSME = "κόσμε \U0010ffff"
HELLO = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"
GOOD: dict[str, tuple[bytes, Found]] = {
    "a masked text": (HELLO, messages("Hello")),
    "nothing": (b"", []),
    "empty messages": (ws_frame(TEXT) + ws_frame(BINARY), messages("", b"")),
    "two fragments": (
        ws_frame(TEXT, b"Hel", fin=False) + ws_frame(CONTINUATION, b"lo"), messages("Hello"),
    ),
    "a character in two fragments": (
        ws_frame(TEXT, KOSME.encode()[:1], fin=False) + ws_frame(CONTINUATION, KOSME.encode()[1:]),
        messages(KOSME),
    ),
    "empty fragments": (
        ws_frame(BINARY, fin=False) + ws_frame(CONTINUATION, fin=False) + ws_frame(CONTINUATION),
        messages(b""),
    ),
    "control frames between fragments": (
        ws_frame(BINARY, b"a", fin=False) + ws_frame(PING, b"p") + ws_frame(PONG)
        + ws_frame(CONTINUATION, b"b") + ws_frame(PONG, b"q"),
        [Control(PING, b"p"), Control(PONG, b""), *messages(b"ab"), Control(PONG, b"q")],
    ),
    "the longest ping": (ws_frame(PING, bytes(125)), [Control(PING, bytes(125))]),
    "125 bytes": (ws_frame(BINARY, bytes(125)), messages(bytes(125))),
    "126 bytes": (ws_frame(BINARY, bytes(126)), messages(bytes(126))),
    "65535 bytes": (ws_frame(BINARY, b"x" * 65535), messages(b"x" * 65535)),
    "65536 bytes": (ws_frame(BINARY, b"x" * 65536), messages(b"x" * 65536)),
    "a close": (ws_frame(CLOSE, b"\x03\xe8bye"), [Close(1000, "bye")]),
    "a close without code": (ws_frame(CLOSE), [Close(NO_CODE, "")]),
    "the longest reason": (
        ws_frame(CLOSE, b"\x0f\xa0" + b"x" * 123), [Close(4000, "x" * 123)],
    ),
    "anything after a close": (
        ws_frame(CLOSE) + ws_frame(TEXT, b"late") + b"\xff\xff", [Close(NO_CODE, "")],
    ),
    "a close within a message": (
        ws_frame(TEXT, b"a", fin=False) + ws_frame(CLOSE), [Close(NO_CODE, "")],
    ),
    "codes that may be sent": (
        ws_frame(CLOSE, b"\x03\xf6"), [Close(1014, "")],
    ),
}  # fmt: skip

BAD: dict[str, tuple[bytes, int]] = {
    "not masked": (b"\x81\x05Hello", 1002),
    **{f"opcode {code}": (ws_frame(code), 1002) for code in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    **{f"reserved {bits}": (ws_frame(TEXT, b"a", rsv=bits), 1002) for bits in range(1, 8)},
    "reserved of a ping": (ws_frame(PING, rsv=4), 1002),
    "a fragmented ping": (ws_frame(PING, fin=False), 1002),
    "a fragmented close": (ws_frame(CLOSE, fin=False), 1002),
    "a ping of 126 bytes": (ws_frame(PING, bytes(126)), 1002),
    "a ping of 64 KiB": (ws_frame(PING, bytes(65536)), 1002),
    "a continuation without a message": (ws_frame(CONTINUATION, b"a"), 1002),
    "a continuation of what has ended": (ws_frame(TEXT, b"a") + ws_frame(CONTINUATION), 1002),
    "a message within another": (ws_frame(TEXT, b"a", fin=False) + ws_frame(TEXT, b"b"), 1002),
    "125 in two bytes": (b"\x82\xfe\x00\x7d" + bytes(129), 1002),
    "65535 in eight bytes": (b"\x82\xff" + (65535).to_bytes(8) + bytes(65539), 1002),
    "a length with its highest bit": (b"\x82\xff\x80" + bytes(20), 1002),
    "overlong UTF-8": (ws_frame(TEXT, b"\xc0\xaf"), 1007),
    "a surrogate": (ws_frame(TEXT, b"\xed\xa0\x80"), 1007),
    "half a character": (ws_frame(TEXT, b"\xce"), 1007),
    "beyond Unicode": (ws_frame(TEXT, b"\xf4\x90\x80\x80"), 1007),
    "bad in the last fragment": (
        ws_frame(TEXT, b"a", fin=False) + ws_frame(CONTINUATION, b"\xff"), 1007,
    ),
    "a close of one byte": (ws_frame(CLOSE, b"\x03"), 1002),
    "a reason that is not UTF-8": (ws_frame(CLOSE, b"\x03\xe8\xff"), 1007),
    **{
        f"code {code}": (ws_frame(CLOSE, code.to_bytes(2)), 1002)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535)
    },
    "too large": (ws_frame(BINARY, bytes(LIMIT + 1)), 1009),
    "an announcement of too much": (ws_frame(BINARY, bytes(LIMIT + 1))[:14], 1009),
    "one byte too much in a fragment": (
        ws_frame(BINARY, bytes(LIMIT), fin=False) + ws_frame(CONTINUATION, b"x"), 1009,
    ),
}  # fmt: skip


def cuts(data: bytes) -> Iterator[list[bytes]]:
    """Yield all cuts of short data; some of long data, around the head and the end."""
    if len(data) < 400:
        yield from every_cut(data)
        return
    yield [data]
    yield from ([data[:place], data[place:]] for place in (*range(1, 20), len(data) - 1))
    yield cut(data, 4096)


@pytest.mark.parametrize("case", GOOD)
def test_what_a_client_sends_is_read_cut_anywhere(case: str) -> None:
    data, expected = GOOD[case]
    for parts in cuts(data):
        assert read(parts) == expected


@pytest.mark.parametrize("case", BAD)
def test_what_breaks_the_protocol_is_refused_cut_anywhere(case: str) -> None:
    data, code = BAD[case]
    for parts in cuts(HELLO + data):
        first, *_, last = read(parts)
        assert (first, last) == (WebSocketMessage("Hello"), ("bad", code))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x81\x05Hello", messages("Hello")),
        (b"\x01\x03Hel\x80\x02lo", messages("Hello")),
        (b"\x89\x05Hello", [Control(PING, b"Hello")]),
        (b"\x82\x7e\x01\x00" + bytes(256), messages(bytes(256))),
        (b"\x82\x7f\0\0\0\0\0\1\0\0" + bytes(65536), messages(bytes(65536))),
        (HELLO, [("bad", 1002)]),
    ],
)
def test_what_a_server_sends_is_not_masked(data: bytes, expected: Found) -> None:
    for parts in cuts(data):
        assert read(parts, masked=False) == expected


def test_the_limit_counts_whole_messages() -> None:
    for size in (0, 9, 10):
        data = ws_frame(BINARY, bytes(size))
        assert read([data + data], limit=10) == messages(bytes(size), bytes(size))
    parts = ws_frame(TEXT, bytes(5), fin=False) + ws_frame(CONTINUATION, bytes(5))
    assert read([parts, parts], limit=10) == messages("\0" * 10, "\0" * 10)
    assert read([ws_frame(PING, bytes(11))], limit=10) == [Control(PING, bytes(11))]


def test_it_knows_whether_something_is_missing() -> None:
    decoder = MessageDecoder(masked=True, limit=LIMIT)
    assert decoder.is_idle
    data = ws_frame(TEXT, b"ab", fin=False) + ws_frame(PING, b"p") + ws_frame(CONTINUATION, b"c")
    for byte in data[:-1]:
        decoder.feed(bytes([byte]))
        while decoder.next() is not None:
            pass
        assert not decoder.is_idle
    decoder.feed(data[-1:])
    assert decoder.next() == WebSocketMessage("abc")
    assert decoder.is_idle


frames = st.one_of(
    st.builds(ws_frame, st.sampled_from((TEXT, BINARY, CONTINUATION, PING, PONG)),
              st.binary(max_size=20), fin=st.booleans()),
    st.builds(lambda text: ws_frame(TEXT, text.encode()), st.text(max_size=300)),
    st.just(ws_frame(CLOSE, b"\x03\xe8")),
)  # fmt: skip
streams = st.lists(frames, max_size=8).map(b"".join)


@given(streams, st.lists(st.integers(0, 10_000), max_size=8))
def test_cuts_change_nothing(data: bytes, places: list[int]) -> None:
    assert read(at(data, places)) == read([data])


@given(streams.filter(bool), st.integers(0), st.integers(0, 255), st.integers(0, 10_000))
@example(b"\x81\x80\0\0\0\0", 1, 0x7F, 0)
def test_a_mutated_stream_gives_events_or_our_error(
    data: bytes, place: int, byte: int, cut_at: int
) -> None:
    place %= len(data)
    data = data[:place] + bytes([byte]) + data[place + 1 :]
    assert read(at(data, [cut_at])) == read([data])


@given(st.binary(max_size=200))
def test_anything_gives_events_or_our_error(data: bytes) -> None:
    read([data])
    read([data], masked=False)


def verdict(data: bytes) -> tuple[list[tuple[Opcode, bytes, bool]], int | None]:
    """Return the frames that the ``websockets`` library reads, and the code with which it fails."""
    protocol = Protocol(Side.SERVER, state=State.OPEN, max_size=LIMIT)
    protocol.receive_data(data)
    found = [
        (one.opcode, bytes(one.data), one.fin)
        for one in protocol.events_received()
        if isinstance(one, Frame)
    ]
    failed = protocol.parser_exc is not None and protocol.close_sent is not None
    return found, protocol.close_sent.code if failed and protocol.close_sent else None


@given(streams)
def test_the_websockets_library_agrees(data: bytes) -> None:
    """It leaves UTF-8 to the layer above, and wants no close within a message (RFC 6455, 5.4, does)."""
    found = read([data])
    frames, code = verdict(data)
    if ("bad", 1007) in found or (code and Close(1000, "") in found):
        return
    assert [("bad", code)] * bool(code) == [one for one in found if one == ("bad", 1002)]
    ours = [one.payload for one in found if isinstance(one, Control)]
    theirs = [data for opcode, data, _ in frames if opcode in (Opcode.PING, Opcode.PONG)]
    assert ours == theirs
    assert [one for one in found if isinstance(one, WebSocketMessage)] == assembled(frames)


def assembled(frames: Iterable[tuple[Opcode, bytes, bool]]) -> list[WebSocketMessage]:
    found, kind, data = [], Opcode.TEXT, b""
    for opcode, payload, fin in frames:
        if opcode in (Opcode.TEXT, Opcode.BINARY):
            kind, data = opcode, b""
        if opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            data += payload
            if fin:
                found.append(WebSocketMessage(data.decode() if kind is Opcode.TEXT else data))
    return found


# Writing.

events = st.one_of(
    st.text(max_size=300).map(WebSocketMessage),
    st.binary(max_size=300).map(WebSocketMessage),
    st.builds(Control, st.sampled_from((PING, PONG)), st.binary(max_size=125)),
)


@pytest.mark.parametrize("masked", [True, False])
@given(sent=st.lists(events, max_size=6), close=st.sampled_from([None, Close(NO_CODE, ""), Close(4000, "käse")]))  # fmt: skip
def test_what_is_written_can_be_read(
    masked: bool, sent: list[WebSocketMessage | Control], close: Close | None
) -> None:
    encoder = MessageEncoder(masked=masked)
    data = b""
    for event in sent:
        data += encoder.control(event) if isinstance(event, Control) else encoder.message(event)
    data += encoder.close(close) if close else b""
    assert read([data], masked=masked) == [*sent, *([close] if close else [])]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 131_072])
def test_the_websockets_library_reads_every_size(size: int) -> None:
    data = os.urandom(size)
    frames, code = verdict(MessageEncoder(masked=True).message(WebSocketMessage(data)))
    assert (frames, code) == ([(Opcode.BINARY, data, True)], None)


def test_nothing_follows_a_close() -> None:
    encoder = MessageEncoder(masked=False)
    assert encoder.close(Close(1001, "")) == b"\x88\x02\x03\xe9"
    assert encoder.closed
    assert encoder.message(WebSocketMessage("late")) == b""
    assert encoder.control(Control(PONG, b"")) == b""
    assert encoder.close(Close(1000, "")) == b""


def test_each_frame_has_a_mask_of_its_own() -> None:
    encoder = MessageEncoder(masked=True)
    keys = {encoder.message(WebSocketMessage(b"x"))[2:6] for _ in range(50)}
    assert len(keys) == 50


@pytest.mark.parametrize("data", [5, None, bytearray(b"x")])
def test_only_text_and_bytes_can_be_sent(data: object) -> None:
    with pytest.raises(TypeError, match="str or bytes"):
        MessageEncoder(masked=False).message(WebSocketMessage(data))  # type: ignore[arg-type]


@given(st.binary(min_size=4, max_size=4), st.integers(0, 20_000))
@example(b"abcd", 8192)
@example(b"abcd", 8193)
@example(b"abcd", 16384)
def test_masking(key: bytes, size: int) -> None:
    payload = os.urandom(size)
    assert mask(key, payload) == bytes(a ^ key[place % 4] for place, a in enumerate(payload))


def test_our_own_close() -> None:
    assert check_close(1000, "é" * 61) == Close(1000, "é" * 61)
    for code, reason in ((1005, ""), (1006, ""), (999, ""), (5000, ""), (1000, "é" * 62)):
        with pytest.raises(ValueError, match=r"code|123 bytes"):
            check_close(code, reason)


def _read_byte_by_byte(size: int) -> None:
    read(cut(ws_frame(BINARY, bytes(size)), 1))


def _read_tiny_fragments(size: int) -> None:
    tiny = ws_frame(CONTINUATION, b"x", fin=False) * (size // 8)
    read([ws_frame(BINARY, fin=False) + tiny])


def _read_tiny_fragments_byte_by_byte(size: int) -> None:
    read(
        cut(ws_frame(BINARY, fin=False) + ws_frame(CONTINUATION, b"x", fin=False) * (size // 8), 3)
    )


def test_reading_costs_as_much_as_there_is() -> None:
    for work in (_read_byte_by_byte, _read_tiny_fragments, _read_tiny_fragments_byte_by_byte):
        assert cost(work, 160_000) < 24 * cost(work, 20_000)
