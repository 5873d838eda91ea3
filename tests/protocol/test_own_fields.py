"""Names that a client must not bring, in HTTP/1.1 and HTTP/2."""

from __future__ import annotations

import pytest
from hpack import Encoder
from support.cost import cost

from pingap.http.headers import Headers, make_headers
from pingap.http.request import Request
from pingap.protocol.events import HeadLimits
from pingap.protocol.http1_request import RequestDecoder
from pingap.protocol.http2_hpack import HeadReader
from pingap.protocol.http2_request import read_head
from pingap.protocol.own_fields import drop_twins, take_own


def over_http1(fields: list[tuple[str, str]], limits: HeadLimits) -> Request:
    decoder = RequestDecoder(limits)
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    decoder.feed(f"GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n".encode())
    request = decoder.next()
    assert isinstance(request, Request)
    return request


def over_http2(fields: list[tuple[str, str]], limits: HeadLimits) -> Request:
    start = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")]
    reader = HeadReader(read_head, limits)
    return reader.head(Encoder().encode([*start, *fields])).request(ended=True)


@pytest.mark.parametrize("read", [over_http1, over_http2])
@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("x-retry-attempt", False), ("x-pingap-plugin-timing", False), ("x_retry_attempt", False),
        ("x_forwarded_for", False), ("x-forwarded_for", False), ("x_real-ip", False),
        ("x_forwarded_anything", False), ("content_length", False), ("transfer_encoding", False),
        ("x_twin", False), ("x_mine", True), ("x-mine", True), ("_", True), ("x_twin_", True),
    ],
)  # fmt: skip
def test_names(read: object, name: str, kept: bool) -> None:
    fields = [("x-twin", "1"), (name, "2"), ("accept", "*/*")]
    for keep_shadows in (False, True):
        request = read(fields, HeadLimits(keep_shadows=keep_shadows))  # type: ignore[operator]
        own = name in ("x-retry-attempt", "x-pingap-plugin-timing")
        assert (name in request.headers) is (kept or (keep_shadows and not own))
        assert request.asks_timing is (name == "x-pingap-plugin-timing")
        assert request.header("x-twin") == "1"


def test_twins_of_configured_names() -> None:
    headers = Headers({"X_User": "1", "x-us_er": "1", "X-User": "2", "x_us-er": "3"})
    drop_twins(headers, frozenset((b"x-user", b"x-us-er")))
    assert headers.items() == [("X-User", "2")]


def _take(number: int) -> None:
    names = [f"a{one}{end}" for one in range(number) for end in ("-b", "_b")]
    headers = make_headers([one.encode() for one in names], [f"{one}: ".encode() for one in names])
    take_own(headers, keep_shadows=False)
    assert len(headers) == number


def test_looking_for_them_costs_time_in_proportion() -> None:
    assert cost(_take, 8000) < 24 * cost(_take, 1000)
