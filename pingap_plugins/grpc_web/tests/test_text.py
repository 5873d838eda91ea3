"""Base64, whatever its padding, and wherever the network cuts it."""

from __future__ import annotations

import pytest
from grpc_wire import message, text, untext
from hypothesis import given
from hypothesis import strategies as st
from pingap_grpc_web.text import TextDecoder, TextEncoder

from pingap import BodyFilter, Headers, HTTPError
from pingap.testing import filter_every_cut


class Encoding(BodyFilter):
    """A ``TextEncoder`` as the filter it is a part of."""

    def __init__(self) -> None:
        self._encoder = TextEncoder()

    def feed(self, chunk: bytes) -> bytes:
        return self._encoder.feed(chunk)

    def end(self, trailers: Headers) -> bytes:
        return self._encoder.end()


def decode(body: bytes) -> bytes:
    return filter_every_cut(TextDecoder, body)


def decode_in_pieces(body: bytes, size: int) -> bytes:
    decoder = TextDecoder()
    pieces = [decoder.feed(body[at : at + size]) for at in range(0, len(body), size)]
    return b"".join([*pieces, decoder.end(Headers())])


@pytest.mark.parametrize("payload", [b"", b"a", b"ab", b"abc", b"hello world", bytes(range(256))])
def test_a_body_is_decoded_however_it_is_cut(payload: bytes) -> None:
    assert decode(text(message(payload))) == message(payload)


def test_padding_may_stand_between_pieces() -> None:
    assert decode(b"YQ==Yg==Y2Q=ZWZnaA==") == b"abcdefgh"


@given(st.lists(st.binary(max_size=9), max_size=6))
def test_any_pieces_are_decoded(pieces: list[bytes]) -> None:
    assert decode(text(*pieces)) == b"".join(pieces)


@pytest.mark.parametrize(
    "body",
    [b"A", b"AAA", b"AAAA==", b"====", b"A===", b"AA=A", b"AA==A", b"AA A", b"AAA\n", b"AA-_", b"\0AAA"],
)  # fmt: skip
def test_what_is_not_base64_is_refused_however_it_is_cut(body: bytes) -> None:
    for size in range(1, len(body) + 1):
        with pytest.raises(HTTPError) as caught:
            decode_in_pieces(body, size)
        assert caught.value.status == 400


@given(st.binary(max_size=40), st.integers(1, 7))
def test_any_bytes_are_decoded_or_refused(body: bytes, size: int) -> None:
    try:
        decoded = decode_in_pieces(body, size)
    except HTTPError:
        return
    assert decoded == untext(body)


@pytest.mark.parametrize("sizes", [[0], [1], [2], [3, 0, 4], [0, 0], [1, 2, 3, 300]])
def test_each_message_is_padded_at_its_own_end(sizes: list[int]) -> None:
    messages = [message(b"x" * size) for size in sizes]
    assert filter_every_cut(Encoding, b"".join(messages)) == text(*messages)


def test_a_message_is_readable_as_soon_as_it_is_there() -> None:
    encoder = TextEncoder()
    first, second = message(b"one"), message(b"two two")
    assert encoder.feed(first + second[:6]) == text(first) + text(second[:6])
    assert encoder.feed(second[6:8]) == b""
    assert encoder.feed(second[8:]) == text(second[6:])


def test_a_message_without_end_is_encoded_all_the_same() -> None:
    cut = message(b"hello")[:-1]
    assert untext(filter_every_cut(Encoding, cut)) == cut


@given(st.binary(max_size=60))
def test_any_bytes_are_encoded(body: bytes) -> None:
    assert untext(filter_every_cut(Encoding, body)) == body
