"""Entries of ``transparent_allow``: what they mean, and what is none."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingap.config.allowed_hosts import is_special, parse_allowed_host, plain_address


@pytest.mark.parametrize(
    ("text", "name", "below", "network", "port"),
    [
        ("api.example.com", "api.example.com", False, None, None),
        ("API.example.com.:8443", "api.example.com", False, None, 8443),
        ("*.example.com:443", "example.com", True, None, 443),
        ("10.0.0.1", "", False, "10.0.0.1/32", None),
        ("10.0.0.0/8", "", False, "10.0.0.0/8", None),
        ("10.0.0.0/8:8080", "", False, "10.0.0.0/8", 8080),
        ("fd00::/8", "", False, "fd00::/8", None),
        ("[fd00::/8]", "", False, "fd00::/8", None),
        ("[::1]:81", "", False, "::1/128", 81),
    ],
)
def test_entries(text, name, below, network, port):
    found = parse_allowed_host(text)
    assert (found.name, found.below, found.port) == (name, below, port)
    assert (str(found.network) if found.network else None) == network


@pytest.mark.parametrize(
    "text",
    ["", "*", "*.", "*.*.com", "a.*.com", "*a.com", "a b", "http://a", "a/b", "a:", "a:0", "a:65536",
     "a:x", ":80", "[a]", "[10.0.0.1]", "[::1", "[::1]80", "10.0.0.0/33", "10.0.0.1/8", "1", "127.1",
     "a.com,b.com", "~a", "-a.com", "\u00e9.com"],
)  # fmt: skip
def test_what_is_no_entry(text):
    with pytest.raises(ValueError, match="found "):
        parse_allowed_host(text)


@given(st.text(max_size=40))
def test_any_text_is_an_entry_or_an_error_for_the_operator(text):
    try:
        parse_allowed_host(text)
    except ValueError as error:
        assert str(error).startswith("found ")  # noqa: PT017 - any text may be fine, too


def test_names():
    exact, below = parse_allowed_host("a.com"), parse_allowed_host("*.a.com")
    assert [exact.has_name(one) for one in ("a.com", "b.a.com", "xa.com")] == [True, False, False]
    assert [below.has_name(one) for one in ("a.com", "c.b.a.com", "xa.com")] == [False, True, False]
    assert not parse_allowed_host("10.0.0.0/8").has_name("")


@pytest.mark.parametrize(
    ("text", "special"),
    [("127.0.0.1", True), ("0.0.0.0", True), ("169.254.169.254", True), ("255.255.255.255", True),
     ("::", True), ("::1", True), ("::ffff:127.0.0.1", True), ("fe80::1", True), ("ff02::1", True),
     ("64:ff9b::7f00:1", True), ("224.0.0.1", True),
     ("10.0.0.1", False), ("192.0.2.1", False), ("2001:db8::1", False), ("fd00::1", False),
     ("::ffff:10.0.0.1", False)],
)  # fmt: skip
def test_special_addresses(text, special):
    address = plain_address(text)
    assert address is not None
    assert is_special(address) is special
    if not special:
        return
    everything = [parse_allowed_host("0.0.0.0/0"), parse_allowed_host("::/0")]
    assert not any(one.names_special for one in everything)
    named = parse_allowed_host(str(address))
    assert named.names_special
    assert named.has_address(address)


def test_a_host_that_is_no_address():
    assert plain_address("a.com") is None
    assert plain_address("127.1") is None
    assert plain_address("::ffff:10.0.0.1") == ip_address("10.0.0.1")
