"""Access logs whose format is JSON: every line is, whatever clients send."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingap import Connection, Request, RequestContext
from pingap.http.headers import make_headers
from pingap.observability.access_log import AccessLog, compile_format
from pingap.observability.json_lines import is_json, json_text, json_value
from pingap.observability.log_files import LogFile

FORMAT = (
    '{"uri": "{uri}", "agent": "{user_agent}", "status": {status}, "ms": {latency}, "none": {>x-no},'
    ' "cookie": "c={~c}", "when": {when}, "up": {:upstream_status}, "peer": {remote}, "t": "{:p.t}"}'
)


def write(text: str, request: Request, tag: str = "") -> str:
    ctx = RequestContext(Connection(1, ("", 5), ("127.0.0.1", 80)), 100.0)
    ctx.ended_at = 101.0
    return compile_format(text, {"p.t": lambda request, response, ctx: tag})(request, None, ctx)


def of(agent: bytes, target: str = "/") -> Request:
    headers = make_headers(
        [b"user-agent", b"cookie"], [b"User-Agent: " + agent, b"Cookie: c=" + agent]
    )
    return Request("GET", target, headers)


@given(agent=st.binary(max_size=30), tag=st.text(max_size=10))
def test_every_line_is_json(agent: bytes, tag: str) -> None:
    agent = agent.replace(b"\r", b"").replace(b"\n", b"")
    line = write(FORMAT, of(agent, '/a"b\\{}'), tag)
    assert line.isascii()
    assert "\n" not in line
    read = json.loads(line)
    assert read["uri"] == '/a"b\\{}'
    assert (read["status"], read["ms"], read["none"], read["up"], read["peer"]) == (
        None,
        1000,
        None,
        None,
        None,
    )
    assert read["agent"] == agent.decode("utf-8", "backslashreplace")


def test_what_a_client_sent_is_read_back() -> None:
    read = json.loads(write(FORMAT, of('caf\xe9 "10\\'.encode())))
    assert read["agent"] == 'caf\xe9 "10\\'
    assert json.loads(write(FORMAT, of(b"caf\xe9")))["agent"] == "caf\\xe9"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a": {status}}', True), ('{"a": "{uri} {$HOME} \\" {uri}"}', True), ("{uri} {status}", False),
        ('"{uri}"', False), ('{"a": {status}', False), ('{ "a" : ["{uri}", {status}] }', True),
    ],
)  # fmt: skip
def test_formats_that_are_json(text: str, found: bool) -> None:
    from pingap.observability.access_log import _TAG

    assert is_json(_TAG.split(text)[::2]) is found


def test_values_outside_of_strings() -> None:
    texts = ["-", "", "12", "1.5", "007", "true", "a", "-3"]
    assert [json_value(one) for one in texts] == [
        "null",
        "null",
        "12",
        "1.5",
        '"007"',
        "true",
        '"a"',
        "-3",
    ]
    assert json_value(5) == 5
    assert json_text("\u0142") == "\\u0142"


@pytest.mark.parametrize("text", ["combined", '{"a": "{uri}"}'])
def test_lines_in_an_application_log_of_json(tmp_path: Path, text: str) -> None:
    file = LogFile(f"{tmp_path}/log?rolling=never")
    request = of(b'q"q\xff', '/"')
    ctx = RequestContext(Connection(1, ("192.0.2.1", 5), ("127.0.0.1", 80)), 100.0)
    ctx.ended_at = 101.0
    AccessLog(text, file, shared=True, as_json=True).record(request, None, ctx)
    file.close()
    read = json.loads((tmp_path / "log").read_text())
    assert (read.keys(), read["level"]) == ({"timestamp", "level", "fields"}, "INFO")
    message = read["fields"]["message"]
    assert message == '{"a": "/\\""}' if text != "combined" else "q\\x22q\\xff" in message
