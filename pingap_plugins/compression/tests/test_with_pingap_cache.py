"""With pingap-cache in the same location, where it is installed."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import brotli
import pytest

from pingap.testing import Answer, Proxy, Received, Served, Upstream

pytest.importorskip("pingap_cache", reason="pingap-cache is not installed")

TEXT = b"some text, and again some text, and again\n" * 50
HTML = {"Content-Type": "text/html", "ETag": '"a"', "Cache-Control": "max-age=60"}
UP = ("compression", {"gzip_level": 5, "br_level": 4, "mode": "upstream"})
DOWN = ("compression", {"gzip_level": 5})
CACHE = ("cache", {})


def ask(proxy: Proxy, accept: str) -> Answer:
    return proxy.get("/", headers={"Accept-Encoding": accept})


@pytest.mark.parametrize("plugins", [[DOWN, CACHE], [CACHE, DOWN]])
def test_downstream_one_plain_body_serves_everybody(
    plugins: list[tuple[str, dict[str, object]]], proxy: Proxy, upstream: Upstream
) -> None:
    upstream.reply("/", TEXT, headers=HTML)
    proxy.location("/", plugins=plugins)
    for accept, coding in (("gzip", "gzip"), ("identity", None), ("gzip", "gzip")):
        answer = ask(proxy, accept)
        assert answer.header("content-encoding") == coding
        assert (gzip.decompress(answer.body) if coding else answer.body) == TEXT
        assert "accept-encoding" in (answer.header("vary") or "").lower()
    assert len(upstream.requests) == 1


def test_upstream_each_coding_is_stored_once(proxy: Proxy, upstream: Upstream) -> None:
    upstream.reply("/", TEXT, headers=HTML)
    proxy.location("/", plugins=[UP, CACHE])
    for accept, coding in (
        ("gzip", "gzip"),
        ("br", "br"),
        ("identity", None),
        ("gzip", "gzip"),
        ("br", "br"),
    ):
        answer = ask(proxy, accept)
        assert answer.header("content-encoding") == coding
        if coding == "gzip":
            assert gzip.decompress(answer.body) == TEXT
        elif coding is None:
            assert answer.body == TEXT
    assert len(upstream.requests) == 3


def test_a_client_that_has_a_compressed_body_gets_304(proxy: Proxy, upstream: Upstream) -> None:
    upstream.reply("/", TEXT, headers=HTML)
    proxy.location("/", plugins=[DOWN, CACHE])
    tag = ask(proxy, "gzip").header("etag")
    assert tag == 'W/"a"'
    again = proxy.get("/", headers={"Accept-Encoding": "gzip", "If-None-Match": tag})
    assert (again.status, again.body) == (304, b"")
    assert len(upstream.requests) == 1


def test_those_who_join_get_the_compressed_body(proxy: Proxy, upstream: Upstream) -> None:
    """Its length is not the one that the upstream has announced."""
    go = threading.Event()

    def handle(served: Served, request: Received) -> None:
        lines = [f"{name}: {value}" for name, value in HTML.items()]
        head = "\r\n".join(["HTTP/1.1 200 OK", f"Content-Length: {len(TEXT)}", *lines])
        served.send(head.encode() + b"\r\n\r\n" + TEXT[:100])
        served.wait(go)
        served.send(TEXT[100:])

    upstream.on("/", handle)
    proxy.location("/", plugins=[UP, CACHE])
    with proxy.connect() as first, proxy.connect() as second:
        for client in (first, second):
            client.send_request("GET", "/", headers={"Accept-Encoding": "gzip"})
            client.read_head()  # (of the second one, too, before the body has come)
        go.set()
        bodies = [client.read_rest() for client in (first, second)]
    assert [gzip.decompress(body) for body in bodies] == [TEXT, TEXT]
    assert len(upstream.requests) == 1


LINTED = """
[plugins.site_cache]
category = "cache"
[locations.l]
upstream = "u"
plugins = [{plugins}]
[upstreams.u]
addrs = ["127.0.0.1:1"]
[servers.s]
addr = "127.0.0.1:0"
locations = ["l"]
"""
WARNED = {
    '"site_cache", "pingap:compressionUpstream"': "pingap:compressionUpstream",
    '"site_cache", "pingap:acceptEncodingAdjustment"': "pingap:acceptEncodingAdjustment",
    '"pingap:compressionUpstream", "site_cache"': None,
    '"pingap:compression", "site_cache"': None,
    '"site_cache", "pingap:compression"': None,
    '"pingap:acceptEncodingAdjustment", "pingap:compressionUpstream", "site_cache"': None,
}


@pytest.mark.parametrize("plugins", WARNED)
def test_lint_warns_of_the_orders_that_store_the_other_thing(plugins: str, tmp_path: Path) -> None:
    path = tmp_path / "pingap.toml"
    path.write_text(LINTED.replace("{plugins}", plugins))
    command = [sys.executable, "-m", "pingap", "lint", "-c", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    named = WARNED[plugins]
    if named is None:
        assert "belongs in front of" not in done.stdout + done.stderr
    else:
        assert f'"{named}"' in done.stdout
        assert 'belongs in front of "site_cache"' in done.stdout


# Under load.

PAGES = 12
WRK = shutil.which("wrk")
SCRIPT = """
local encodings = {"gzip", "identity", "br"}
local number, threads = 0, {}
other, right = 0, 0

