"""Compression as clients see it: through a proxy, over sockets."""

from __future__ import annotations

import gc
import gzip
import shutil
import subprocess
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import brotli
import pytest
import zstandard
from pingap_compression.filters import Compressing
from pingap_content.decoders import Limits, decoder

from pingap import Plugin, Request, Response, hookimpl
from pingap.testing import Answer, Proxy, Upstream

LEVELS = {"gzip_level": 5, "br_level": 4, "zstd_level": 3}
TEXT = b"".join(b"line %d of a page\n" % number for number in range(300))
HTML = {"Content-Type": "text/html"}
ALL = {"Accept-Encoding": "gzip, br, zstd"}
GZIP = {"Accept-Encoding": "gzip"}
NO_LIMITS = Limits(0, 100_000)


def plain(answer: Answer) -> bytes:
    """Return the body of an answer without its coding."""
    coding = answer.header("content-encoding")
    if coding is None:
        return answer.body
    reader = decoder(coding, NO_LIMITS)
    body = reader.feed(answer.body)
    assert reader.is_complete
    return body


@pytest.fixture
def site(proxy: Proxy, upstream: Upstream) -> Proxy:
    proxy.configure("servers.web", enabled_h2=True)
    proxy.location("/", name="site", plugins=[("compression", LEVELS)])
    upstream.reply("/page", TEXT, headers={**HTML, "ETag": '"a"'})
    return proxy


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_a_page_in_each_coding(coding: str, site: Proxy) -> None:
    answer = site.get("/page", headers={"Accept-Encoding": coding})
    assert answer.headers["Content-Encoding"] == coding
    assert answer.headers.get_all("Vary") == ["Accept-Encoding"]
    assert answer.headers["ETag"] == 'W/"a"'
    assert len(answer.body) < len(TEXT) // 3
    assert plain(answer) == TEXT


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_a_page_over_http2(coding: str, site: Proxy) -> None:
    with site.connect_http2() as client:
        answer = client.request("GET", "/page", headers={"accept-encoding": coding})
    assert answer.header("content-encoding") == coding
    assert plain(answer) == TEXT


@pytest.mark.parametrize("chunks", [1, 7, 40])
@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_long_bodies(coding: str, chunks: int, site: Proxy, upstream: Upstream) -> None:
    body = TEXT * 200  # more than a megabyte: threads
    size = len(body) // chunks + 1
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    upstream.stream("/long", parts, headers=HTML)
    answer = site.get("/long", headers={"Accept-Encoding": coding})
    assert (answer.complete, plain(answer)) == (True, body)


def test_a_body_that_is_at_hand_has_a_length(site: Proxy) -> None:
    answer = site.get("/page", headers=GZIP)
    assert int(answer.headers["Content-Length"]) == len(answer.body)


def test_clients_that_want_no_coding(site: Proxy) -> None:
    for headers in ({}, {"Accept-Encoding": "identity, gzip;q=0.5"}, {"Accept-Encoding": ""}):
        answer = site.get("/page", headers=headers)
        assert (answer.body, answer.header("content-encoding")) == (TEXT, None)
        assert (answer.header("vary"), answer.header("etag")) == ("Accept-Encoding", '"a"')


@pytest.mark.parametrize("headers", [ALL, {}])
def test_head_has_the_fields_of_get(headers: dict[str, str], site: Proxy) -> None:
    get, head = site.get("/page", headers=headers), site.request("HEAD", "/page", headers=headers)
    skipped = ("date", "content-length", "transfer-encoding")

    def fields(answer: Answer) -> list[tuple[str, str]]:
        return [(name, value) for name, value in answer.headers if name.lower() not in skipped]

    assert (fields(head), head.body) == (fields(get), b"")
    assert head.header("content-length") is None  # which may be left out (RFC 9110, 8.6)


def test_ranges_pass(site: Proxy, upstream: Upstream) -> None:
    headers = {**HTML, "Content-Range": "bytes 0-99/5000", "Accept-Ranges": "bytes", "ETag": '"a"'}
    upstream.reply("/part", TEXT[:100], 206, headers=headers)
    upstream.reply("/none", b"no such bytes, at all", 416, headers=HTML)
    part = site.get("/part", headers={**ALL, "Range": "bytes=0-99"})
    assert (part.body, part.header("content-encoding")) == (TEXT[:100], None)
    assert (part.header("etag"), part.header("accept-ranges")) == ('"a"', "bytes")
    assert part.header("vary") == "Accept-Encoding"
    assert site.get("/none", headers=ALL).body == b"no such bytes, at all"
    whole = site.get("/page", headers={**GZIP, "Range": "bytes=0-99"})  # which the upstream ignores
    assert (whole.status, plain(whole)) == (200, TEXT)


