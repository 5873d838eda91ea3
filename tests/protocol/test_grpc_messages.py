"""Messages of gRPC in a body: read cut anywhere, refused if they are none or too large."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cost import cost
from support.wire import at, cut, every_cut

from pingap.protocol.grpc_messages import GRPCDecoder, GRPCFormatError, Message, encode

messages = st.lists(st.builds(Message, st.binary(max_size=300), st.booleans()), max_size=5)


def read(parts: Iterable[bytes], limit: int = 1 << 20) -> tuple[list[Message], bytes]:
    """Return the messages of a body, and what is left at its end."""
    decoder = GRPCDecoder(limit)
    return [one for part in parts for one in decoder.feed(part)], decoder.end()


def test_a_body_is_read_cut_anywhere() -> None:
    data = b"\0\0\0\0\0" + b"\1\0\0\0\3abc" + b"\0\0\0\1\0" + b"x" * 256
    sent = [Message(b"", False), Message(b"abc", True), Message(b"x" * 256, False)]
    for parts in every_cut(data):
        assert read(parts) == (sent, b"")
    for size in range(len(data)):
        found, rest = read([data[:size]])
        assert b"".join(map(encode, found)) + rest == data[:size]


@given(messages, st.lists(st.integers(0, 2000), max_size=6), st.binary(max_size=4))
def test_what_is_written_can_be_read(sent: list[Message], places: list[int], rest: bytes) -> None:
    data = b"".join(map(encode, sent)) + rest
    assert read(at(data, places)) == (sent, rest)


@pytest.mark.parametrize("flag", [2, 128, 255])
def test_a_flag_that_means_nothing(flag: int) -> None:
    for parts in every_cut(bytes([flag]) + b"\0\0\0\1x"):
        with pytest.raises(GRPCFormatError, match=f"flag {flag}"):
            read(parts)


def test_the_limit_is_for_each_message() -> None:
    data = encode(Message(b"12345", False))
    for parts in every_cut(data + data):
        assert len(read(parts, limit=5)[0]) == 2
        with pytest.raises(GRPCFormatError, match="of 5 bytes, more than 4"):
            read(parts, limit=4)
    with pytest.raises(GRPCFormatError):
        read([b"\0\xff\xff\xff\xff"])


@given(st.binary(max_size=60), st.lists(st.integers(0, 100), max_size=4))
def test_anything_gives_messages_or_our_error(data: bytes, places: list[int]) -> None:
    def result(parts: Iterable[bytes]) -> object:
        try:
            return read(parts, limit=100)
        except GRPCFormatError as error:
            return str(error)

    assert result(at(data, places)) == result([data])


def _read_byte_by_byte(size: int) -> None:
    read(cut(encode(Message(bytes(size), False)), 1))


def _read_many(size: int) -> None:
    read([encode(Message(b"", False)) * (size // 5)])


def _read_many_in_pieces(size: int) -> None:
    read(cut(encode(Message(b"x", False)) * (size // 6), 7))


def test_reading_costs_as_much_as_there_is() -> None:
    for work in (_read_byte_by_byte, _read_many, _read_many_in_pieces):
        assert cost(work, 160_000) < 24 * cost(work, 20_000)
