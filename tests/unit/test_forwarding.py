"""What proxies in front tell, and who is believed."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cost import cost

from pingap import Connection, Headers, Request, RequestContext, Value, field
from pingap.http.forwarding import MOST_HOPS, Told, element, parse_element, read
from pingap.http.networks import as_ip, contains, parse_network, parse_node, parse_trusted

TRUSTED = tuple(map(parse_trusted, ("10.0.0.0/8", "::ffff:192.0.2.0/120", "unix:")))


def headers(*pairs: tuple[str, str]) -> Headers:
    return Headers([field(name, value) for name, value in pairs])


def told(*pairs: tuple[str, str], family: str = "any") -> Told:
    return read(headers(*pairs), lambda one: contains(TRUSTED, one), family)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"), ("192.0.2.1:80", "192.0.2.1"), ("[2001:DB8::1]", "2001:db8::1"),
        ("[2001:db8::1]:80", "2001:db8::1"), ("2001:db8::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"), ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
        ("192.0.2.1:_port", "192.0.2.1"), ("", None), ("unknown", None), ("_secret", None),
        ("192.0.2.1:", None), ("192.0.2.1:x", None), ("192.0.2.1:123456", None), ("[192.0.2.1]", None),
        ("[2001:db8::1", None), ("[2001:db8::1]x", None), ("fe80::1%eth0", None), ("a.example", None),
        ("1" * 100, None), ("0x7f.1", None), ("192.0.2.1 80", None), ("::1%x\" forged", None),
    ],
)  # fmt: skip
def test_nodes(text: str, address: str | None) -> None:
    found = parse_node(text)
    assert (None if found is None else str(found)) == address


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_none(text: str) -> None:
    for found in (parse_node(text), as_ip(text)):
        assert found is None or str(found).replace(":", "").replace(".", "").isalnum()


@given(st.text(max_size=80))
def test_any_text_is_an_element_or_none(text: str) -> None:
    assert isinstance(parse_element(text), dict | None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("for=192.0.2.1", {"for": "192.0.2.1"}),
        ('For="[2001:db8::1]:80";PROTO=https ; host="a:1"',
         {"for": "[2001:db8::1]:80", "proto": "https", "host": "a:1"}),
        ('for="a\\"b";', {"for": 'a"b'}), ("for=192.0.2.1:80", {"for": "192.0.2.1:80"}), ("", {}),
        ("for", None), ('for="a', None), ("for=a;for=b", None), ("=a", None), ('for="a"b', None),
    ],
)  # fmt: skip
def test_elements(text: str, said: dict[str, str] | None) -> None:
    assert parse_element(text) == said


@pytest.mark.parametrize(
    ("fields", "client", "scheme", "host", "port"),
    [
        (["for=203.0.113.9;proto=https;host=shop.test"], "203.0.113.9", "https", "shop.test", "443"),
        (["for=6.6.6.6;proto=http", 'for="[2001:db8::1]:9";host="a:81";proto=https'],
         "2001:db8::1", "https", "a", "81"),
        # What the outermost trusted proxy saw counts, which stands in the element of its client.
        (["for=6.6.6.6, for=203.0.113.9;proto=https, for=10.0.0.2;proto=http"],
         "203.0.113.9", "https", "", "443"),
        (["for=203.0.113.9;proto=https, for=unknown;proto=http"], "", "http", "", "80"),
        (["for=203.0.113.9, for=_hidden"], "", "", "", ""),
        # An open quotation mark of a client swallows nothing.
        (['for="6.6.6.6', "for=203.0.113.9"], "203.0.113.9", "", "", ""),
        (["for=10.0.0.2, nonsense"], "", "", "", ""),
        (['host="<script>";proto=gopher;for=203.0.113.9'], "203.0.113.9", "", "", ""),
    ],
)  # fmt: skip
def test_forwarded(fields: list[str], client: str, scheme: str, host: str, port: str) -> None:
    found = told(*[("Forwarded", text) for text in fields])
    assert (found.client, found.scheme, found.host, found.port) == (client, scheme, host, port)


def test_families() -> None:
    both = ("X-Forwarded-For", "203.0.113.9"), ("Forwarded", "for=203.0.113.8;proto=https")
    assert told(*both).client == "203.0.113.9"
    assert told(*both).scheme == ""
    assert told(*both, family="forwarded").client == "203.0.113.8"
    assert told(both[1], family="x-forwarded") == told() == Told()
    assert told(("X-Real-IP", "203.0.113.7"), both[1]).client == "203.0.113.7"


@pytest.mark.parametrize(
    ("fields", "scheme", "host", "port"),
    [
        ({"X-Forwarded-Proto": "https"}, "https", "", "8443"),
        ({"X-Forwarded-Proto": "https", "X-Forwarded-Port": "444"}, "https", "", "444"),
        ({"X-Forwarded-Host": "a, b.test:81"}, "", "b.test", "81"),
        ({"X-Forwarded-Host": "a b", "X-Forwarded-Port": "99999"}, "", "", ""),
        ({"X-Forwarded-Port": "0"}, "", "", ""),
        ({"X-Forwarded-Port": "9" * 5000}, "", "", ""),
    ],
)
def test_scheme_host_and_port(fields: dict[str, str], scheme: str, host: str, port: str) -> None:
    found = told(("Host", "inner:8443"), *fields.items())
    assert (found.scheme, found.host, found.port) == (scheme, host, port)


def test_no_more_than_some_hops_are_looked_at() -> None:
    hops = ", ".join(["203.0.113.9", *["10.0.0.1"] * MOST_HOPS])
    assert told(("X-Forwarded-For", hops)).client == "10.0.0.1"
    assert told(("X-Forwarded-For", hops.replace("10.0.0.1, ", "", 1))).client == "203.0.113.9"


def _read(size: int) -> None:
    for name, text in (
        ("X-Forwarded-For", "10.0.0.1," * (size // 9)),
        ("X-Forwarded-For", "," * size),
        ("Forwarded", "for=10.0.0.1," * (size // 13)),
        ("Forwarded", 'for="' * (size // 5)),
        ("Forwarded", ";".join(f"a{number}=b" for number in range(size // 8))),
        ("Forwarded", 'for="' + "\\" * size),
    ):
        told((name, text))


def test_reading_costs_time_in_proportion() -> None:
    sizes = (8 * 1024, 64 * 1024)
    for small, large in pairwise(sizes):
        assert cost(_read, large) < 24 * cost(_read, small)


def context(remote: str = "10.0.0.1", *, unix: bool = False, **options: object) -> RequestContext:
    options.setdefault("trusted", TRUSTED)
    end = ("", 0) if unix else ("10.0.0.9", 8080)
    return RequestContext(Connection(1, (remote, 9), end, unix=unix, **options), 0.0)  # type: ignore[arg-type]


def test_a_mapped_address_is_that_of_ipv4() -> None:
    ctx = context("::ffff:198.51.100.1", trusted=())
    assert (
        ctx.connection.remote_addr
        == ctx.client_ip(Request("GET", "/", Headers()))
        == "198.51.100.1"
    )
    assert str(parse_network("::ffff:192.0.2.0/120")) == "192.0.2.0/24"
    assert context("::ffff:10.1.1.1").connection.is_trusted
    assert context("192.0.2.7").connection.is_trusted


@pytest.mark.parametrize(
    ("trusted", "believed"),
    [(("unix:",), True), (("127.0.0.0/8",), True), (("10.0.0.0/8",), False)],
)
def test_peers_on_a_unix_socket(trusted: tuple[str, ...], believed: bool) -> None:
    ctx = context("", unix=True, trusted=tuple(map(parse_trusted, trusted)))
    request = Request("GET", "/", headers(("X-Forwarded-For", "203.0.113.9")))
    assert ctx.client_ip(request) == ("203.0.113.9" if believed else "")
    hops = Value("$proxy_add_x_forwarded_for").expand(request, ctx)
    assert hops == ("203.0.113.9" if believed else None)
    assert Value("$server_port").expand(request, ctx) is None
    # The client of a trusted proxy came on a Unix socket there: that is no peer of ours.
    assert not context("", trusted=(parse_trusted("unix:"),)).connection.is_trusted


def test_what_is_added_for_the_upstream() -> None:
    request = Request("GET", "/", headers(("Host", "h:1"), ("Forwarded", 'for="[2001:db8::1]"')))
    forwarded = Value("$proxy_add_forwarded")
    assert (
        forwarded.expand(request, context())
        == 'for="[2001:db8::1]", for=10.0.0.1;host="h:1";proto=http'
    )
    assert forwarded.expand(request, context("fd00::1")) == 'for="[fd00::1]";host="h:1";proto=http'
    request = Request(
        "GET", "/", headers(("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Proto", "https")), "h"
    )
    assert forwarded.expand(request, context()) == (
        'for=203.0.113.9;host="h";proto=https, for=10.0.0.1;proto=http'
    )
    assert element("", "", "http") == "for=unknown;proto=http"