def test_304_has_the_weak_tag(site: Proxy, upstream: Upstream) -> None:
    upstream.reply("/same", b"", 304, headers={"ETag": '"a"'})
    answer = site.get("/same", headers={**ALL, "If-None-Match": 'W/"a"'})
    assert (answer.status, answer.header("etag")) == (304, 'W/"a"')
    assert answer.header("content-encoding") is None


@pytest.mark.parametrize("status", [204, 205])
def test_responses_without_content(status: int, site: Proxy, upstream: Upstream) -> None:
    upstream.reply("/empty", b"", status, headers=HTML)
    answer = site.get("/empty", headers=ALL)
    assert (answer.status, answer.body, answer.header("content-encoding")) == (status, b"", None)


def test_what_is_compressed_is_not_compressed_again(proxy: Proxy, upstream: Upstream) -> None:
    upstream.reply("/", gzip.compress(TEXT), headers={**HTML, "Content-Encoding": "gzip"})
    upstream.reply("/page", TEXT, headers=HTML)
    twice = [
        ("compression", {**LEVELS, "mode": "upstream"}),
        ("compression", {**LEVELS, "mode": "upstream"}),
        ("compression", LEVELS),
    ]
    proxy.location("/", plugins=twice)
    for path in ("/", "/page"):
        answer = proxy.get(path, headers=GZIP)
        assert answer.headers.get_all("Content-Encoding") == ["gzip"]
        assert gzip.decompress(answer.body) == TEXT


def test_error_pages_are_plain(site: Proxy, upstream: Upstream) -> None:
    upstream.raw("/broken", b"HTTP/1.1 20", then="close")
    answer = site.get("/broken", headers=ALL)
    assert (answer.status, answer.header("content-encoding")) == (502, None)
    assert b"<html" in answer.body


class Fails(Plugin):
    category = "fails"

    @hookimpl
    def response(self, request: Request, response: Response) -> None:
        raise LookupError("no such page")


def test_an_error_behind_it_leads_to_a_plain_page(proxy: Proxy, upstream: Upstream) -> None:
    upstream.reply("/", TEXT, headers=HTML)
    proxy.location("/", plugins=[("compression", LEVELS), Fails])
    answer = proxy.get("/", headers=ALL)
    proxy.expect_error("no such page")
    assert (answer.status, answer.header("content-encoding")) == (500, None)
    assert b"html" in answer.body


def test_answers_of_plugins_are_compressed(proxy: Proxy) -> None:
    mock = {"data": TEXT.decode(), "headers": ["Content-Type: text/plain"]}
    proxy.location("/", plugins=[("compression", LEVELS), ("mock", mock)])
    answer = proxy.get("/", headers=ALL)
    assert (answer.header("content-encoding"), plain(answer)) == ("zstd", TEXT)


def test_trailers_stay_but_for_digests(site: Proxy, upstream: Upstream) -> None:
    trailers = {"X-Sum": "6", "Content-Digest": "sha-256=:x:"}
    upstream.reply("/sum", [TEXT], headers=HTML, trailers=trailers)
    answer = site.get("/sum", headers={**ALL, "TE": "trailers"})
    assert plain(answer) == TEXT
    assert list(answer.trailers) == [("X-Sum", "6")]


def read_text(client: Any, reader: Any, size: int) -> bytes:
    text = b""
    while len(text) < size:
        text += reader.feed(client.read_some())
    return text


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
@pytest.mark.parametrize("size", [10, 30_000])
def test_events_leave_at_once(coding: str, size: int, site: Proxy, upstream: Upstream) -> None:
    event = b"data: " + b"x" * size + b"\n\n"
    more = threading.Semaphore(0)
    sent: list[float] = []

    def events() -> Iterator[bytes]:
        for _ in range(6):
            sent.append(time.perf_counter())
            yield event
            more.acquire(timeout=10)

    upstream.stream("/events", events, headers={"Content-Type": "text/event-stream"})
    reader = decoder(coding, NO_LIMITS)
    waited = []
    with site.connect() as client:
        client.send_request("GET", "/events", headers={"Accept-Encoding": coding})
        assert client.read_head().header("content-encoding") == coding
        for number in range(6):
            assert read_text(client, reader, len(event)) == event
            waited.append(time.perf_counter() - sent[number])
            more.release()
        assert reader.feed(client.read_rest()) == b""
    assert reader.is_complete
    assert min(waited) < 0.05, waited  # the best of six, as the machine may be busy


