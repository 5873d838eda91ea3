"""What the tools say is read; a run with failures is none."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from random import Random

import pytest
from h2_heads import sequence
from h2_load import LoadError as WrongAnswer
from h2_load import is_ok
from h2_load import run as run_h2
from load import LoadError, read_h2load, read_own, read_wrk
from mixed import lua

from pingap.testing import Proxy, Upstream

WRK = """\
Running 1s test @ http://127.0.0.1:56085/post/
  1 threads and 10 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     3.86ms    3.28ms  21.25ms   84.23%
    Req/Sec     2.77k   521.59     3.48k    60.00%
  Latency Distribution
     50%  940.00us
     75%    5.77ms
     90%    8.80ms
     99%    1.35s
  2790 requests in 1.02s, 585.79KB read
Requests/sec:   2743.43
Transfer/sec:    576.01KB
"""
H2LOAD = """\
finished in 2.00s, 4757.00 req/s, 5.34MB/s
requests: 4757 total, 4857 started, 4757 done, 4757 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 4757 2xx, 0 3xx, 0 4xx, 0 5xx
"""


def test_wrk() -> None:
    load = read_wrk(WRK)
    assert (load.requests, load.rate) == (2790, 2743.43)
    assert (load.p50, load.p99) == pytest.approx((0.94, 1350))


@pytest.mark.parametrize(
    "text",
    [
        WRK + "  Non-2xx or 3xx responses: 3\n",
        WRK + "  Socket errors: connect 0, read 2, write 0, timeout 0\n",
        WRK.replace("2790 requests", "0 requests"),
        WRK.replace("99%", "98%"),
        "unable to connect to 127.0.0.1:1 Connection refused\n",
    ],
)
def test_wrk_with_failures(text: str) -> None:
    with pytest.raises(LoadError):
        read_wrk(text)


def test_h2load() -> None:
    load = read_h2load(H2LOAD, 2)
    assert (load.requests, load.rate, load.p50, load.p99) == (4757, 2378.5, None, None)


@pytest.mark.parametrize(
    "text",
    [
        H2LOAD.replace("0 failed", "1 failed"),
        H2LOAD.replace("0 timeout", "1 timeout"),
        H2LOAD.replace("4757 2xx, 0 3xx, 0 4xx", "4756 2xx, 0 3xx, 1 4xx"),
        H2LOAD.replace("4757", "0"),
        "",
    ],
)
def test_h2load_with_failures(text: str) -> None:
    with pytest.raises(LoadError):
        read_h2load(text, 2)


def test_our_own_tool() -> None:
    load = read_own('{"requests": 300, "seconds": 1.5, "p50": 0.5, "p99": 2.0}')
    assert (load.requests, load.rate, load.p50, load.p99) == (300, 200, 0.5, 2.0)


@pytest.mark.parametrize(
    ("block", "ok"),
    [("88", True), ("2088c0", True), ("3fe11f88", True), ("8d", False), ("20", False), ("", False)],
)
def test_the_status_of_a_header_block(block: str, *, ok: bool) -> None:
    assert is_ok(bytes.fromhex(block)) == ok


def test_load_by_http2(proxy: Proxy, upstream: Upstream) -> None:
    """Several connections one after another; no two requests are alike."""
    proxy.configure("servers.web", enabled_h2=True)
    blocks = [sequence(Random(number), 7) for number in range(3)]
    times = run_h2(proxy.port(), 0.5, connections=1, streams=3, sequences=blocks)
    assert len(times) > 7
    assert all(0 < one < 0.5 for one in times)
    traces = {request.headers["traceparent"] for request in upstream.requests[:21]}
    assert len(traces) == len(upstream.requests[:21])


def test_a_wrong_answer_by_http2(proxy: Proxy, upstream: Upstream) -> None:
    proxy.configure("servers.web", enabled_h2=True)
    proxy.location("/mixed", plugins=[("mock", {"status": 404})])
    with pytest.raises(WrongAnswer, match="another answer than 200"):
        run_h2(proxy.port(), 5, connections=1, streams=1, sequences=[sequence(Random(1), 1)])


@pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is not installed")
@pytest.mark.parametrize("body", [0, 1024])
def test_the_script_for_wrk(proxy: Proxy, upstream: Upstream, tmp_path: Path, body: int) -> None:
    script = tmp_path / "mixed.lua"
    script.write_text(lua(body))
    url = f"http://127.0.0.1:{proxy.port()}/"
    command = ["wrk", "-t1", "-c1", "-d1s", "--latency", "-s", str(script), url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert read_wrk(done.stdout).requests > 1
    first, second = upstream.requests[:2]
    assert first.method == ("POST" if body else "GET")
    assert (len(first.body), len(second.body)) == (body, body)
    for name in ("cookie", "traceparent"):
        assert first.headers[name] != second.headers[name]
    assert first.path != second.path
    assert not body or first.body != second.body
