"""RFC 9113 on the client's side: what ends a stream, what ends the connection, what is served."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from support import h2
from support.h2 import END_HEADERS, END_STREAM, H2Client, fields, frame, settings
from support.rig import Rig, running

from pingap.testing import Served


def script(served: Served) -> None:
    """Leave requests for ``/hold`` unanswered until the proxy leaves."""
    while (request := served.read_request()) is not None:
        if request.target == "/hold":
            served.receive()
            return
        served.respond(bytes(100) if request.target == "/large" else b"")


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    server = 'enabled_h2 = true\naccess_log = "combined"\nmax_header_size = "8kib"'
    with running(script, server=server) as rig:
        yield rig
        assert " ERROR " not in rig.proxy.log
        assert rig.origin.errors == []


MALFORMED = {
    # Pseudo-header fields (8.3).
    "no method": fields(method=None),
    "no path": fields(path=None),
    "empty path": fields(path=""),
    "no scheme": fields(scheme=None),
    "scheme with a colon": fields(scheme="http:"),
    "scheme with a slash": fields(scheme="http://evil/?"),
    "scheme with a space": fields(scheme="ht tp"),
    "scheme that begins with a digit": fields(scheme="1http"),
    "scheme with LF": fields(scheme="http\n"),
    "path without slash": fields(path="a"),
    "star with GET": fields(path="*"),
    "space in path": fields(path="/a b"),
    "method that is no token": fields(method="G ET"),
    "unknown pseudo": [(":a", "b"), *fields()],
    "status in a request": [(":status", "200"), *fields()],
    "protocol of another method": [(":protocol", "websocket"), *fields()],
    "method twice": [(":method", "GET"), *fields()],
    "path twice": [*fields(), (":path", "/b")],
    "pseudo after a field": [("a", "b"), *fields()],
    "CONNECT with a path": fields(method="CONNECT", scheme=None),
    "CONNECT without authority": fields("CONNECT", scheme=None, path=None, authority=None),
    # Fields (8.2).
    "uppercase name": fields("GET", "/", ("Accept", "a")),
    "empty name": fields("GET", "/", ("", "a")),
    "space in name": fields("GET", "/", ("a b", "c")),
    "colon in name": fields("GET", "/", ("a:b", "c")),
    "NUL in value": fields("GET", "/", ("a", "b\0c")),
    "LF in value": fields("GET", "/", ("a", "b\nc")),
    "CR in value": fields("GET", "/", ("a", "b\rc")),
    "space before value": fields("GET", "/", ("a", " b")),
    "tab after value": fields("GET", "/", ("a", "b\t")),
    # Fields of a connection (8.2.2).
    **{
        name: fields("GET", "/", (name, "a"))
        for name in ("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade")
    },
    "te": fields("GET", "/", ("te", "trailers, deflate")),
    "te gzip": fields("GET", "/", ("te", "gzip")),
    # Hosts (8.3.1) and lengths (8.1.1).
    "host differs": fields("GET", "/", ("host", "other")),
    "host with another port": fields("GET", "/", ("host", "test:8080")),
    "port of another scheme": fields("GET", "/", ("host", "test:443")),
    "two hosts": fields("GET", "/", ("host", "test"), ("host", "test")),
    "length of no body": fields("GET", "/", ("content-length", "3")),
    "length that is none": fields("GET", "/", ("content-length", "+0")),
    "two lengths": fields("GET", "/", ("content-length", "0"), ("content-length", "0")),
}


@pytest.mark.parametrize("headers", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_request_ends_its_stream_and_only_that(rig: Rig, headers: h2.Fields) -> None:
    with H2Client(rig.proxy) as client:
        client.headers(1, headers)
        answer = client.finish(1)
        assert (answer.reset, answer.heads) == (h2.PROTOCOL_ERROR, [])
        assert client.get(3, "/after").status == 200


@pytest.mark.parametrize(
    ("scheme", "authority", "host"),
    [
        ("http", "TEST", "test"),
        ("http", "test:80", "test"),
        ("http", "test", "test:80"),
        ("http", "test:", "test"),
        ("https", "test:443", "test"),
        ("HTTPS", "test", "TEST:443"),
        ("coap", "test:", "test"),
    ],
)
def test_host_is_compared_after_normalisation_and_replaced(
    rig: Rig, scheme: str, authority: str, host: str
) -> None:
    with H2Client(rig.proxy) as client:
        client.headers(1, fields("GET", "/", ("host", host), scheme=scheme, authority=authority))
        assert client.finish(1).status == 200
        assert rig.origin.requests[-1].headers["host"] == authority


def test_te_may_be_written_in_any_case(rig: Rig) -> None:
    with H2Client(rig.proxy) as client:
        assert client.get(1, "/", ("te", "Trailers")).status == 200


REFUSED = {
    "CONNECT": (fields("CONNECT", scheme=None, path=None), 501),
    "host that is none": (fields(authority="a b"), 400),
    "userinfo": (fields(authority="user@test"), 400),
    "no host at all": (fields(authority=None), 400),
    "fragment": (fields(path="/a#b"), 400),
    "unknown expectation": (fields("GET", "/", ("expect", "tea")), 417),
    "long path": (fields(path="/" + "a" * 8192), 414),
    "large head": (fields("GET", "/", ("a", "b" * 8192)), 431),
    "many fields": (fields("GET", "/", *[(f"a{number}", "b") for number in range(257)]), 431),
}  # fmt: skip


@pytest.mark.parametrize(("headers", "status"), REFUSED.values(), ids=REFUSED)
def test_what_http1_answers_with_a_status_is_answered_so_here(
    rig: Rig, headers: h2.Fields, status: int
) -> None:
    with H2Client(rig.proxy) as client:
        client.headers(1, headers)
        assert client.finish(1).status == status
        assert client.get(3, "/after").status == 200


def header_frame(payload: bytes, flags: int = END_HEADERS | END_STREAM, stream: int = 1) -> bytes:
    return frame(h2.HEADERS, flags, stream, payload)


GET = bytes((0x82, 0x84, 0x86, 0x01, 4)) + b"test"
"""``GET / http`` from the static table, and ``:authority: test``."""
POST = bytes((0x83,)) + GET[1:]

CONNECTION_ERRORS = {
    # The beginning (3.4).
    "HEADERS before SETTINGS": (header_frame(GET), h2.PROTOCOL_ERROR),
    "PING before SETTINGS": (frame(h2.PING, 0, 0, bytes(8)), h2.PROTOCOL_ERROR),
    "ACK before SETTINGS": (frame(h2.SETTINGS, h2.ACK, 0), h2.PROTOCOL_ERROR),
    # Frames (4).
    "large frame": (settings() + struct.pack(">I", 16385)[1:] + bytes(6), h2.FRAME_SIZE_ERROR),
    "malformed block": (settings() + header_frame(b"\xff" * 8), h2.COMPRESSION_ERROR),
    "index of nothing": (settings() + header_frame(b"\xbe"), h2.COMPRESSION_ERROR),
    "frame within a block": (
        settings() + header_frame(GET, 0) + frame(h2.PING, 0, 0, bytes(8)), h2.PROTOCOL_ERROR,
    ),
    "HEADERS within a block": (
        settings() + header_frame(GET, 0) + header_frame(GET, stream=3), h2.PROTOCOL_ERROR,
    ),
    "CONTINUATION of another stream": (
        settings() + header_frame(GET, 0) + frame(h2.CONTINUATION, 4, 3), h2.PROTOCOL_ERROR,
    ),
    "CONTINUATION without HEADERS": (settings() + frame(h2.CONTINUATION, 4, 1), h2.PROTOCOL_ERROR),
    # Streams (5.1).
    "HEADERS on stream 0": (settings() + header_frame(GET, stream=0), h2.PROTOCOL_ERROR),
    "even stream": (settings() + header_frame(GET, stream=2), h2.PROTOCOL_ERROR),
    "lower stream": (
        settings() + header_frame(GET, stream=5) + header_frame(GET, stream=3), h2.PROTOCOL_ERROR,
    ),
    "DATA on an idle stream": (settings() + frame(h2.DATA, 0, 1, b"a"), h2.PROTOCOL_ERROR),
    "DATA on stream 0": (settings() + frame(h2.DATA, 0, 0, b"a"), h2.PROTOCOL_ERROR),
    "WINDOW_UPDATE on an idle stream": (settings() + h2.window_update(1, 1), h2.PROTOCOL_ERROR),
    "RST_STREAM on an idle stream": (settings() + h2.reset(1), h2.PROTOCOL_ERROR),
    "RST_STREAM on stream 0": (settings() + h2.reset(0), h2.PROTOCOL_ERROR),
    # Each kind (6).
    "HEADERS that depend on themselves": (
        settings() + header_frame(struct.pack(">IB", 1, 16) + GET, 0x25), h2.PROTOCOL_ERROR,
    ),
    "HEADERS after RST_STREAM": (
        settings() + header_frame(POST, END_HEADERS) + h2.reset(1) + header_frame(GET),
        h2.STREAM_CLOSED,
    ),
    "padding longer than HEADERS": (
        settings() + header_frame(b"\x0a" + GET, 0xD), h2.PROTOCOL_ERROR,
    ),
    "HEADERS too short for its padding": (settings() + header_frame(b"", 0xD), h2.FRAME_SIZE_ERROR),
    "padding longer than DATA": (
        settings() + header_frame(POST, END_HEADERS) + frame(h2.DATA, h2.PADDED, 1, b"\x05ab"),
        h2.PROTOCOL_ERROR,
    ),
    "RST_STREAM of three bytes": (
        settings() + header_frame(POST, END_HEADERS) + frame(h2.RST_STREAM, 0, 1, bytes(3)),
        h2.FRAME_SIZE_ERROR,
    ),
    "SETTINGS on a stream": (settings() + frame(h2.SETTINGS, 0, 1), h2.PROTOCOL_ERROR),
    "SETTINGS of five bytes": (settings() + frame(h2.SETTINGS, 0, 0, bytes(5)), h2.FRAME_SIZE_ERROR),
    "ACK with settings": (settings() + frame(h2.SETTINGS, 1, 0, bytes(6)), h2.FRAME_SIZE_ERROR),
    "window too large": (
        settings(initial_window_size=2**31), h2.FLOW_CONTROL_ERROR,
    ),
    "PRIORITY on stream 0": (
        settings() + frame(h2.PRIORITY, 0, 0, bytes(5)), h2.PROTOCOL_ERROR,
    ),
    "push that is neither on nor off": (
        frame(h2.SETTINGS, 0, 0, struct.pack(">HI", 2, 2)), h2.PROTOCOL_ERROR,
    ),
    "frame size too small": (
        frame(h2.SETTINGS, 0, 0, struct.pack(">HI", 5, 16383)), h2.PROTOCOL_ERROR,
    ),
    "frame size too large": (
        frame(h2.SETTINGS, 0, 0, struct.pack(">HI", 5, 2**24)), h2.PROTOCOL_ERROR,
    ),
    "settings that make a window overflow": (
        settings() + header_frame(POST, END_HEADERS) + h2.window_update(1, 2**31 - 1 - 65535)
        + settings(initial_window_size=65536),
        h2.FLOW_CONTROL_ERROR,
    ),
    "unknown frame within a block": (
        settings() + header_frame(GET, 0) + frame(0x77, 0, 0), h2.PROTOCOL_ERROR,
    ),
    "GOAWAY on a stream": (settings() + frame(h2.GOAWAY, 0, 1, bytes(8)), h2.PROTOCOL_ERROR),
    "PUSH_PROMISE": (settings() + frame(h2.PUSH_PROMISE, 4, 1, bytes(4)), h2.PROTOCOL_ERROR),
    "PING on a stream": (settings() + frame(h2.PING, 0, 1, bytes(8)), h2.PROTOCOL_ERROR),
    "PING of seven bytes": (settings() + frame(h2.PING, 0, 0, bytes(7)), h2.FRAME_SIZE_ERROR),
    "WINDOW_UPDATE with an increment of 0": (settings() + h2.window_update(0, 0), h2.PROTOCOL_ERROR),
    "WINDOW_UPDATE of three bytes": (
        settings() + frame(h2.WINDOW_UPDATE, 0, 0, bytes(3)), h2.FRAME_SIZE_ERROR,
    ),
    "connection window overflow": (
        settings() + h2.window_update(0, 2**31 - 1), h2.FLOW_CONTROL_ERROR,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("sent", "code"), CONNECTION_ERRORS.values(), ids=CONNECTION_ERRORS)
def test_a_violation_ends_the_connection_with_its_code(rig: Rig, sent: bytes, code: int) -> None:
    with H2Client(rig.proxy, h2.PREFACE + sent) as client:
        assert client.goaway() == code


@pytest.mark.parametrize(
    "preface",
    [
        h2.PREFACE[:-2] + b"\0\0",
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        b"INVALID CONNECTION PREFACE\r\n\r\n",
    ],
)
def test_a_broken_preface_is_answered_with_goaway(rig: Rig, preface: bytes) -> None:
    with H2Client(rig.proxy, preface) as client:
        assert client.goaway() == h2.PROTOCOL_ERROR
        assert client.seen[0].kind == h2.SETTINGS


@pytest.mark.parametrize("cut", range(1, len(h2.PREFACE)))
def test_a_preface_may_come_in_pieces(rig: Rig, cut: int) -> None:
    with H2Client(rig.proxy, h2.PREFACE[:cut]) as client:
        client.send(h2.PREFACE[cut:] + settings())
        assert client.get(1).status == 200


@pytest.mark.parametrize("line", [b"GET /", b"GET / HTTP/9.9", b"PUT / HTTP/2.0", b"\x16\x03\x01"])
def test_what_is_no_preface_is_answered_by_http1(rig: Rig, line: bytes) -> None:
    with rig.connect() as client:
        client.send(line + b"\r\n\r\n")
        assert client.read_head().status in (400, 505)


def test_a_later_goaway_names_no_higher_stream(rig: Rig) -> None:
    with H2Client(rig.proxy) as client:
        client.headers(1, fields("POST"), END_HEADERS)
        client.send(frame(h2.GOAWAY, 0, 0, bytes(8)))
        assert client.read_until(h2.GOAWAY).payload[:4] == (1).to_bytes(4)
        client.headers(3, fields())
        assert client.finish(3).reset == h2.REFUSED_STREAM
        client.send(h2.window_update(0, 0))
        assert client.goaway() == h2.PROTOCOL_ERROR
        assert client.goaways[-1].payload[:4] == (1).to_bytes(4)


def test_the_end_of_a_connection_is_announced_to_a_client_that_leaves(rig: Rig) -> None:
    with H2Client(rig.proxy) as client:
        assert client.get(1).status == 200
        client.send(frame(h2.GOAWAY, 0, 0, bytes(8)))
        assert client.goaway() == h2.NO_ERROR


def test_late_frames_on_a_stream_we_reset_are_of_no_concern(rig: Rig) -> None:
    with H2Client(rig.proxy) as client:
        client.headers(1, fields("POST", "/", ("connection", "close")), END_HEADERS)
        assert client.finish(1).reset == h2.PROTOCOL_ERROR
        client.data(
            1, bytes(2**21), end=True
        )  # (counts for the connection, which is given room again)
        client.send(h2.window_update(1, 5) + h2.reset(1))
        assert client.get(3).status == 200
        resets = [one for one in client.seen if (one.kind, one.stream) == (h2.RST_STREAM, 1)]
        assert len(resets) == 1
        assert client.given[0] > 2**21


def test_late_trailers_on_a_stream_we_reset_are_of_no_concern(rig: Rig) -> None:
    with H2Client(rig.proxy) as client:
        client.headers(1, fields("POST", "/", ("connection", "close")), END_HEADERS)
        assert client.finish(1).reset == h2.PROTOCOL_ERROR
        client.headers(1, [("late", "trailer")])
        assert client.get(3, "/", ("late", "trailer")).status == 200, "HPACK is out of step"


def test_headers_after_the_end_of_a_stream(rig: Rig) -> None:
    with H2Client(rig.proxy) as client:
        assert client.get(1).status == 200
        client.headers(1, fields())
        assert client.goaway() == h2.STREAM_CLOSED


def test_data_after_the_end_of_a_request(rig: Rig) -> None:
    with H2Client(rig.proxy) as client:
        client.headers(1, fields("GET", "/hold"))
        client.data(1, b"more")
        assert client.finish(1).reset == h2.STREAM_CLOSED


def test_headers_after_the_end_of_a_request(rig: Rig) -> None:
    with H2Client(rig.proxy) as client:
        client.headers(1, fields("GET", "/hold"))
        client.headers(1, [("a", "b")])
        assert client.finish(1).reset == h2.STREAM_CLOSED


def test_a_stream_window_that_overflows_ends_the_stream(rig: Rig) -> None:
    with H2Client(rig.proxy) as client:
        client.headers(1, fields("POST", "/hold"), END_HEADERS)
        client.send(h2.window_update(1, 2**31 - 1))
        assert client.finish(1).reset == h2.FLOW_CONTROL_ERROR
        assert client.get(3).status == 200


@pytest.mark.parametrize(
    ("length", "body", "end"),
    [("3", b"ab", True), ("3", b"abcd", False), ("0", b"a", True), ("3", b"", True)],
)
def test_a_body_that_has_not_its_length_ends_the_stream(
    rig: Rig, length: str, body: bytes, end: bool
) -> None:
    with H2Client(rig.proxy) as client:
        block = client.block(fields("POST", "/", ("content-length", length)))
        data = frame(h2.DATA, END_STREAM if end else 0, 1, body)
        client.send(header_frame(block, END_HEADERS) + data)
        assert client.finish(1).reset == h2.PROTOCOL_ERROR
        assert client.get(3).status == 200


def test_a_body_that_trailers_end_too_early(rig: Rig) -> None:
    with H2Client(rig.proxy) as client:
        client.headers(1, fields("POST", "/", ("content-length", "3")), END_HEADERS)
        client.data(1, b"ab")
        client.headers(1, [("a", "b")])
        assert client.finish(1).reset == h2.PROTOCOL_ERROR


@pytest.mark.parametrize(
    "trailers",
    [[(":path", "/")], [("A", "b")], [("connection", "a")], [("upgrade", "a")], [("a", "b\n")]],
)
def test_malformed_trailers_end_the_stream(rig: Rig, trailers: h2.Fields) -> None:
    with H2Client(rig.proxy) as client:
        client.headers(1, fields("POST"), END_HEADERS)
        client.headers(1, trailers)
        assert client.finish(1).reset == h2.PROTOCOL_ERROR
        assert client.get(3).status == 200


def test_trailers_that_do_not_end_the_stream(rig: Rig) -> None:
    with H2Client(rig.proxy) as client:
        client.headers(1, fields("POST"), END_HEADERS)
        client.headers(1, [("a", "b")], END_HEADERS)
        assert client.finish(1).reset == h2.PROTOCOL_ERROR


def test_a_window_update_by_nothing_ends_its_stream(rig: Rig) -> None:
    with H2Client(rig.proxy) as client:
        client.headers(1, fields("POST", "/hold"), END_HEADERS)
        client.send(h2.window_update(1, 0))
        assert client.finish(1).reset == h2.PROTOCOL_ERROR
        assert client.get(3).status == 200


def test_settings_and_pings_are_acknowledged_and_acknowledgements_are_not(rig: Rig) -> None:
    with H2Client(rig.proxy) as client:
        assert client.read_until(h2.SETTINGS, flags=h2.ACK).payload == b""
        client.send(frame(h2.PING, h2.ACK, 0, b"answered"))
        client.send(frame(h2.PING, 0, 0, b"question"))
        assert client.read_until(h2.PING, flags=h2.ACK).payload == b"question"
        client.send(settings(initial_window_size=100))
        assert client.read_until(h2.SETTINGS, flags=h2.ACK).payload == b""


def test_a_reset_is_not_answered_by_a_reset(rig: Rig) -> None:
    with H2Client(rig.proxy) as client:
        client.headers(1, fields("POST", "/hold"), END_HEADERS)
        client.send(h2.reset(1, 0x7777))
        assert client.get(3).status == 200
        assert h2.RST_STREAM not in {found.kind for found in client.seen}


def test_what_must_be_ignored_is_ignored(rig: Rig) -> None:
    with H2Client(rig.proxy) as client:
        client.send(frame(0x77, 0xFF, 0, b"unknown") + frame(0x77, 0, 9, b""))
        client.send(frame(h2.SETTINGS, 0, 0, struct.pack(">HI", 0x7777, 1)))
        client.send(frame(h2.PRIORITY, 0, 3, bytes(5)))
        client.send(frame(h2.PING, 0, 0, b"pingpong"))
        assert client.read_until(h2.PING).payload == b"pingpong"
        assert client.get(1).status == 200
        sent = bytearray(header_frame(GET, 0xFF & ~(h2.PADDED | h2.HAS_PRIORITY), 3))
        sent[5] |= 0x80  # the reserved bit
        client.send(bytes(sent))
        assert client.finish(3).status == 200


def test_a_window_may_become_negative(rig: Rig) -> None:
    with H2Client(rig.proxy, h2.PREFACE + settings(initial_window_size=20)) as client:
        client.headers(1, fields("GET", "/large"))
        assert len(client.read_until(h2.DATA, 1).payload) == 20
        client.send(settings(initial_window_size=5) + h2.window_update(1, 15))
        client.send(frame(h2.PING, 0, 0, b"pingpong"))
        client.read_until(h2.PING, flags=h2.ACK)
        assert len(client.answers[1].body) == 20
        client.send(h2.window_update(1, 7))
        assert len(client.read_until(h2.DATA, 1).payload) == 7


def test_padding_and_priority_and_continuations(rig: Rig) -> None:
    with H2Client(rig.proxy) as client:
        padded = b"\x03" + bytes(5) + GET[:2] + b"\0\0\0"
        client.send(header_frame(padded, END_STREAM | h2.PADDED | h2.HAS_PRIORITY))
        client.send(frame(h2.CONTINUATION, 0, 1, GET[2:4]))
        client.send(frame(h2.CONTINUATION, END_HEADERS, 1, GET[4:]))
        assert client.finish(1).status == 200
        client.headers(3, fields("POST", "/padded"), END_HEADERS)
        client.send(frame(h2.DATA, h2.PADDED | END_STREAM, 3, b"\x02body\0\0"))
        assert client.finish(3).status == 200
        assert rig.origin.requests[-1].body == b"body"


def test_one_stream_too_many_is_refused_and_may_be_tried_again(rig: Rig) -> None:
    with H2Client(rig.proxy) as client:
        for number in range(128):
            client.headers(2 * number + 1, fields("POST"), END_HEADERS)
        client.headers(257, fields())
        assert client.finish(257).reset == h2.REFUSED_STREAM
        client.data(1, b"", end=True)
        assert client.finish(1).status == 200
        assert client.get(259).status == 200


def test_the_client_learns_the_limits(rig: Rig) -> None:
    with H2Client(rig.proxy) as client:
        first = client.read_frame()
        assert first is not None
        assert first.kind == h2.SETTINGS
        values = dict(struct.iter_unpack(">HI", first.payload))
        assert values[h2.MAX_CONCURRENT_STREAMS] == 128
        assert values[h2.INITIAL_WINDOW_SIZE] == 128 * 1024
        assert values[2] == 0, "nothing is pushed"
