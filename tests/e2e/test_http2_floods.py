"""Clients of HTTP/2 that mean harm: each attack ends its connection, and nobody else notices."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support import h2
from support.h2 import END_HEADERS, END_STREAM, H2Client, fields, frame
from support.rig import Rig, resident, running, running_process

from pingap.testing import Served

MANY = 5000


def script(served: Served) -> None:
    """Answer nothing but ``/ok``, so that streams stay open."""
    while (request := served.read_request()) is not None:
        if request.target != "/ok":
            served.receive()
            return
        served.respond()


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with running(script, server="enabled_h2 = true") as rig:
        yield rig
        assert " ERROR " not in rig.proxy.log


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Rig]:
    """A process of its own, so that its memory can be measured; it has served."""
    with running_process(tmp_path, script, server="enabled_h2 = true") as rig:
        with H2Client(rig.proxy) as client:
            assert client.get(1, "/ok").status == 200
        yield rig


def rapid_reset(client: H2Client) -> bytes:
    """Open streams and cancel them (CVE-2023-44487)."""
    return b"".join(
        frame(h2.HEADERS, END_HEADERS | END_STREAM, number, client.block(fields("GET", "/hold")))
        + h2.reset(number)
        for number in range(1, 2 * MANY, 2)
    )


def made_reset(client: H2Client) -> bytes:
    """Open streams and make the proxy reset them (CVE-2025-8671)."""
    return b"".join(
        frame(h2.HEADERS, END_HEADERS, number, client.block(fields("POST", "/hold")))
        + h2.window_update(number, 2**31 - 1)
        for number in range(1, 2 * MANY, 2)
    )


def malformed(client: H2Client) -> bytes:
    """Send requests that are none."""
    block = client.block([(":method", "GET")])
    return b"".join(
        frame(h2.HEADERS, END_HEADERS | END_STREAM, number, block)
        for number in range(1, 2 * MANY, 2)
    )


def too_many_streams(client: H2Client) -> bytes:
    """Open streams without end."""
    return b"".join(
        frame(h2.HEADERS, END_HEADERS, number, client.block(fields("POST", "/hold")))
        for number in range(1, 2 * MANY, 2)
    )


def continuations(client: H2Client) -> bytes:
    """Go on with a header block without end (CVE-2024-27983 and others)."""
    part = client.block([("a", "b" * 100)])
    return frame(h2.HEADERS, END_STREAM, 1, client.block(fields())) + MANY * frame(
        h2.CONTINUATION, 0, 1, part
    )


def empty_continuations(client: H2Client) -> bytes:
    """The same with nothing in them (CVE-2019-9518)."""
    return frame(h2.HEADERS, END_STREAM, 1, client.block(fields())) + MANY * frame(
        h2.CONTINUATION, 0, 1
    )


def empty_data(client: H2Client) -> bytes:
    """Send bodies of nothing (CVE-2019-9518)."""
    request = frame(h2.HEADERS, END_HEADERS, 1, client.block(fields("POST", "/hold")))
    return request + MANY * frame(h2.DATA, 0, 1)


def padding(client: H2Client) -> bytes:
    """Send bodies of nothing but padding."""
    request = frame(h2.HEADERS, END_HEADERS, 1, client.block(fields("POST", "/hold")))
    return request + MANY * frame(h2.DATA, h2.PADDED, 1, b"\x01\0")


def pings(client: H2Client) -> bytes:
    """Ask for answers (CVE-2019-9512)."""
    return MANY * frame(h2.PING, 0, 0, bytes(8))


def settings(client: H2Client) -> bytes:
    """Change settings (CVE-2019-9515)."""
    return MANY * h2.settings(initial_window_size=1)


def large_settings(client: H2Client) -> bytes:
    """Change many settings at once."""
    return frame(h2.SETTINGS, 0, 0, 2000 * struct.pack(">HI", 4, 1))


def priorities(client: H2Client) -> bytes:
    """Change priorities (CVE-2019-9513)."""
    return MANY * frame(h2.PRIORITY, 0, 1, bytes(4) + b"\x07")


def window_updates(client: H2Client) -> bytes:
    """Open the window bit by bit (CVE-2019-9511)."""
    return MANY * h2.window_update(0, 1)


def unknown_frames(client: H2Client) -> bytes:
    """Send frames nobody knows."""
    return MANY * frame(0x77, 0, 0)


def header_bomb(client: H2Client) -> bytes:
    """Name a large entry of the table again and again (CVE-2016-6581)."""
    entry = b"\x40\x01a\x7f\xa1\x1e" + b"b" * 4000  # literal, indexed; 4000 bytes
    pseudo = bytes((0x82, 0x84, 0x86, 0x01, 4)) + b"test"
    return frame(h2.HEADERS, END_HEADERS | END_STREAM, 1, pseudo + entry + b"\xbe" * 1000)


ATTACKS = [
    rapid_reset, made_reset, malformed, too_many_streams, continuations, empty_continuations,
    empty_data, padding, pings, settings, large_settings, priorities, window_updates,
    unknown_frames, header_bomb,
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_ends_its_connection(rig: Rig, attack: Callable[[H2Client], bytes]) -> None:
    with H2Client(rig.proxy) as client, H2Client(rig.proxy) as other:
        assert other.get(1, "/ok").status == 200
        with suppress(ConnectionError):  # not all of it is read
            client.send(attack(client))
        assert client.goaway() == h2.ENHANCE_YOUR_CALM
        assert other.get(3, "/ok").status == 200


def test_a_rapid_reset_does_not_reach_the_upstream_many_times(rig: Rig) -> None:
    before = rig.origin.connections
    with H2Client(rig.proxy) as client:
        with suppress(ConnectionError):
            client.send(rapid_reset(client))
        client.goaway()
    assert rig.origin.connections - before <= 300


def test_a_slow_reader_does_not_make_answers_pile_up(process: Rig) -> None:
    before = resident(process.proxy)
    with H2Client(process.proxy) as client:
        client.raw.sock.settimeout(1)
        block = client.block(fields("HEAD", "/missing", authority="x" * 1000))
        number = 1
        with suppress(TimeoutError, ConnectionError):
            while number < 400_000:
                many = range(number, number + 200, 2)
                client.send(
                    b"".join(
                        frame(h2.HEADERS, END_HEADERS | END_STREAM, one, block) for one in many
                    )
                )
                number += 200
        assert number < 400_000, "requests are read without end"
    assert resident(process.proxy) - before < 16 * 1024 * 1024


def test_a_client_that_cancels_much_but_not_all(rig: Rig) -> None:
    with H2Client(rig.proxy) as client:
        for number in range(1, 2400, 4):
            client.headers(number, fields("GET", "/hold"))
            client.send(h2.reset(number))
            assert client.get(number + 2, "/ok").status == 200


def test_a_window_that_opens_in_small_steps_is_honest_if_data_flows(rig: Rig) -> None:
    """Many WINDOW_UPDATEs are fine as long as each lets something through."""
    start = h2.PREFACE + h2.settings(initial_window_size=0)
    with H2Client(rig.proxy, start) as client:
        client.headers(1, fields("GET", "/ok"))
        for size in (1, 2):
            client.send(h2.window_update(1, 1))
            while len(client.answers.setdefault(1, h2.H2Answer()).body) < size:
                assert client.read_frame() is not None
        assert client.finish(1).body == b"ok"


def test_calls_whose_answers_have_begun_may_be_cancelled() -> None:
    """As gRPC clients do that watch something until it happens."""

    def begin(served: Served) -> None:
        while served.read_request() is not None:
            served.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")

    with running(begin, server="enabled_h2 = true") as rig, H2Client(rig.proxy) as client:
        for stream in range(1, 801, 2):
            client.headers(stream, fields("GET", "/"))
            client.read_until(h2.DATA, stream)
            client.send(h2.reset(stream))
        client.headers(801, fields("GET", "/"))
        client.read_until(h2.DATA, 801)
        assert not client.goaways


def test_a_flood_is_logged(rig: Rig) -> None:
    with H2Client(rig.proxy) as client, suppress(OSError):
        client.send(rapid_reset(client))
        client.goaway()
    rig.proxy.wait_for_log("too many streams reset")
