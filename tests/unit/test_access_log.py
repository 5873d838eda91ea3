"""Formats of the access log: every tag, the presets, and values that try to forge a line."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingap import Connection, Headers, Request, RequestContext, Response, field
from pingap.config.variables import CONTEXT_KEYS
from pingap.observability import access_log
from pingap.observability.access_log import (
    PRESETS,
    AccessLog,
    compile_format,
    escape,
    human_size,
    human_time,
    split_setting,
)
from pingap.observability.log_files import LogFile


def request(*headers: tuple[str, str], target: str = "/p?a=b") -> Request:
    fields = [field(name, value) for name, value in headers]
    return Request("GET", target, Headers(fields), "h.example")


def context() -> RequestContext:
    ctx = RequestContext(Connection(1, ("192.0.2.1", 5), ("127.0.0.1", 80)), 100.0)
    ctx._received = (request(), "GET", "/", "a")
    ctx.ended_at, ctx.status, ctx.body_bytes_sent = 101.25, 201, 1190
    ctx.body_bytes_received, ctx.request_id, ctx.location = 999, "id-1", "shop"
    ctx.upstream_connected_at, ctx.upstream_head_at = 100.0, 101.125
    return ctx


def line(text: str, head: Request | None = None, response: Response | None = None) -> str:
    return compile_format(text)(head or request(), response, context())


TAGS = {
    "host": "h.example", "method": "GET", "path": "/p", "query": "a=b", "uri": "/p?a=b",
    "proto": "HTTP/1.1", "remote": "192.0.2.1", "client_ip": "192.0.2.1", "scheme": "http",
    "referer": "-", "user_agent": "-", "size": "1190", "size_human": "1.1KB",
    "payload_size": "999", "payload_size_human": "999B", "status": "201", "latency": "1250",
    "latency_human": "1.2s", "request_id": "id-1",
}  # fmt: skip
LIVE = {
    "when": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d",
    "when_utc_iso": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",
    "when_unix": r"\d{13}",
}


def test_every_tag_is_in_the_tables_of_this_test() -> None:
    assert {*TAGS, *LIVE} == set(access_log._TAGS)


@pytest.mark.parametrize(("tag", "value"), TAGS.items())
def test_tag(tag: str, value: str) -> None:
    assert line("{" + tag + "}") == value


@pytest.mark.parametrize(("tag", "pattern"), LIVE.items())
def test_time_tag(tag: str, pattern: str) -> None:
    assert re.fullmatch(pattern, line("{" + tag + "}"))


def test_tags_of_headers_cookies_environment_and_context(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINGAP_TEST_X", 'e"v')
    head = request(
        ("X-In", "in"), ("Cookie", "who=me; a.b=1"), ("Referer", "r"), ("User-Agent", "u")
    )
    response = Response(200, b"", {"X-Out": "out"})
    text = "{>x-in} {>X-IN} {<x-out} {<none} {>none} {~who} {~a.b} {~no} {$PINGAP_TEST_X} {$NO_X}"
    assert line(text, head, response) == "in in out - - me 1  e\\x22v "
    assert line("{referer} {user_agent}", head) == "r u"
    assert line("{<x-out}", head, None) == "-"
    assert line("{$hostname}") == socket.gethostname()
    found = line("{:location} {:upstream_processing_time} {:upstream_processing_time_human}")
    assert found == "shop 1125 1.1s"
    assert line("{:upstream_connect_time}|{:upstream_connect_time_human}") == "|"
    for key in CONTEXT_KEYS:
        line("{:" + key + "}")


def test_presets_are_exactly_those_of_pingap() -> None:
    head = request(("User-Agent", "ua"))
    lines = {name: line(text, head) for name, text in PRESETS.items()}
    assert lines == {
        "combined": '192.0.2.1 "GET /p?a=b HTTP/1.1" 201 1.1KB "-" "ua"',
        "common": '192.0.2.1 "GET /p?a=b HTTP/1.1" 201 1.1KB',
        "short": "192.0.2.1 GET /p?a=b HTTP/1.1 201 1.1KB - 1250ms",
        "tiny": "GET /p?a=b 201 1.1KB - 1250ms",
    }


@pytest.mark.parametrize("text", ["{nonsense}", "{Status}", "{:nonsense}", "{:status_human}"])
def test_unknown_tag_is_told_with_the_known_ones(text: str) -> None:
    with pytest.raises(ValueError, match=r"unknown (tag|context key) .*(tags|keys): .*,"):
        compile_format(text)


@pytest.mark.parametrize(
    "text", ["", "{}", "{ host }", "'{{'", "%s", "\\x00", "__import__('os')", '"""', "}{", "{1}"]
)
def test_text_without_tags_stays_as_it_is(text: str) -> None:
    assert line(text) == text