function setup(thread)
    table.insert(threads, thread)
end

function init()
    expected = {}
    for line in io.lines("expected") do
        local page, coding, file = line:match("(%S+) (%S+) (%S+)")
        local found = io.open(file, "rb")
        expected[page .. coding] = found:read("*a")
        found:close()
    end
end

function request()
    number = number + 1
    local headers = {["Accept-Encoding"] = encodings[number % 3 + 1], ["Host"] = "site"}
    return wrk.format("GET", "/" .. math.floor(number / 3) % PAGES, headers)
end

function response(status, headers, body)
    local page, coding = headers["X-Page"], headers["Content-Encoding"] or "identity"
    if status == 200 and page and expected[page .. coding] == body then
        right = right + 1
    else
        other = other + 1
        local file = io.open("other." .. other, "wb")
        file:write(status .. " " .. (page or "-") .. " " .. coding .. "\\n" .. body)
        file:close()
    end
end

function done()
    for _, thread in ipairs(threads) do
        print("right " .. thread:get("right") .. " other " .. thread:get("other"))
    end
end
"""


@pytest.mark.skipif(WRK is None and "CI" not in os.environ, reason="needs wrk")
@pytest.mark.parametrize("mode", ["downstream", "upstream"])
@pytest.mark.parametrize("kept", ["memory", "disk"])
def test_every_answer_under_load_is_right(
    proxy: Proxy, upstream: Upstream, tmp_path: Path, mode: str, kept: str
) -> None:
    compression = ("compression", {"gzip_level": 5, "br_level": 4, "mode": mode})
    directory = {} if kept == "memory" else {"directory": f"{tmp_path}/cache?cache_max=4"}
    proxy.location("/", plugins=[compression, ("cache", directory)])
    lines = []
    bodies = {}
    for page in range(PAGES):
        body = b"".join(b"%d of page %d\n" % (line, page) for line in range(10 * 3 ** (page % 6)))
        bodies[str(page)] = body
        upstream.reply(f"/{page}", body, headers={**HTML, "X-Page": str(page)})
        for coding in ("gzip", "identity", "br"):
            status = None
            while status != "hit":  # (what is stored was perhaps compressed as it came)
                answer = proxy.get(f"/{page}", headers={"Accept-Encoding": coding, "Host": "site"})
                status = answer.header("x-cache-status")
                assert answer.header("content-encoding") == (
                    None if coding == "identity" else coding
                )
                assert decoded(answer.body, coding) == body
            (tmp_path / f"{page}.{coding}").write_bytes(answer.body)
            lines.append(f"{page} {coding} {page}.{coding}\n")
    asked = len(upstream.requests)
    assert asked >= PAGES * (1 if mode == "downstream" else 3)
    (tmp_path / "expected").write_text("".join(lines))
    (tmp_path / "script.lua").write_text(SCRIPT.replace("PAGES", str(PAGES)))
    url = f"http://127.0.0.1:{proxy.port()}"
    command = ["wrk", "--threads=1", "--connections=8", "--duration=2s", "--script=script.lua", url]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    right, other = next(
        map(int, line.split()[1::2])
        for line in done.stdout.splitlines()
        if line.startswith("right ")
    )
    assert right > 50
    for number in range(1, other + 1):  # (a compressor may have been asked to flush in between)
        head, _, body = (tmp_path / f"other.{number}").read_bytes().partition(b"\n")
        status, page, coding = head.decode().split()
        assert (status, decoded(body, coding)) == ("200", bodies[page])
    assert len(upstream.requests) == asked  # all of the load was answered from the cache


def decoded(body: bytes, coding: str) -> bytes:
    """Return a body without its coding."""
    if coding == "br":
        return brotli.decompress(body)
    return zlib.decompress(body, wbits=31) if coding == "gzip" else body
