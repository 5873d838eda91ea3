"""Sets of networks: they contain what ``ipaddress`` says, and are fast."""

from __future__ import annotations

import random
import time
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingap.http.network_sets import RangeSet, parse_list, parse_network

ADDRESSES = st.one_of(
    st.ip_addresses(v=4),
    st.ip_addresses(v=6),
    # Close together, so that networks meet each other and the addresses that are looked up.
    st.integers(0, 63).map(lambda n: IPv4Address("10.0.0.0") + n),
    st.integers(0, 63).map(lambda n: IPv6Address("2001:db8::") + n),
    st.integers(0, 63).map(lambda n: IPv6Address("2001:db8::") + (n << 62)),
    st.sampled_from([ip_address("255.255.255.255"), IPv6Address(2**128 - 1), ip_address("::")]),
)


@st.composite
def networks(draw: st.DrawFn) -> str:
    address = draw(ADDRESSES)
    bits = address.max_prefixlen
    length = draw(st.one_of(st.integers(max(0, bits - 6), bits), st.integers(0, bits)))
    return f"{address}/{length}"


def as_ipv4(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    return (address.version == 6 and address.ipv4_mapped) or address


@given(st.lists(networks(), max_size=8), st.lists(ADDRESSES, min_size=1, max_size=20))
def test_a_set_contains_what_its_networks_contain(
    texts: list[str], addresses: list[IPv4Address | IPv6Address]
) -> None:
    found = RangeSet(map(parse_network, texts))
    known = [ip_network(text, strict=False) for text in texts]
    mapped = [
        one for one in known if one.version == 6 and one.subnet_of(ip_network("::ffff:0:0/96"))
    ]
    for address in addresses:
        wanted = any(as_ipv4(address) in network for network in known)
        wanted = wanted or any(
            IPv6Address(f"::ffff:{as_ipv4(address)}") in network
            for network in mapped
            if as_ipv4(address).version == 4
        )
        assert (str(address) in found) is wanted


@pytest.mark.parametrize(
    ("entry", "inside", "outside"),
    [
        ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
        ("192.0.2.7/24", "192.0.2.255", "192.0.3.0"),
        ("0.0.0.0/0", "255.255.255.255", "::1"),
        ("::/0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "192.0.2.7"),
        ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
        ("2001:db8::8/125", "2001:db8::f", "2001:db8::10"),
        ("::ffff:192.0.2.0/120", "192.0.2.7", "192.0.3.7"),
        ("::ffff:0:0/96", "192.0.2.7", "::1"),
        ("192.0.2.7", "::ffff:192.0.2.7", "::192.0.2.7"),
        ("192.0.2.7", "::ffff:c000:207", "64:ff9b::c000:207"),
        ("fe80::/10", "fe80::1%eth0", "fec0::1%eth0"),
    ],
)
def test_entries(entry: str, inside: str, outside: str) -> None:
    found = RangeSet([parse_network(entry)])
    assert inside in found
    assert outside not in found


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "localhost", "10.0.0", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/+8",
        "10.0.0.0/255.0.0.0", "10.0.0.0/٨", "010.0.0.1", "10.0.0.1 ", "10.0.0.1/8/8", "0x7f.0.0.1",
        "2130706433", "1.2.3.4:80", "[::1]", "::/129", "fe80::1%eth0", "fe80::1%eth0/64", "::1\0",
        "1.2.3.4\n", "\uff11.2.3.4", "10.0.0.0/" + "9" * 5000,
    ],
)  # fmt: skip
def test_what_is_no_network(text: str) -> None:
    with pytest.raises(ValueError, match="is not an IP address or network") as caught:
        parse_network(text)
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize("text", ["", "localhost", "1.2.3", "1.2.3.4/32", "::1::", "1.2.3.4\0"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="invalid IP address syntax"):
        text in RangeSet([parse_network("0.0.0.0/0")])  # noqa: B015


def test_lists_have_comments() -> None:
    text = "# Those who attacked us\n\n192.0.2.0/24 ; SBL1\r\n  2001:db8::/32#x\n;198.51.100.1\n"
    found = RangeSet(parse_list(text, "list"))
    assert "192.0.2.1" in found
    assert "2001:db8::1" in found
    assert "198.51.100.1" not in found


def test_a_mistake_in_a_list_is_reported_with_its_line() -> None:
    with pytest.raises(ValueError, match=r'^bad\.txt:3: "10\.0\.0/8" is not an IP address'):
        list(parse_list("192.0.2.1\n# more\n10.0.0/8\n", "bad.txt"))


def test_an_address_is_found_among_100_000_networks_in_less_than_3_us() -> None:
    chance = random.Random(1)

    def word() -> str:
        return f"{chance.getrandbits(16):x}"

    ipv4 = [f"{IPv4Address(chance.getrandbits(32))}/{chance.randint(20, 32)}" for _ in range(50000)]
    ipv6 = [f"2001:{word()}:{word()}::/{chance.randint(32, 64)}" for _ in range(50000)]
    found = RangeSet(map(parse_network, ipv4 + ipv6))
    sought = [str(IPv4Address(chance.getrandbits(32))) for _ in range(250)]
    sought += [f"2001:{word()}:{word()}::{word()}" for _ in range(250)]

    def seconds() -> float:
        began = time.process_time()
        for address in sought:
            address in found  # noqa: B015
        return (time.process_time() - began) / len(sought)

    assert min(seconds() for _ in range(100)) < 3e-6
