"""``$variables`` of header values, each with its value."""

from __future__ import annotations

import socket

import pytest

from pingap import Connection, HeaderEntry, Headers, Request, RequestContext, Value
from pingap.config.variables import CONTEXT_KEYS, VARIABLES
from pingap.http.connection import TlsDetails

HEADERS = {"X-Forwarded-For": "203.0.113.9", "User-Agent": "ua", "X_Odd": "odd", "X-Both": "dash"}


@pytest.fixture
def request_() -> Request:
    return Request("PUT", "/p/q?a=b", Headers(HEADERS), "h.example")


@pytest.fixture
def ctx() -> RequestContext:
    tls = TlsDetails(
        version="TLSv1.3",
        cipher="TLS_AES_128_GCM_SHA256",
        handshake_seconds=0.0031,
        client_subject="CN=alice",
        client_fingerprint="ab12",
    )
    connection = Connection(7, ("192.0.2.1", 40000), ("198.51.100.1", 8080), tls=tls)
    connection.began, connection.requests = 99.0, 2
    ctx = RequestContext(connection, 100.0)
    ctx._received = (Request("GET", "/p", Headers()), "GET", "/was?q", "h")
    ctx.location, ctx.processing, ctx.request_id = "shop", 3, "id-1"
    ctx.upstream_addr, ctx.upstream_status, ctx.upstream_reused = "10.0.0.9:80", 204, True
    ctx.upstream_connected, ctx.upstream_retries = 4, 1
    ctx.upstream_connect_time, ctx.upstream_connected_at = 0.0015, 100.1
    ctx.upstream_head_at, ctx.ended_at, ctx.upstream_connection_began = 100.35, 100.85, 98.85
    return ctx


VALUES = {
    "host": "h.example", "scheme": "https", "remote_addr": "192.0.2.1", "remote_port": "40000",
    "server_addr": "198.51.100.1", "server_port": "8080", "upstream_addr": "10.0.0.9:80",
    "proxy_add_x_forwarded_for": "192.0.2.1", "request_id": "id-1",
    "proxy_add_forwarded": "for=192.0.2.1;proto=https",
    "client_ip": "192.0.2.1", "method": "PUT", "path": "/p/q", "uri": "/p/q?a=b", "args": "a=b",
    "tls_client_subject": "CN=alice", "tls_client_fingerprint": "ab12",
}  # fmt: skip
KEYS = {
    "connection_id": "7", "connection_time": "1850", "connection_reused": "true", "processing": "3",
    "location": "shop", "upstream_addr": "10.0.0.9:80", "upstream_status": "204",
    "upstream_reused": "true", "upstream_connect_time": "1", "upstream_tcp_connect_time": None,
    "upstream_tls_handshake_time": None, "cache_lookup_time": None, "cache_lock_time": None,
    "compression_time": None, "compression_ratio": None, "user": None,
    "upstream_processing_time": "250",
    "upstream_response_time": "500", "upstream_connection_time": "2000", "service_time": "850",
    "tls_version": "TLSv1.3", "tls_cipher": "TLS_AES_128_GCM_SHA256", "tls_client_subject": "CN=alice",
    "tls_client_fingerprint": "ab12", "tls_handshake_time": None,
    "upstream_connected": "4", "upstream_attempts": "2", "original_uri": "/was?q",
}  # fmt: skip


def test_every_variable_is_in_the_tables_of_this_test() -> None:
    assert VALUES.keys() == VARIABLES.keys()
    assert KEYS.keys() == CONTEXT_KEYS.keys()


@pytest.mark.parametrize(("name", "value"), VALUES.items())
def test_variable(request_: Request, ctx: RequestContext, name: str, value: str) -> None:
    assert Value(f"${name}").expand(request_, ctx) == value


@pytest.mark.parametrize(("key", "value"), KEYS.items())
def test_context_key(request_: Request, ctx: RequestContext, key: str, value: str | None) -> None:
    found = Value(f":{key}").expand(request_, ctx)
    if value is None:
        assert found is None
        return
    assert found is not None
    assert abs(int(found) - int(value)) <= 1 if value.isdigit() else found == value


def test_context_keys_without_a_value(request_: Request) -> None:
    ctx = RequestContext(Connection(1, ("", 0), ("", 0)), 0.0)
    for key in (
        "upstream_connect_time", "upstream_processing_time", "upstream_addr", "location",
        "upstream_connected", "upstream_attempts",
    ):  # fmt: skip
        assert Value(f":{key}").expand(request_, ctx) is None
    assert Value(":upstream_status").expand(request_, ctx) == "-"
    assert Value(":connection_reused").expand(request_, ctx) == "false"


def test_hostname_environment_and_request_headers(
    request_: Request, ctx: RequestContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PINGAP_TEST_X", "env")
    expected = {
        "$hostname": socket.gethostname(), "$PINGAP_TEST_X": "env", "$http_user_agent": "ua",
        "$http_x_odd": "odd", "$http_none": None, "$http_User-Agent": "ua",
        "prefix-$host": "prefix-$host", "$host-x.": "$host-x.", ":8080": ":8080", "plain": "plain", "": "",
    }  # fmt: skip
    assert {text: Value(text).expand(request_, ctx) for text in expected} == expected


def test_proxy_add_x_forwarded_for_begins_the_list(ctx: RequestContext) -> None:
    value = Value("$proxy_add_x_forwarded_for").expand(Request("GET", "/", Headers()), ctx)
    assert value == "192.0.2.1"


def test_unknown_variable_is_told_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"\$nonesuch is neither .*\$host, .*\$http_<header>"):
        Value("$nonesuch")


def test_header_entry_sets_adds_and_removes(request_: Request, ctx: RequestContext) -> None:
    headers = Headers({"X-A": "client", "X-B": "client"})
    HeaderEntry("x-a: $host").set(headers, request_, ctx)
    HeaderEntry("X-B: $http_none").set(headers, request_, ctx)
    HeaderEntry("X-C: constant: with colon").add(headers, request_, ctx)
    HeaderEntry("X-C: $http_none").add(headers, request_, ctx)
    HeaderEntry("X-C: $method").add(headers, request_, ctx)
    assert headers.items() == [
        ("x-a", "h.example"), ("X-C", "constant: with colon"), ("X-C", "PUT")
    ]  # fmt: skip
    assert HeaderEntry("X-A: b").constant == (b"x-a", b"X-A: b")
    assert HeaderEntry("X-A: $host").constant is None


@pytest.mark.parametrize("text", ["no colon", "bad name: x", ": x", "X-A: a\nb", "X-A: $nonesuch"])
def test_header_entry_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a header|control|neither"):
        HeaderEntry(text)


def test_the_handshake_is_of_the_first_request(request_: Request, ctx: RequestContext) -> None:
    ctx.connection.requests = 1
    assert Value(":tls_handshake_time").expand(request_, ctx) == "3"
