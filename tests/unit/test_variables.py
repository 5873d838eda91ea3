"""``$variables`` of header values, each with its value."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pingap import (
    Connection,
    HeaderEntry,
    Headers,
    PluginSettings,
    Request,
    RequestContext,
    Template,
    Value,
    field,
)
from pingap.config.variables import CONTEXT_KEYS, VARIABLES, Lookup, captures
from pingap.http.connection import TlsDetails

HEADERS = {
    "X-Forwarded-For": "203.0.113.9",
    "User-Agent": "ua",
    "X_Odd": "odd",
    "X-Both": "dash",
    "Cookie": "sid=c1",
}


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
    ctx.upstream_host = "origin.example:81"
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
    "request_method": "PUT", "request_uri": "/was?q", "query_string": "a=b", "is_args": "?",
    "server_protocol": "HTTP/1.1", "upstream_host": "origin.example:81",
    "ssl_protocol": "TLSv1.3", "ssl_cipher": "TLS_AES_128_GCM_SHA256", "ssl_client_verify": "SUCCESS",
    "ssl_client_s_dn": "CN=alice", "ssl_client_fingerprint": "ab12",
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
    with pytest.raises(ValueError, match=r"\$nonesuch is neither .*\$host, .*\$http_<name>"):
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


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${host}", "h.example"),
        ("${host}:8443", "h.example:8443"),
        ("https://www.${host}${request_uri}", "https://www.h.example/was?q"),
        ("${cookie_sid}/${arg_a}/${http_user_agent}", "c1/b/ua"),
        ("$cookie_sid", "c1"),
        ("$arg_none", None),
        ("[${arg_none}]", "[]"),
        ("${arg_none}${cookie_none}", None),
        ("$location", "shop"),
        ("${upstream_status} ${upstream_connect_time_human}", "204 1ms"),
        ("${tenant}.${NAME}", "acme.x"),
        ("$${host} ${host}", "${host} h.example"),
        ("${1} ${HOME_DIR} ${} $ ${a b}", "${1} ${HOME_DIR} ${} $ ${a b}"),
        ("${hostname}!", f"{socket.gethostname()}!"),
    ],
)
def test_text_around_variables(
    request_: Request, ctx: RequestContext, text: str, value: str | None
) -> None:
    ctx.captures = {"tenant": "acme", "NAME": "x"}
    with captures(("tenant", "NAME")):
        template = Template(text)
    assert template.expand(request_, ctx) == value


def test_a_text_without_variables_is_constant() -> None:
    for text in ("plain", "$${host}", "${hostname}:1", "${1}"):
        assert Template(text).lookup is None
    assert Template("a${host}b${host}").names == ("host", "host")
    assert repr(Template("a")) == "Template('a')"


def test_an_unknown_variable_has_the_nearest_name() -> None:
    for text in ("a ${request_urj} b", "$request_urj"):
        with pytest.raises(ValueError, match=r'did you mean "\$request_uri"\?$'):
            Template(text)


@given(st.text(max_size=20))
def test_values_have_no_control_characters(value: str) -> None:
    ctx = RequestContext(Connection(1, ("", 0), ("", 0)), 0.0)
    ctx.captures = {"x": value}
    request = Request("GET", "/", Headers())
    lookup: Lookup = lambda request, ctx: ctx.captures["x"]  # noqa: E731
    template = Template("${host}|")
    template._parts = (lookup, "|")
    found = template.expand(request, ctx)
    assert found is not None
    assert not set(found) & {"\r", "\n", "\0"}
    field("X-A", found)


def test_the_kind_of_a_setting() -> None:
    class Settings(PluginSettings):
        to: Template

    assert Settings.model_validate({"to": "https://${host}/"}).to.text == "https://${host}/"
    made = Settings(to=Template("x"))
    assert made.model_dump(mode="json") == {"to": "x"}
    for text, message in {
        "https://$host/": r"\$host is plain text inside other text: write \$\{host\}",
        "${hots}": r'did you mean "\$host"',
    }.items():
        with pytest.raises(ValidationError, match=message):
            Settings.model_validate({"to": text})
    with pytest.raises(ValidationError, match="expected"):
        Settings.model_validate({"to": 3})


def test_a_bare_variable_inside_text_is_literal() -> None:
    for text, literal in {
        "a-$host": "$host", "$host$path": "$host", "${host}$path": "$path", "$host": "",
        "a $nonesuch": "", "x :upstream_addr": ":upstream_addr", "$${host}": "",
    }.items():  # fmt: skip
        assert Template(text).literal_variable == literal


def test_without_tls_there_is_no_certificate(request_: Request) -> None:
    plain = RequestContext(Connection(1, ("", 0), ("", 0)), 0.0)
    assert Template("$ssl_client_verify").expand(request_, plain) is None
    tls = TlsDetails(version="TLSv1.3", cipher="x", handshake_seconds=0.1)
    ctx = RequestContext(Connection(1, ("", 0), ("", 0), tls=tls), 0.0)
    assert Template("$ssl_client_verify").expand(request_, ctx) == "NONE"
