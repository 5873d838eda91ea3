"""Entries, and where requests to a container go."""

from __future__ import annotations

import pytest
from daemon import recorded
from hypothesis import given
from hypothesis import strategies as st
from pingap_docker.containers import Entry, NoAddress, endpoint_of, parse_entry

CONTAINERS = {one["Names"][0].removeprefix("/"): one for one in recorded()}


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("app", Entry("app")),
        ("app=web", Entry("app=web")),
        ("com.example/app=web:8080", Entry("com.example/app=web", 8080)),
        ("app=web  3", Entry("app=web", None, 3)),
        (" app=web:80 3 ", Entry("app=web", 80, 3)),
        ("app=", Entry("app=")),
    ],
)
def test_entries(text: str, entry: Entry) -> None:
    assert parse_entry(text) == entry


@pytest.mark.parametrize(
    "text",
    ["", "=web", "app:", "app:x", "app:0", "app:65536", "app 0", "app 1 2", "app -1", "a b c"],
)
def test_malformed_entries(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_entry(text)


@given(st.text())
def test_any_text_is_an_entry_or_a_mistake(text: str) -> None:
    try:
        entry = parse_entry(text)
    except ValueError:
        return
    assert entry.label
    assert entry.weight > 0


@pytest.mark.parametrize(
    ("name", "entry", "address"),
    [
        ("shop-1", "app:1234", "172.17.0.2:1234"),  # the port that is asked for, exposed or not
        ("shop-2", "app:1234", "172.18.0.5:1234"),
        ("shop-1", "app", "172.17.0.2:3000"),  # not published: the lowest one
        ("shop-2", "app", "172.18.0.1:32768"),  # published: from outside, through the gateway
        ("shop-local", "app", "127.0.0.1:8080"),  # published there only
        ("bare", "app:80", "172.17.0.7:80"),
    ],
)
def test_where_requests_go(name: str, entry: str, address: str) -> None:
    endpoint = endpoint_of(CONTAINERS[name], parse_entry(f"{entry} 2"))
    assert (str(endpoint), endpoint.weight) == (address, 2)


def test_containers_without_ports_and_without_addresses() -> None:
    with pytest.raises(NoAddress, match=r"^exposes no port: write bare:PORT$"):
        endpoint_of(CONTAINERS["bare"], Entry("bare"))
    with pytest.raises(NoAddress, match=r"^has no address of its own$"):
        endpoint_of(CONTAINERS["on-the-host"], Entry("hosted", 80))


def test_ipv6_is_used_where_there_is_nothing_else() -> None:
    network = {"IPAddress": "", "GlobalIPv6Address": "fd00::5"}
    container = {"Id": "0123456789abcdef", "NetworkSettings": {"Networks": {"six": network}}}
    assert str(endpoint_of(container, Entry("a", 80))) == "[fd00::5]:80"
    with pytest.raises(NoAddress, match=r"^has no"):
        endpoint_of(container, Entry("a", 80), ipv4_only=True)


def test_a_published_port_without_a_gateway_is_used_from_inside() -> None:
    container = {
        "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}],
        "NetworkSettings": {
            "Networks": {"inner": {"Gateway": "", "IPAddress": "10.0.0.2"}, "off": None}
        },
    }
    assert str(endpoint_of(container, Entry("a"))) == "10.0.0.2:80"
