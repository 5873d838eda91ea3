"""method_restriction: methods, and the headers that replace them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pingap.testing import Proxy, Upstream, configuration_problems

Guarded = Callable[..., Proxy]


def problems(keys: str) -> list[str]:
    return configuration_problems(f'[plugins.p]\ncategory = "method_restriction"\n{keys}\n')


@pytest.mark.parametrize(
    ("kind", "methods", "method", "passes"),
    [
        ("allow", ["GET"], "GET", True),
        ("allow", ["get"], "GET", True),
        ("allow", ["GET"], "HEAD", True),
        ("allow", ["HEAD"], "GET", False),
        ("allow", ["GET"], "POST", False),
        ("allow", ["GET"], "OPTIONS", False),
        ("allow", ["PROPFIND"], "PROPFIND", True),
        ("deny", ["DELETE", "PUT"], "DELETE", False),
        ("deny", ["DELETE", "PUT"], "GET", True),
        ("deny", ["GET"], "HEAD", False),
        ("Deny", ["TRACE"], "TRACE", False),
    ],
)
def test_types(guarded: Guarded, kind: str, methods: list[str], method: str, passes: bool) -> None:
    proxy = guarded("method_restriction", type=kind, methods=methods)
    answer = proxy.request(method, "/")
    assert (answer.status < 400) is passes
    if not passes:
        assert answer.status == 405
        assert answer.text == ("" if method == "HEAD" else "Method is not allowed")


@pytest.mark.parametrize(
    ("settings", "allow"),
    [
        ({"methods": ["GET", "PURGE"]}, "GET, HEAD, PURGE"),
        ({"type": "deny", "methods": ["DELETE", "PURGE"]}, "GET, HEAD, POST, PUT, PATCH, OPTIONS"),
    ],
)
def test_405_names_the_allowed_methods(
    guarded: Guarded, settings: dict[str, object], allow: str
) -> None:
    answer = guarded("method_restriction", **settings).request("DELETE", "/")
    assert (answer.status, answer.headers["Allow"]) == (405, allow)


def test_another_response(guarded: Guarded, upstream: Upstream) -> None:
    proxy = guarded("method_restriction", methods=["GET"], status=403, message="Read only")
    answer = proxy.request("POST", "/", body=b"x")
    assert (answer.status, answer.text) == (403, "Read only")
    assert "Allow" not in answer.headers
    assert upstream.requests == []


# Attacks.


@pytest.mark.parametrize("method", ["delete", "Delete", "DELETE"])
@pytest.mark.parametrize(
    "settings", [{"methods": ["GET", "POST"]}, {"type": "deny", "methods": ["DELETE"]}]
)
def test_the_case_of_a_method_does_not_help(
    guarded: Guarded, method: str, settings: dict[str, object]
) -> None:
    proxy = guarded("method_restriction", **settings)
    with proxy.connect() as client:
        client.send(f"{method} / HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        assert client.read_until(b"\r\n").split()[1] in (b"405", b"400")


@pytest.mark.parametrize(
    "headers",
    [
        [("X-HTTP-Method-Override", "DELETE")],
        [("x-http-method-override", "delete")],
        [("X-HTTP-Method", "DELETE")],
        [("X-Method-Override", " DELETE ")],
        [("X_HTTP_Method_Override", "DELETE")],
        [("X-HTTP-Method-Override", "POST"), ("X-HTTP-Method-Override", "DELETE")],
        [("X-HTTP-Method-Override", "POST, DELETE")],
        [("X-HTTP-Method-Override", ","), ("X-HTTP-Method-Override", "DELETE")],
    ],
)
@pytest.mark.parametrize(
    "settings", [{"methods": ["GET", "POST"]}, {"type": "deny", "methods": ["DELETE"]}]
)
def test_headers_that_replace_the_method(
    guarded: Guarded, headers: list[tuple[str, str]], settings: dict[str, object]
) -> None:
    proxy = guarded("method_restriction", **settings)
    proxy.configure("servers.web", enabled_h2=True, keep_shadowing_headers=True)
    assert proxy.request("POST", "/", headers=headers).status == 405
    with proxy.connect_http2() as client:
        lowered = [(name.lower(), value.strip()) for name, value in headers]
        assert client.request("POST", "/", headers=lowered).status == 405


def test_headers_that_name_an_allowed_method_pass(guarded: Guarded, upstream: Upstream) -> None:
    proxy = guarded("method_restriction", methods=["POST", "PATCH"])
    headers = {"X-HTTP-Method-Override": "patch"}
    assert proxy.request("POST", "/", headers=headers).status == 200
    assert upstream.received_once().header("x-http-method-override") == "patch"


def test_overrides_may_be_ignored(guarded: Guarded) -> None:
    proxy = guarded("method_restriction", methods=["POST"], check_overrides=False)
    headers = {"X-HTTP-Method-Override": "DELETE"}
    assert proxy.request("POST", "/", headers=headers).status == 200


def test_a_websocket_is_a_get_request_over_both_protocols(
    guarded: Guarded, upstream: Upstream
) -> None:
    upstream.websocket("/")
    proxy = guarded("method_restriction", methods=["GET"])
    with proxy.connect_websocket("/") as client:
        client.send("hello")
        assert client.receive() == "hello"


def test_absolute_targets_and_old_clients(guarded: Guarded) -> None:
    proxy = guarded("method_restriction", methods=["GET"])
    for head in (b"PUT http://h/ HTTP/1.1\r\nHost: h\r\n", b"PUT / HTTP/1.0\r\n"):
        with proxy.connect() as client:
            client.send(head + b"Content-Length: 0\r\n\r\n")
            assert client.read_until(b"\r\n").split()[1] == b"405"


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("", "methods"),
        ("methods = []", "methods"),
        ('methods = ["GET", "P OST"]', '"P OST" is not a method'),
        ('methods = "GET"', "methods"),
        ('methods = ["GET"]\nstatus = 399', "status"),
        ('methods = ["GET"]\nfail_open = true', "fail_open"),
    ],
)
def test_mistakes(keys: str, told: str) -> None:
    found = problems(keys)
    assert any(told in one for one in found), found
