"""Named groups of a location are variables in the headers that it sets."""

from __future__ import annotations

import pytest

from pingap.testing import Proxy, Upstream, configuration_problems


def test_groups_of_path_and_host(proxy: Proxy, upstream: Upstream) -> None:
    proxy.location(
        "~^/(?<area>[^/]+)/(?P<rest>x*)",
        host=r"~^(?<tenant>[a-z]+)\.example$",
        proxy_set_headers=["X-Area: $area", "X-Rest: $rest"],
        proxy_add_headers=["X-Tenant: $tenant"],
    )
    proxy.get("/caf%C3%A9%20/", headers={"Host": "acme.example", "X-Rest": "forged"})
    received = upstream.received_once()
    assert received.header("x-area") == "caf%C3%A9%20"
    assert received.header("x-tenant") == "acme"
    assert received.header("x-rest") is None  # a group without text is no value


def test_a_group_hides_an_environment_variable(
    proxy: Proxy, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AREA", "of the environment")
    proxy.location("~^/(?<AREA>a)", proxy_set_headers=["X-Area: $AREA"])
    proxy.location("/b", proxy_set_headers=["X-Area: $AREA"])
    proxy.get("/a")
    proxy.get("/b")
    found = [request.header("x-area") for request in upstream.requests]
    assert found == ["a", "of the environment"]


def test_an_unknown_name_lists_the_groups() -> None:
    [problem] = configuration_problems(
        '[locations.l]\npath = "~^/(?<area>a)"\nupstream = "u"\nproxy_set_headers = ["X-A: $aera"]\n'
        '[upstreams.u]\naddrs = ["127.0.0.1:9"]\n'
    )
    assert "$aera is neither" in problem
    assert "$area" in problem
