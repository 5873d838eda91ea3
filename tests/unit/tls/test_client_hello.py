"""ClientHellos, read cut anywhere; what is broken is left to OpenSSL."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingap.tls.client_hello import (
    MOST_HELLO,
    NO_APPLICATION_PROTOCOL,
    UNREADABLE,
    UNRECOGNIZED_NAME,
    ClientHello,
    HelloReader,
    objection,
)


def hello(name: str | None = "name.test", protocols: tuple[str, ...] = ()) -> bytes:
    """Return what OpenSSL sends first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if protocols:
        context.set_alpn_protocols(list(protocols))
    out = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name).do_handshake()
    return out.read()


def read(data: bytes, size: int) -> ClientHello | None:
    reader = HelloReader()
    for at in range(0, len(data), size):
        if (found := reader.feed(data[at : at + size])) is not None:
            return found
    return None


def in_records(data: bytes, size: int) -> bytes:
    """Spread a ClientHello over records of a size."""
    message = data[5:]
    parts = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(data[:3] + len(part).to_bytes(2) + part for part in parts)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (hello(), ClientHello(b"name.test", None)),
        (hello(None), ClientHello(None, None)),
        (hello("a.b", ("h2", "http/1.1")), ClientHello(b"a.b", (b"h2", b"http/1.1"))),
        (in_records(hello("a.b", ("h2",)), 50), ClientHello(b"a.b", (b"h2",))),
    ],
)
def test_a_hello_is_read_cut_at_every_byte(data: bytes, found: ClientHello) -> None:
    for size in range(1, len(data) + 1):
        assert read(data, size) == found
    assert read(data[:-1], 100) is None


@pytest.mark.parametrize(
    "data",
    [
        b"\x15\x03\x01\0\x02\x02\x28",
        b"\x16\x03\x01\0\x04\x02\0\0\0",
        b"\x16\x03\x01\0\x04\x01\0\0\0",
        b"\x16\x03\x01" + MOST_HELLO.to_bytes(2),
        b"\x16\x03\x01\0\x04\x01" + MOST_HELLO.to_bytes(3),
        hello().replace(b"\0\0\0\x0e\0\x0c\0", b"\0\0\xff\x0e\0\x0c\0"),
    ],
)
def test_what_is_no_hello_is_left_to_openssl(data: bytes) -> None:
    assert read(data, 1000) == UNREADABLE


@given(st.binary(max_size=300), st.integers(0, 200), st.integers(1, 300))
def test_any_input_is_read_or_left(junk: bytes, at: int, size: int) -> None:
    data = hello()
    read(junk, size)
    read(data[:at] + junk + data[at + len(junk) :], size)


SPOKEN = frozenset((b"h2", b"http/1.1"))


@pytest.mark.parametrize(
    ("seen", "alert"),
    [
        (ClientHello(), None),
        (ClientHello(b"a", (b"h2", b"x")), None),
        (ClientHello(b"a", (b"h3",)), NO_APPLICATION_PROTOCOL),
        (ClientHello(b"a", ()), NO_APPLICATION_PROTOCOL),
        (ClientHello(b"\xff", None), UNRECOGNIZED_NAME),
        (ClientHello(b"a_b.-", None), None),
    ],
)
def test_objections(seen: ClientHello, alert: int | None) -> None:
    assert objection(seen, SPOKEN) == alert
