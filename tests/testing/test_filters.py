"""``filter_every_cut``, ``make_request``, ``make_context`` and ``configuration_problems``."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest
from testing.samples import Guard, UpperFilter

from pingap import AsyncBodyFilter, BodyFilter, Headers, HTTPError, ThreadedBodyFilter
from pingap.testing import (
    configuration_problems,
    filter_every_cut,
    make_context,
    make_request,
)


class Naive(BodyFilter):
    """Replaces a word, and misses one that was cut."""

    def feed(self, chunk: bytes) -> bytes:
        return chunk.replace(b"cat", b"dog")


class Held(BodyFilter):
    """Sends everything at the end, and counts it."""

    def __init__(self) -> None:
        self.kept = b""

    def feed(self, chunk: bytes) -> bytes:
        self.kept += chunk
        return b""

    def end(self, trailers: Headers) -> bytes:
        trailers.set("X-Size", str(len(self.kept)))
        return self.kept.replace(b"cat", b"dog")


class Chunks(BodyFilter):
    """Counts chunks in a trailer: this depends on cuts."""

    count = 0

    def feed(self, chunk: bytes) -> bytes:
        self.count += 1
        return chunk

    def end(self, trailers: Headers) -> bytes:
        trailers.set("X-Chunks", str(self.count))
        return b""


class AsyncHeld(AsyncBodyFilter):
    def __init__(self) -> None:
        self.inner = Held()

    async def feed(self, chunk: bytes) -> bytes:
        await anyio.lowlevel.checkpoint()
        return self.inner.feed(chunk)

    async def end(self, trailers: Headers) -> bytes:
        await anyio.lowlevel.checkpoint()
        return self.inner.end(trailers)


class AsyncNaive(AsyncBodyFilter):
    async def feed(self, chunk: bytes) -> bytes:
        await anyio.lowlevel.checkpoint()
        return chunk.replace(b"cat", b"dog")


def test_async_filters() -> None:
    body = b"a cat is a cat"
    for make in (AsyncHeld, lambda: ThreadedBodyFilter(Held())):
        trailers = Headers()
        assert filter_every_cut(make, body, trailers=trailers) == body.replace(b"cat", b"dog")
        assert trailers.items() == [("X-Size", str(len(body)))]
    with pytest.raises(AssertionError, match="from: "):
        filter_every_cut(AsyncNaive, body)


def test_a_context_may_have_a_body() -> None:
    assert anyio.run(make_context(body=b"abc").read_body, 3) == b"abc"
    assert anyio.run(make_context().read_body, 3) == b""
    with pytest.raises(HTTPError):
        anyio.run(make_context(body=b"abc").read_body, 2)


@pytest.mark.parametrize("body", [b"", b"a", b"the cat", b"a cat is a cat is a cat"])
def test_a_filter_that_does_not_mind(body: bytes) -> None:
    trailers = Headers({"X-A": "b"})
    assert filter_every_cut(Held, body, trailers=trailers) == body.replace(b"cat", b"dog")
    assert trailers.items() == [("X-A", "b"), ("X-Size", str(len(body)))]
    assert filter_every_cut(UpperFilter, body) == body.upper()


@pytest.mark.parametrize("body", [b"the cat", b"a cat is a cat is a cat"])
def test_a_filter_that_misses_what_is_cut(body: bytes) -> None:
    with pytest.raises(AssertionError, match=r"uncut: .*dog.*\ncut: .*cat.*\nfrom: .* \| "):
        filter_every_cut(Naive, body)


def test_trailers_may_not_depend_on_cuts() -> None:
    with pytest.raises(AssertionError, match="trailers uncut"):
        filter_every_cut(Chunks, b"ab")


def test_every_way_of_cutting_a_short_body_is_tried() -> None:
    seen: set[tuple[bytes, ...]] = set()

    class Watch(BodyFilter):
        def __init__(self) -> None:
            self.pieces: list[bytes] = []

        def feed(self, chunk: bytes) -> bytes:
            self.pieces.append(chunk)
            return chunk

        def end(self, trailers: Headers) -> bytes:
            seen.add(tuple(self.pieces))
            return b""

    filter_every_cut(Watch, b"abcdefgh")
    assert len(seen) == 2**7
    assert all(b"".join(pieces) == b"abcdefgh" and b"" not in pieces for pieces in seen)


def test_phases_can_be_called() -> None:
    guard = Guard(Guard.Settings(allow="10.0.0.1"))
    request = make_request("POST", "/a?b=c", host="h.test:8080", headers={"X-A": "b"})
    assert (request.method, request.path, request.query) == ("POST", "/a", "b=c")
    assert (request.host, request.header("host"), request.header("x-a")) == (
        "h.test",
        "h.test:8080",
        "b",
    )
    assert guard.request(request, make_context(client_ip="10.0.0.1")) is None
    refused = guard.request(request, make_context(location="shop"))
    assert refused is not None
    assert refused.status == 403


def test_a_context_behind_a_proxy() -> None:
    ctx = make_context(client_ip="10.0.0.9", scheme="http", trusted=["10.0.0.0/8"])
    request = make_request(headers={"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https"})
    assert (ctx.client_ip(request), ctx.scheme(request)) == ("192.0.2.1", "https")
    assert make_request(host="").header("host") is None


TOML = """
[plugins.guard]
category = "guard"
allow = 1
alow = "x"
"""


def test_problems_of_a_configuration() -> None:
    found = configuration_problems(TOML, categories=[Guard])
    assert len(found) == 2
    assert found[0].startswith("pingap.toml:4: plugins.guard.allow: found 1 (integer)")
    assert "plugins.guard.alow: unknown key" in found[1]
    assert configuration_problems('[plugins.guard]\ncategory = "guard"\n', categories=[Guard]) == []