def test_values_of_a_client_cannot_forge_a_line() -> None:
    evil = Headers([(b"x-in", b'X-In: a" \\ \x80\xe9'), (b"cookie", b'Cookie: c="\tx')])
    head = Request("GET", "/a", evil, "h")
    assert line("{>x-in} {~c}", head) == "a\\x22 \\x5c \\x80\\xe9 \\x22\\x09x"
    head.target = head.path = '/"\n'
    assert line("{uri}{path}", head) == "/\\x22\\x0a/\\x22\\x0a"


@given(st.text())
def test_escape_leaves_printable_ascii_only(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    escaped = escape(text)
    assert escaped.isascii()
    assert all(" " <= char <= "~" for char in escaped)
    assert '"' not in escaped
    assert re.fullmatch(r"(?:[^\\]|\\x[0-9a-f]{2})*", escaped)


def test_escape_of_wide_characters_is_utf_8() -> None:
    assert escape("€é") == "\\xe2\\x82\\xac\\xe9"


@pytest.mark.parametrize(
    ("setting", "file", "text"),
    [
        ("combined", None, "combined"),
        ("/var/log/a.log combined", "/var/log/a.log", "combined"),
        ("/var/log/a.log?rolling=hourly tiny", "/var/log/a.log?rolling=hourly", "tiny"),
        ("a.log {host} {uri}", "a.log", "{host} {uri}"),
        ("a.log ${host} {uri}", "a.log", "${host} {uri}"),
        ("${host} {uri}", None, "${host} {uri}"),
        ("{host} {uri}", None, "{host} {uri}"),
        ("{host} combined", None, "{host} combined"),
        ("tiny {uri}", None, "tiny {uri}"),
        ("plain text {uri}", None, "plain text {uri}"),
        ("", None, ""),
    ],
)
def test_split_setting(setting: str, file: str | None, text: str) -> None:
    assert split_setting(setting) == (file, text)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0B"), (999, "999B"), (1000, "1KB"), (1099, "1KB"), (1100, "1.1KB"), (999_999, "999.9KB"),
     (1_000_000, "1MB"), (1_250_000_000, "1.2GB")],
)  # fmt: skip
def test_human_size(size: int, text: str) -> None:
    assert human_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0ms"), (0.5125, "512ms"), (1, "1s"), (1.19, "1.1s"), (60, "1m"), (108, "1.8m"),
     (3600, "1h"), (5400, "1.5h")],
)  # fmt: skip
def test_human_time(seconds: float, text: str) -> None:
    assert human_time(seconds) == text


def test_record_writes_a_line_to_a_file_of_its_own_or_the_shared_one(tmp_path: Path) -> None:
    file = LogFile(f"{tmp_path}/a.log?rolling=never")
    AccessLog("tiny", file).record(request(), None, context())
    AccessLog("{uri}", file, shared=True).record(request(), None, context())
    file.close()
    own, shared = (tmp_path / "a.log").read_text().splitlines()
    assert own == "GET /p?a=b 201 1.1KB - 1250ms"
    assert re.fullmatch(LIVE["when"] + r" INFO /p\?a=b", shared)


VARIABLES_IN_FORMATS = {
    "{$host} ${host}:1": "h.example h.example:1",
    "${cookie_sid} {$arg_a} ${arg_none}": "c1 b -",
    "${request_uri} ${http_x_a}": "/ \\x22q\\x22",
    "${latency} ${status}": "1250 201",
    "$${size} {$location}": "$1190 shop",
    "{$NONE_SUCH}|{$PINGAP_TEST_X}": "|env",
    '{"a": "${host}", "b": ${arg_none}}': '{"a": "h.example", "b": null}',
}


@pytest.mark.parametrize(("text", "expected"), VARIABLES_IN_FORMATS.items())
def test_variables(monkeypatch: pytest.MonkeyPatch, text: str, expected: str) -> None:
    monkeypatch.setenv("PINGAP_TEST_X", "env")
    assert line(text, request(("Cookie", "sid=c1"), ("X-A", '"q"'))) == expected


@pytest.mark.parametrize("text", ["${hots}", "{$hots}"])
def test_an_unknown_variable_has_the_nearest_name(text: str) -> None:
    with pytest.raises(ValueError, match=r'did you mean "\$host"'):
        compile_format(text)
