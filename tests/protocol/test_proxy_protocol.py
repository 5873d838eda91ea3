"""Headers of the PROXY protocol: read cut anywhere, written, and refused unless they are exact."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingap.protocol.proxy_protocol import (
    MOST_BINARY,
    MOST_TEXT,
    SIGNATURE,
    ProxyHeader,
    ProxyHeaderDecoder,
    ProxyProtocolError,
    crc32c,
    proxy_header,
)


def binary(kind: int, block: bytes, command: int = 0x21, size: int | None = None) -> bytes:
    size = len(block) if size is None else size
    return SIGNATURE + struct.pack(">BBH", command, kind, size) + block


def checked(kind: int, block: bytes, change: int = 0) -> bytes:
    """Return a header with a checksum, off by a number."""
    header = binary(kind, block + b"\x03\0\x04" + bytes(4) + b"\xea\0\0")
    at = len(SIGNATURE) + 4 + len(block) + 3
    return header[:at] + (crc32c(header) + change).to_bytes(4) + header[at + 4 :]


V4 = bytes((192, 0, 2, 1, 198, 51, 100, 2)) + struct.pack(">HH", 1000, 443)
V6 = b"\x20\x01\x0d\xb8" + b"\0" * 11 + b"\x01" + b"\0" * 15 + b"\x01" + struct.pack(">HH", 5, 6)
TLVS = b"\x01\0\x02h2" + b"\x04\0\0" + b"\x20\0\x01x"
CLIENT = ProxyHeader(("192.0.2.1", 1000), ("198.51.100.2", 443))
NOBODY = ProxyHeader()

GOOD = [
    (b"PROXY TCP4 192.0.2.1 198.51.100.2 1000 443\r\n", CLIENT),
    (b"PROXY TCP6 2001:db8::1 ::1 5 6\r\n", ProxyHeader(("2001:db8::1", 5), ("::1", 6))),
    (b"PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n",
     ProxyHeader(("0.0.0.0", 0), ("255.255.255.255", 65535))),
    (b"PROXY UNKNOWN\r\n", NOBODY),
    (b"PROXY UNKNOWN ffff::1 what ever\r\n", NOBODY),
    (b"PROXY UNKNOWN " + b"x" * (MOST_TEXT - 16) + b"\r\n", NOBODY),
    (binary(0x11, V4), CLIENT),
    (binary(0x12, V4), CLIENT),
    (binary(0x11, V4 + TLVS), CLIENT),
    (checked(0x11, V4), CLIENT),
    (checked(0x11, V4 + TLVS), CLIENT),
    (checked(0x31, b"/run/a.sock".ljust(108, b"\0") * 2), ProxyHeader(("", 0), ("", 0))),
    (binary(0x21, V6), ProxyHeader(("2001:db8::1", 5), ("::1", 6))),
    (binary(0x21, V6 + b"\x04\x01\xd9" + b"\0" * 473), ProxyHeader(("2001:db8::1", 5), ("::1", 6))),
    (binary(0x31, b"/run/a.sock".ljust(108, b"\0") * 2), ProxyHeader(("", 0), ("", 0))),
    (binary(0x00, b""), NOBODY),
    (binary(0x00, b"anything"), NOBODY),
    (binary(0x11, V4, command=0x20), NOBODY),
    (binary(0x00, b"", command=0x20), NOBODY),
    (binary(0xFF, b"??", command=0x20), NOBODY),
]  # fmt: skip

BAD = [
    b"GET / HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x02\0",
    b"\r\n\r\n\0\r\nQUIT\r",
    b"proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
    b"PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
    b"PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n",
    b"PROXY TCP4 ::1 1.2.3.4 1 2\r\n",
    b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
    b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
    b"PROXY TCP4 \xff.2.3.4 1.2.3.4 1 2\r\n",
    b"PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n",
    b"PROXY unknown\r\n",
    b"PROXY \r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\nGET / HTTP/1.1\r\n",
    b"PROXY UNKNOWN " + b"x" * (MOST_TEXT - 15) + b"\r\n",
    b"PROXY " + b"x" * MOST_TEXT,
    binary(0x11, V4, command=0x11),
    binary(0x11, V4, command=0x22),
    binary(0x11, V4[:-1]),
    binary(0x21, V4),
    binary(0x31, V6),
    binary(0x13, V4),
    binary(0x41, V4),
    binary(0x11, V4 + b"\x04\0"),
    binary(0x11, V4 + b"\x04\0\x02x"),
    binary(0x11, b"", size=MOST_BINARY),
    checked(0x11, V4, 1),
    checked(0x21, V6 + TLVS, -1),
    binary(0x11, V4 + b"\x03\0\x04abcd"),
    binary(0x11, V4 + b"\x03\0\x03abc"),
    binary(0x11, V4 + b"\x03\0\0"),
    checked(0x11, V4 + b"\x03\0\x04abcd"),
]


def read(data: bytes, size: int) -> tuple[ProxyHeader, bytes] | None:
    decoder = ProxyHeaderDecoder()
    for at in range(0, len(data), size):
        if (found := decoder.feed(data[at : at + size])) is not None:
            return found[0], found[1] + data[at + size :]
    return None


@pytest.mark.parametrize("rest", [b"", b"GET / HTTP/1.1\r\n\r\n", SIGNATURE, b"PROXY UNKNOWN\r\n"])
@pytest.mark.parametrize(("data", "header"), GOOD)
def test_a_header_is_read_cut_at_every_byte(data: bytes, header: ProxyHeader, rest: bytes) -> None:
    for size in range(1, len(data) + len(rest) + 1):
        assert read(data + rest, size) == (header, rest)
    for cut in range(len(data)):
        assert read(data[:cut], 1000) is None


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("data", BAD)
def test_what_is_no_header_is_refused(data: bytes, size: int) -> None:
    with pytest.raises(ProxyProtocolError):
        read(data, size)


@pytest.mark.parametrize(
    ("start", "most"),
    [
        (b"PROXY UNKNOWN ", MOST_TEXT),
        (binary(0x11, V4, size=MOST_BINARY - 16), MOST_BINARY),
        (binary(0x11, V4, size=MOST_BINARY - 15), MOST_BINARY),
    ],
)
def test_no_more_is_held_than_a_header_may_have(start: bytes, most: int) -> None:
    decoder = ProxyHeaderDecoder()
    fed = len(start)
    try:
        decoder.feed(start)
        while decoder.feed(b"x") is None:
            fed += 1
    except ProxyProtocolError:
        pass
    assert fed < most


@pytest.mark.parametrize("size", [1, 100, 4096, 65536])
def test_extensions_of_4_kib_are_taken(size: int) -> None:
    certificate = b"\xea\x10\0" + b"x" * 4096
    assert read(binary(0x11, V4 + certificate) + b"rest", size) == (CLIENT, b"rest")
    assert read(checked(0x11, V4 + certificate) + b"rest", size) == (CLIENT, b"rest")


def test_the_checksum_is_that_of_the_standard() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA  # (RFC 3720, B.4)


junk = st.binary(max_size=600)
starts = st.sampled_from(
    [b"", b"PROXY ", b"PROXY TCP4 1.2.3.4 ", SIGNATURE, SIGNATURE + b"\x21\x11"]
)


@given(starts, junk, st.integers(1, 600))
def test_any_input_is_a_header_or_our_error(start: bytes, data: bytes, size: int) -> None:
    def outcome(step: int) -> object:
        try:
            return read(start + data, step)
        except ProxyProtocolError:
            return "refused"

    assert outcome(size) == outcome(1) == outcome(1000)


addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
ports = st.integers(0, 65535)


@given(st.sampled_from(["v1", "v2"]), addresses, addresses, ports, ports)
def test_what_is_written_is_read(version: str, one: str, two: str, a: int, b: int) -> None:
    data = proxy_header(version, (one, a), (two, b))
    found = read(data, 1000)
    assert found is not None
    header = found[0]
    assert header.source is not None
    assert header.destination is not None
    assert (header.source[1], header.destination[1]) == (a, b)
    if (":" in one) == (":" in two) and "ffff" not in one + two:
        assert header == ProxyHeader((one, a), (two, b))
    assert len(data) <= (MOST_TEXT if version == "v1" else 52)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (("192.0.2.1", 5), b"PROXY TCP4 192.0.2.1 198.51.100.2 5 80\r\n"),
        (("::ffff:192.0.2.1", 5), b"PROXY TCP4 192.0.2.1 198.51.100.2 5 80\r\n"),
        (("2001:db8::1%eth0", 5), b"PROXY TCP6 2001:db8::1 ::ffff:198.51.100.2 5 80\r\n"),
        (("", 0), b"PROXY UNKNOWN\r\n"),
    ],
)
def test_both_addresses_are_of_one_family(source: tuple[str, int], text: bytes) -> None:
    assert (
        proxy_header("v1", source, ("198.51.100.2", 80))
        == text.replace(b"::ffff:198.51.100.2", b"::ffff:c633:6402")
        or proxy_header("v1", source, ("198.51.100.2", 80)) == text
    )


def test_a_client_without_an_address_is_told_as_local_in_version_2() -> None:
    assert proxy_header("v2", ("", 0), ("", 0)) == SIGNATURE + b"\x20\0\0\0"
