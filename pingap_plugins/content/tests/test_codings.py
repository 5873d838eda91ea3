"""Any body, cut anywhere and flushed anywhere, is the same after compression and decompression."""

from __future__ import annotations

import gzip
import zlib
from collections import deque
from collections.abc import Callable

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from pingap_compression.filters import Compressing, Decompressing, Work
from pingap_compression.pace import QUICK, Pace, Turn
from pingap_content.decoders import BombError, DecodeError, Decoder, Limits, decoder
from pingap_content.encoders import MEMORY, MOST_LEVEL, PREFERENCE, encoder

from pingap import BodyFilter, Headers, HTTPError, RequestOutcome
from pingap.testing import filter_every_cut

NO_LIMITS = Limits(0, 100_000)
CUTS = st.lists(st.tuples(st.integers(0, 2000), st.booleans()), max_size=6)
BODIES = st.one_of(
    st.binary(max_size=3000),
    st.text("ab <>/=\n", max_size=3000).map(str.encode),
    st.integers(0, 200_000).map(lambda size: (b"line %d\n" % size) * (size // 10 + 1)),
)


def whole(coding: str, data: bytes) -> bytes:
    """Return what another implementation makes of a body."""
    if coding == "gzip":
        return gzip.decompress(data)
    if coding == "br":
        return bytes(brotli.decompress(data))
    return zstandard.ZstdDecompressor().decompressobj().decompress(data)


def compressed(coding: str, data: bytes) -> bytes:
    if coding == "gzip":
        return gzip.compress(data)
    if coding == "br":
        return bytes(brotli.compress(data, quality=4))
    if coding == "zstd":
        return zstandard.compress(data)
    return zlib.compress(data)


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


def pieces(data: bytes, cuts: list[tuple[int, bool]]) -> list[tuple[bytes, bool]]:
    found = []
    for size, flush in cuts:
        found.append((data[:size], flush))
        data = data[size:]
    return [*found, (data, False)]


def compressing(coding: str, level: int, length: int | None = None) -> Compressing:
    return Compressing(Work(coding, True), Pace(coding, level), level, length, lambda work: None)


def decompressing(coding: str) -> Decompressing:
    return Decompressing(Work(coding, False), NO_LIMITS)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("coding", PREFERENCE)
@settings(max_examples=60, deadline=None)
@given(body=BODIES, cuts=CUTS, level=st.integers(1, 9))
def test_what_was_flushed_can_be_read(
    coding: str, known: bool, body: bytes, cuts: list[tuple[int, bool]], level: int
) -> None:
    inner = compressing(coding, level, len(body) if known else None)
    reader = decoder(coding, NO_LIMITS)
    sent, taken, read = b"", b"", b""
    for piece, flush in pieces(body, cuts):
        taken += piece
        out = inner.feed(piece) if piece else b""
        if flush:
            out += inner.flush()
        sent += out
        read += reader.feed(out)
        if flush:
            assert read == taken
    rest = inner.end(Headers())
    assert read + reader.feed(rest) == body
    assert reader.is_complete
    assert whole(coding, sent + rest) == body


@pytest.mark.parametrize("coding", PREFERENCE)
def test_every_level_works(coding: str) -> None:
    body = b"to be or not to be, " * 300
    for level in range(1, MOST_LEVEL[coding] + 1):
        inner = compressing(coding, level)
        assert whole(coding, inner.feed(body) + inner.end(Headers())) == body


@pytest.mark.parametrize("coding", PREFERENCE)
def test_filters_do_not_depend_on_cuts(coding: str) -> None:
    data = compressed(coding, b"some text, some text")
    assert filter_every_cut(lambda: decompressing(coding), data) == b"some text, some text"


@pytest.mark.parametrize(
    ("coding", "make"),
    [
        ("gzip", gzip.compress),
        ("br", lambda data: compressed("br", data)),
        ("zstd", zstandard.compress),
        ("deflate", zlib.compress),
        ("deflate", raw_deflate),
    ],
)
@settings(max_examples=60, deadline=None)
@given(body=BODIES, cuts=CUTS)
def test_bodies_are_decompressed_however_they_are_cut(
    coding: str, make: Callable[[bytes], bytes], body: bytes, cuts: list[tuple[int, bool]]
) -> None:
    reader = decoder(coding, NO_LIMITS)
    read = b"".join(reader.feed(piece) for piece, _ in pieces(make(body), cuts) if piece)
    assert (read, reader.is_complete) == (body, True)


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_several_members_are_one_body(coding: str, size: int) -> None:
    data = b"".join(compressed(coding, text) for text in (b"one", b"", b"two"))
    reader = decoder(coding, NO_LIMITS)
    assert (
        b"".join(reader.feed(data[at : at + size]) for at in range(0, len(data), size)) == b"onetwo"
    )
    assert reader.is_complete


def test_padding_behind_gzip_is_skipped() -> None:
    reader = decoder("gzip", NO_LIMITS)
    assert reader.feed(gzip.compress(b"one") + bytes(7)) == b"one"
    assert reader.feed(bytes(7)) == b""
    assert reader.is_complete


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate"])
def test_a_body_that_is_cut_off_is_an_error(coding: str) -> None:
    data = compressed(coding, b"some text, some text, and more of it")
    for size in range(1, len(data)):
        body_filter = decompressing(coding)
        body_filter.feed(data[:size])
        with pytest.raises(HTTPError):
            body_filter.end(Headers())


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate"])
@settings(max_examples=100, deadline=None)
@given(data=st.binary(min_size=1, max_size=300))
def test_anything_else_is_refused_or_read(coding: str, data: bytes) -> None:
    reader: Decoder = decoder(coding, NO_LIMITS)
    try:
        reader.feed(data)
    except DecodeError:
        return
    assert isinstance(reader.is_complete, bool)


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate"])
@pytest.mark.parametrize("size", [100, 65536])
def test_bombs_are_stopped_early(coding: str, size: int) -> None:
    bomb = compressed(coding, bytes(30 * 1024 * 1024))
    reader = decoder(coding, Limits(0, 100))
    chunks = (bomb[at : at + size] for at in range(0, len(bomb), size))
    with pytest.raises(BombError, match="more than 100 times"):
        deque(map(reader.feed, chunks), maxlen=0)
    assert reader._made < 12 * 1024 * 1024


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate"])
def test_the_size_has_a_limit_of_its_own(coding: str) -> None:
    data = compressed(coding, b"0123456789" * 1000)
    assert len(decoder(coding, Limits(10_000, 1)).feed(data)) == 10_000
    with pytest.raises(BombError, match="more than 9999 bytes"):
        decoder(coding, Limits(9_999, 1)).feed(data)


def test_a_window_that_is_too_large_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=24)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    data = compressor.compress(bytes(200_000)) + compressor.flush()
    with pytest.raises(DecodeError):
        decoder("zstd", NO_LIMITS).feed(data)


@pytest.mark.parametrize("level", range(1, 23))
def test_memory_of_zstandard_is_bounded(level: int) -> None:
    for size in (1, 256 * 1024):
        parameters = zstandard.ZstdCompressionParameters.from_level(level, source_size=size)
        assert parameters.window_log <= 18
        # and what comes in and goes out: a window and two blocks
        buffers = (256 + 2 * 128) * 1024
        assert parameters.estimated_compression_context_size() + buffers < MEMORY["zstd"]


def test_the_window_of_zstandard_is_written_in_the_frame() -> None:
    inner = encoder("zstd", 19, None)
    data = inner.compress(bytes(3_000_000)) + inner.finish()
    assert zstandard.get_frame_parameters(data).window_size <= 256 * 1024


@pytest.mark.parametrize("make", [lambda: compressing("zstd", 3), lambda: decompressing("zstd")])
def test_abandoned_bodies_free_what_they_hold(make: Callable[[], BodyFilter]) -> None:
    body_filter = make()
    body_filter.feed(zstandard.compress(b"x" * 1000)[:10])
    body_filter.abandoned(RequestOutcome.CLIENT_GONE)
    held = {getattr(body_filter, "_encoder", None), getattr(body_filter, "_decoder", None)}
    assert held == {None}


@pytest.mark.parametrize("make", [lambda: compressing("gzip", 3), lambda: decompressing("gzip")])
def test_trailers_stay_but_for_digests(make: Callable[[], BodyFilter]) -> None:
    trailers = Headers(
        {"X-Sum": "1", "Content-Digest": "x", "Repr-Digest": "x", "Content-MD5": "x"}
    )
    make().end(trailers)
    assert trailers == Headers({"X-Sum": "1"})


def test_pace_follows_what_was_measured() -> None:
    pace = Pace("gzip", 5)
    before = pace.per_byte
    pace.note(100, 1.0)
    assert pace.per_byte == before  # too little to say anything
    pace.note(100_000, 1.0)
    assert before < pace.per_byte < 2 * before  # once is no rule
    for _ in range(200):
        pace.note(100_000, 0.001)
    assert pace.per_byte == pytest.approx(1e-8, rel=0.01)


def test_a_body_holds_the_loop_for_a_bounded_time() -> None:
    turn = Turn()
    assert turn.has_room(QUICK)
    assert not turn.has_room(QUICK * 1.01)
    turn.note(QUICK * 0.8)
    assert not turn.has_room(QUICK * 0.5)