def test_a_slow_body_of_known_length_is_not_held_back(site: Proxy, upstream: Upstream) -> None:
    go = threading.Event()

    def handle(served: Any, request: Any) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2000\r\n\r\n"
        served.send(head + b"a" * 1000)
        go.wait(10)
        served.send(b"b" * 1000)

    upstream.on("/slow", handle)
    reader = decoder("gzip", NO_LIMITS)
    with site.connect() as client:
        client.send_request("GET", "/slow", headers=GZIP)
        client.read_head()
        assert read_text(client, reader, 1000) == b"a" * 1000
        go.set()
        assert reader.feed(client.read_rest()) == b"b" * 1000


def test_a_body_that_the_upstream_cuts_stays_incomplete(site: Proxy, upstream: Upstream) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 99999\r\n\r\n"
    upstream.raw("/cut", head, TEXT, then="close")
    answer = site.get("/cut", headers=GZIP)
    assert not answer.complete
    reader = decoder("gzip", NO_LIMITS)
    assert TEXT.startswith(reader.feed(answer.body))
    assert not reader.is_complete


def test_clients_that_leave(site: Proxy, upstream: Upstream) -> None:
    upstream.stream("/endless", lambda: iter(lambda: TEXT, None), headers=HTML)
    for coding in ("gzip", "br", "zstd"):
        with site.connect() as client:
            client.send_request("GET", "/endless", headers={"Accept-Encoding": coding})
            client.read_head()
            client.read_some()
    assert plain(site.get("/page", headers=GZIP)) == TEXT
    site.wait_for_access_log(4)
    held = [one for one in gc.get_objects() if type(one) is Compressing]
    assert [one for one in held if one._encoder is not None] == []
    assert site.metrics().value("pingap_http_requests_current", location="site") == 0


# Decompression.

CODED = {
    "gzip": gzip.compress(TEXT),
    "deflate": zlib.compress(TEXT),
    "br": brotli.compress(TEXT),
    "zstd": zstandard.compress(TEXT),
}


@pytest.fixture
def decompressing(proxy: Proxy, upstream: Upstream) -> Proxy:
    keys = {"decompression": True, "max_decompressed_size": "2MiB"}
    proxy.location("/", name="site", plugins=[("compression", keys)])
    for coding, data in CODED.items():
        upstream.reply(f"/{coding}", data, headers={**HTML, "Content-Encoding": coding})
    return proxy


@pytest.mark.parametrize("coding", CODED)
def test_clients_that_cannot_get_it_plain(coding: str, decompressing: Proxy) -> None:
    other = "br" if coding == "gzip" else "gzip"
    for headers in ({}, {"Accept-Encoding": other}):
        answer = decompressing.get(f"/{coding}", headers=headers)
        assert (answer.body, answer.header("content-encoding")) == (TEXT, None)
        assert answer.header("vary") == "Accept-Encoding"
    answer = decompressing.get(f"/{coding}", headers={"Accept-Encoding": coding})
    assert (answer.body, answer.header("content-encoding")) == (CODED[coding], coding)
    assert answer.header("vary") == "Accept-Encoding"
    count = decompressing.metrics().value("pingap_decompressed_responses_total", coding=coding)
    assert count == 2


def test_events_are_decompressed_at_once(decompressing: Proxy, upstream: Upstream) -> None:
    more = threading.Event()

    def events() -> Iterator[bytes]:
        compressor = zlib.compressobj(wbits=31)
        yield compressor.compress(b"data: 1\n\n") + compressor.flush(zlib.Z_SYNC_FLUSH)
        more.wait(10)
        yield compressor.compress(b"data: 2\n\n") + compressor.flush()

    upstream.stream("/events", events, headers={**HTML, "Content-Encoding": "gzip"})
    with decompressing.connect() as client:
        client.send_request("GET", "/events")
        client.read_head()
        assert client.read_some() == b"data: 1\n\n"
        more.set()
        assert client.read_rest() == b"data: 2\n\n"


