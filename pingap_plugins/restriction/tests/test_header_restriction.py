"""header_restriction: headers that must be there, or must not."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from pingap.testing import Proxy, Upstream, configuration_problems

Guarded = Callable[..., Proxy]
Lines = list[tuple[str, str]]


def problems(keys: str) -> list[str]:
    return configuration_problems(f'[plugins.p]\ncategory = "header_restriction"\n{keys}\n')


@pytest.mark.parametrize(
    ("entry", "lines", "passes"),
    [
        ("X-Version", [("x-version", "1")], True),
        ("X-Version", [], False),
        ("X-Version", [("X-Version", "")], False),
        ("X-Version", [("X-Version", ""), ("X-Version", "1")], True),
        ("X-Version", [("X_Version", "1")], False),
        ("X-Version: 2", [("X-Version", "2")], True),
        ("X-Version: 2", [("X-Version", " 2\t")], True),
        ("X-Version: 2", [("X-Version", "2, 3")], False),
        ("X-Version: 2", [("X-Version", "2"), ("X-Version", "3")], False),
        ("X-Version: 2", [("X-Version", "3"), ("X-Version", "2")], False),
        ("X-Version: 2", [("X-Version", "2"), ("Connection", "X-Version")], False),
        ("X-Version: 2", [("X-Version", "2"), ("X_Version", "3")], False),
        ("X-Version: 2", [("X_Version", "2"), ("X-Version", "2")], True),
        ("X_Version: 2", [("X-Version", "2")], False),
        ("X-Version: ~^[0-9]+$", [("X-Version", "17")], True),
        ("X-Version: ~^[0-9]+$", [("X-Version", "17x")], False),
        ("X-Version: ~^[0-9]+$", [("X-Version", "17\n")], False),
        ("Host: shop.test", [], False),
    ],
)
def test_required(guarded: Guarded, entry: str, lines: Lines, passes: bool) -> None:
    proxy = guarded("header_restriction", required=["X-Other", entry])
    proxy.configure("servers.web", keep_shadowing_headers=True)
    if any("\n" in value for _, value in lines):
        with proxy.connect() as client:
            client.send(b"GET / HTTP/1.1\r\nHost: h\r\nX-Other: 1\r\nX-Version: 17\n\r\n\r\n")
            assert client.read_until(b"\r\n").split()[1] in (b"400", b"403")
        return
    answer = proxy.get("/", headers=[("X-Other", "1"), *lines])
    assert answer.status == (200 if passes else 403)
    if not passes:
        assert answer.text == "Request is forbidden"
    assert proxy.get("/", headers=lines).status == 403


@pytest.mark.parametrize(
    ("entry", "lines", "passes"),
    [
        ("X-Debug", [], True),
        ("X-Debug", [("X-Other", "X-Debug")], True),
        ("X-Debug", [("x-debug", "")], False),
        ("X-Debug", [("X_Debug", "1")], False),
        ("X_Debug", [("X-Debug", "1")], False),
        ("X-Role: admin", [("X-Role", "user")], True),
        ("X-Role: admin", [("X-Role", "admin")], False),
        ("X-Role: admin", [("X-Role", "user, admin")], False),
        ("X-Role: admin", [("X-Role", "user"), ("X-Role", "admin")], False),
        ("X-Role: admin", [("X-Role", "admin"), ("X-Role", "user")], False),
        ("X-Role: admin", [("X-Role", "\tadmin ")], False),
        ("X-Role: ~(?i)^admin", [("X-Role", "user,Admin")], False),
        ("X-Role: ~user, admin", [("X-Role", "user"), ("X-Role", "admin")], False),
        ("X-Role: ~^a+$", [("X-Role", "b")], True),
        ("Cookie: ~(?:^|; )debug=1", [("Cookie", "a=b"), ("Cookie", "debug=1")], False),
        ("Next-Router-State", [("Next-Router-State", "\xff")], False),
    ],
)
def test_forbidden(guarded: Guarded, entry: str, lines: Lines, passes: bool) -> None:
    proxy = guarded("header_restriction", forbidden=["X-Never", entry])
    proxy.configure("servers.web", enabled_h2=True)
    assert proxy.get("/", headers=lines).status == (200 if passes else 403)
    with proxy.connect_http2() as client:
        lowered = [(name.lower(), value.strip()) for name, value in lines]
        assert client.get("/", headers=lowered).status == (200 if passes else 403)


@pytest.mark.parametrize("entry", ["X-City: Köln", "X-City: ~^K.ln$", "X-Town: Köln"])
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_values_beyond_ascii(guarded: Guarded, entry: str, encoding: str) -> None:
    head = "GET / HTTP/1.1\r\nHost: h\r\nX-City: Köln\r\nX_Town: Köln\r\n\r\n".encode(encoding)
    with guarded("header_restriction", forbidden=[entry]).connect() as client:
        client.send(head)
        assert client.read_head().status == 403


def test_a_forbidden_header_that_is_not_forwarded_does_no_harm(
    guarded: Guarded, upstream: Upstream
) -> None:
    proxy = guarded("header_restriction", forbidden=["X-Debug"])
    assert proxy.get("/", headers={"X-Debug": "1", "Connection": "X-Debug"}).status == 200
    assert upstream.received_once().header("x-debug") is None


def test_trailers_are_no_headers(guarded: Guarded) -> None:
    proxy = guarded("header_restriction", required=["X-Token"])
    answer = proxy.request("POST", "/", body=[b"x"], trailers={"X-Token": "1"})
    assert answer.status == 403


def test_another_response(guarded: Guarded, upstream: Upstream) -> None:
    settings = {"required": ["X-Api-Version"], "status": 400, "message": "X-Api-Version is missing"}
    answer = guarded("header_restriction", **settings).get("/")
    assert (answer.status, answer.text) == (400, "X-Api-Version is missing")
    assert upstream.requests == []


def test_no_expression_takes_long(guarded: Guarded) -> None:
    proxy = guarded("header_restriction", forbidden=["X-A: ~(a+)+$"])
    proxy.get("/")
    began = time.process_time()
    assert proxy.get("/", headers={"X-A": "a" * 8000 + "!"}).status == 200
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("", "refuses nothing: set required or forbidden"),
        ('required = ["X A"]', 'required[0]: "X A" is not a header'),
        ('required = ["X-A:"]', "has no value behind the colon"),
        ('forbidden = ["X-A: ~("]', "is not a regular expression"),
        ('forbidden = ["Transfer-Encoding"]', "transfer-encoding belongs to one connection"),
        ("forbidden = [1]", "forbidden[0]"),
        ('required = "X-A"', "required"),
        ('required = ["X-A"]\nfail_open = true', "fail_open"),
    ],
)
def test_mistakes(keys: str, told: str) -> None:
    found = problems(keys)
    assert any(told in one for one in found), found
