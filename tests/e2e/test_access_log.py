"""Lines of the access log: of requests that went well, badly, or away."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.rig import Rig, running

from pingap.testing import Served

TAGS = " ".join(
    f"{name}={{{tag}}}"
    for name, tag in {
        "host": "host", "method": "method", "path": "path", "query": "query", "uri": "uri",
        "proto": "proto", "remote": "remote", "client_ip": "client_ip", "scheme": "scheme",
        "size": "size", "payload": "payload_size", "status": "status", "in": ">x-in",
        "out": "<x-out", "none": ">x-none", "cookie": "~who", "env": "$PINGAP_TEST",
        "location": ":location", "addr": ":upstream_addr", "up": ":upstream_status",
        "reused": ":upstream_reused", "client_reused": ":connection_reused",
        "processing": ":processing", "connect": ":upstream_connect_time",
        "think": ":upstream_processing_time", "read": ":upstream_response_time",
        "latency": "latency", "service": ":service_time",
    }.items()
)  # fmt: skip


def answering(served: Served) -> None:
    while (request := served.read_request()) is not None:
        served.respond(b"x" * 1234, headers={"X-Out": "o"})
        if request.target == "/close":
            return


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    os.environ["PINGAP_TEST"] = "from-the-environment"
    try:
        with running(answering, server=f"access_log = '''{TAGS}'''") as rig:
            yield rig
            assert " ERROR " not in rig.proxy.log
    finally:
        del os.environ["PINGAP_TEST"]


def line(rig: Rig, mark: str) -> dict[str, str]:
    """Return the values of the line that holds a mark."""
    log = rig.proxy.wait_for_log(mark)
    found = next(one for one in log.splitlines() if mark in one and "host=" in one)
    return dict(re.findall(r"(\w+)=(\S*)", found))


def test_every_tag_has_its_value(rig: Rig) -> None:
    with rig.connect() as client:
        client.get("/first")
        client.request(
            "POST",
            "/tags?a=b",
            body=b"12345",
            headers={"Host": "h.example:1", "X-In": "i", "Cookie": "a=1; who=me"},
        )
    values = line(rig, "/tags")
    assert values.pop("latency").isdigit()
    assert values.pop("service").isdigit()
    assert values == {
        "host": "h.example", "method": "POST", "path": "/tags", "query": "a=b",
        "uri": "/tags?a=b", "proto": "HTTP/1.1", "remote": "127.0.0.1", "client_ip": "127.0.0.1",
        "scheme": "http", "size": "1234", "payload": "5", "status": "200", "in": "i", "out": "o",
        "none": "-", "cookie": "me", "env": "from-the-environment", "location": "all",
        "addr": rig.origin.addr, "up": "200", "reused": "true", "client_reused": "true",
        "processing": "1", "connect": values["connect"], "think": values["think"],
        "read": values["read"],
    }  # fmt: skip


def test_times_of_the_upstream_are_known(rig: Rig) -> None:
    with rig.connect() as client:
        client.get("/times")
    values = line(rig, "/times")
    assert values["think"].isdigit()
    assert values["read"].isdigit()


def test_values_of_a_client_cannot_forge_a_line(rig: Rig) -> None:
    with rig.connect() as client:
        client.send(
            b'GET /forge?"x"=\\ HTTP/1.1\r\nHost: a\r\nX-In: \xff" \\ \t=\r\nCookie: who="\xe9\r\n\r\n'
        )
        assert client.answer().status == 200
    log = rig.proxy.wait_for_log("/forge")
    found = next(one for one in log.splitlines() if "/forge" in one)
    assert "in=\\xff\\x22 \\x5c \\x09= " in found
    assert "cookie=\\x22\\xe9 " in found
    assert '"' not in found
    assert found.isascii()
    assert found.isprintable()


def test_what_cannot_be_read_is_logged(rig: Rig) -> None:
    with rig.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        assert client.answer().status == 400
    values = line(rig, "status=400")
    assert (values["method"], values["uri"], values["location"]) == ("-", "-", "")


def test_http_1_0_is_called_by_its_name(rig: Rig) -> None:
    with rig.connect() as client:
        client.send(b"GET /old HTTP/1.0\r\n\r\n")
        assert client.answer().status == 200
    assert line(rig, "/old")["proto"] == "HTTP/1.0"


def test_a_body_that_is_not_sent_is_not_counted(rig: Rig) -> None:
    with rig.connect() as client:
        client.request("HEAD", "/no-body")
    assert line(rig, "/no-body")["size"] == "0"


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("combined", r'127\.0\.0\.1 "GET /p\?q HTTP/1\.1" 200 1\.2KB "r" "u"'),
        ("common", r'127\.0\.0\.1 "GET /p\?q HTTP/1\.1" 200 1\.2KB'),
        ("short", r"127\.0\.0\.1 GET /p\?q HTTP/1\.1 200 1\.2KB - \d+ms"),
        ("tiny", r"GET /p\?q 200 1\.2KB - \d+ms"),
    ],
)
def test_presets(preset: str, expected: str) -> None:
    with (
        running(answering, server=f'access_log = "{preset}"') as rig,
        rig.connect() as client,
    ):
        client.get("/p?q", headers={"Referer": "r", "User-Agent": "u"})
        log = rig.proxy.wait_for_log("/p?q")
    [found] = [one for one in log.splitlines() if "/p?q" in one]
    when, level, text = found.split(" ", 2)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", when)
    assert level == "INFO"
    assert re.fullmatch(expected, text), text


def test_a_file_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "access.log"
    server = f"access_log = '{file}?rolling=never {{method}} {{uri}}'"
    with running(answering, server=server) as rig, rig.connect() as client:
        client.get("/own")
        client.get("/file")
    assert file.read_text() == "GET /own\nGET /file\n"  # flushed at the end at the latest
    assert "/own" not in rig.proxy.log


def test_every_pipelined_request_has_its_line_in_order(rig: Rig) -> None:
    with rig.connect() as client:
        client.send(b"".join(b"GET /pipe-%d HTTP/1.1\r\nHost: a\r\n\r\n" % n for n in range(20)))
        for _ in range(20):
            client.answer()
    log = rig.proxy.wait_for_log("/pipe-19")
    assert re.findall(r"path=/pipe-(\d+)", log) == [str(number) for number in range(20)]


def test_what_a_client_does_is_never_an_error(rig: Rig) -> None:
    for wire in (
        b"junk\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", b"GET / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc",
    ):  # fmt: skip
        with rig.connect() as client:
            client.send(wire)
    with rig.connect() as client:
        client.get("/after-the-junk")
    log = rig.proxy.wait_for_log("/after-the-junk")
    assert " ERROR " not in log
    assert " WARN " not in log