def is_cut_after_its_head(body: bytes, proxy: Proxy, upstream: Upstream) -> bool:
    """Return whether a response ends without its last chunk, if its body comes when its head has left."""
    go = threading.Event()

    def handle(served: Any, request: Any) -> None:
        head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
        served.send(head.encode())
        go.wait(10)
        served.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))

    upstream.on("/bad", handle)
    with proxy.connect() as client:
        client.send_request("GET", "/bad")
        assert client.read_head().status == 200
        go.set()
        rest = client.read_to_end()
    return not rest.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (gzip.compress(TEXT)[:-4], "its end is missing"),
        (b"this is not gzip", "incorrect header check"),
        (gzip.compress(bytes(1_500_000)), "more than 100 times its size"),
        (gzip.compress(b"".join(b"%d" % n for n in range(500_000))), "more than 2097152 bytes"),
    ],
)
def test_what_cannot_be_decompressed_is_never_a_whole_answer(
    body: bytes, reason: str, decompressing: Proxy, upstream: Upstream
) -> None:
    upstream.reply("/bad", body, headers={**HTML, "Content-Encoding": "gzip"})
    answer = decompressing.get("/bad")
    assert answer.status == (502 if len(body) < 60_000 else 200)  # whether all of it is at hand
    assert answer.complete is (answer.status == 502)
    assert is_cut_after_its_head(body, decompressing, upstream)
    said = "location site: a response (gzip) to /bad cannot be decompressed: "
    assert reason in decompressing.log.split(said)[1].splitlines()[0]
    assert decompressing.metrics().value("pingap_decompression_refused_total", coding="gzip") == 2


# Numbers.


def test_what_is_measured(proxy: Proxy, upstream: Upstream) -> None:
    upstream.reply("/page", TEXT, headers=HTML)
    log = "{:compression_time}|{:compression_ratio}|{:compression_time_human}"
    proxy.configure("servers.web", access_log=log, enable_server_timing=True)
    proxy.location("/", plugins=[("compression", {"gzip_level": 9})])
    answer = proxy.get("/page", headers=GZIP)
    ratio = f"{len(TEXT) / len(answer.body):.1f}"
    proxy.get("/page")
    compressed, plainly = proxy.access_log
    milliseconds, logged, human = compressed.split("|")
    assert (logged, human) == (ratio, f"{milliseconds}ms")
    assert int(milliseconds) >= 0
    assert plainly == "||"
    timing = answer.headers["Server-Timing"]
    assert f';desc="gzip {ratio}"' in timing
    assert "compression;dur=" in timing
    metrics = proxy.metrics()
    assert metrics.value("pingap_compression_ratio_count") == 1
    assert metrics.value("pingap_compression_ratio_sum") == pytest.approx(
        len(TEXT) / len(answer.body)
    )
    assert metrics.value("pingap_compression_time_count", coding="gzip") == 1
    assert metrics.value("pingap_compression_bytes_in_total", coding="gzip") == len(TEXT)
    assert metrics.value("pingap_compression_bytes_out_total", coding="gzip") == len(answer.body)


@pytest.mark.parametrize(
    ("coding", "keys"),
    [
        ("gzip", {"gzip_level": 9}),
        ("br", {"br_level": 6}),
        ("zstd", {"zstd_level": 3}),
        ("zstd", {"zstd_level": 19}),
    ],
)
def test_the_event_loop_is_never_held_for_long(
    coding: str,
    keys: dict[str, int],
    proxy: Proxy,
    upstream: Upstream,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whole bodies, long ones and events: what takes long is done in threads (processor time)."""
    calls: list[tuple[str, float]] = []

    def noted(method: Callable[..., bytes]) -> Callable[..., bytes]:
        def call(*arguments: Any) -> bytes:
            began = time.thread_time()
            try:
                return method(*arguments)
            finally:
                calls.append((threading.current_thread().name, time.thread_time() - began))

        return call

    for name in ("feed", "flush", "end"):
        monkeypatch.setattr(Compressing, name, noted(getattr(Compressing, name)))
    random = Random(1)
    words = [random.randbytes(4).hex().encode() for _ in range(3000)]
    text = b" ".join(random.choices(words, k=60_000))  # half a megabyte that is hard to compress
    upstream.reply("/whole", text[:65536], headers=HTML)
    upstream.reply("/long", text, headers=HTML)
    upstream.stream("/events", [text[at : at + 500] for at in range(0, 50_000, 500)], headers=HTML)
    proxy.location("/", plugins=[("compression", keys)])
    for path, size in (("/whole", 65536), ("/long", len(text)), ("/events", 50_000)) * 3:
        answer = proxy.get(path, headers={"Accept-Encoding": coding})
        assert plain(answer) == text[:size]
    inside = [seconds for name, seconds in calls if name == "pingap.testing proxy"]
    assert max(inside, default=0) < 0.002
    assert len(calls) > len(inside)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(site: Proxy) -> None:
    site.get("/page")
    url = f"http://127.0.0.1:{site.port()}/page"
    command = [
        "curl",
        "--silent",
        "--show-error",
        "--compressed",
        "--dump-header",
        "/dev/stderr",
        url,
    ]
    done = subprocess.run(command, capture_output=True, timeout=30, check=True)
    assert done.stdout == TEXT
    assert b"content-encoding: " in done.stderr.lower()
    assert done.stderr.lower().count(b"vary: accept-encoding") == 1
