"""Entries of headers that do not do what they seem to are told when the configuration is loaded."""

from __future__ import annotations

import pytest

from pingap.build.graph import build
from pingap.build.registry import installed_registry
from pingap.config import ConfigError, parse

TEXT = """
[upstreams.app]
addrs = ["127.0.0.1:9"]
health_check = "none"
[plugins.add]
category = "response_headers"
set_headers = ["X-A: 1", {plugin}]
[locations.all]
upstream = "app"
plugins = ["add"]
proxy_set_headers = [{set}]
proxy_add_headers = [{add}]
[servers.web]
addr = "127.0.0.1:80"
locations = ["all"]
"""


def warnings(*, plugin: str = "", sets: str = "", add: str = "") -> list[str]:
    runtime = build(parse(TEXT.format(plugin=plugin, set=sets, add=add), "c"), installed_registry())
    return [str(one) for one in runtime.warnings]


@pytest.mark.parametrize(
    "name",
    ["Connection", "upgrade", "TE", "Keep-Alive", "Transfer-Encoding", "Content-Length", "Trailer"],
)
def test_headers_that_cannot_be_set(name: str) -> None:
    for key in ("sets", "add", "plugin"):
        [warning] = warnings(**{key: f'"{name}: x"'})
        line = {"sets": "c:11: locations.all.proxy_set_headers[0]",
                "add": "c:12: locations.all.proxy_add_headers[0]",
                "plugin": "c:7: plugins.add.set_headers[1]"}[key]  # fmt: skip
        assert warning.startswith(f"{line}: has no effect: {name} ")


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        ("$host:8080", "$host"), ("a-$remote_addr", "$remote_addr"), ("${host}", None),
        ("x $http_user_agent", "$http_user_agent"), ("id=:connection_id;", ":connection_id"),
        ("$hostname.local", "$hostname"), ("$PINGAP_TEST_X/", "$PINGAP_TEST_X"),
        ("http://host:8080", None), ("max-age=1:30", None), ("$5.00", None), ("US$price", None),
        ("$host", None), (":connection_id", None), (":8080", None), (": x", None), ("a:location", None),
        ("http://a/:upstream_addr", None),
    ],
)  # fmt: skip
def test_text_around_a_variable(
    monkeypatch: pytest.MonkeyPatch, value: str, literal: str | None
) -> None:
    monkeypatch.setenv("PINGAP_TEST_X", "env")
    found = warnings(sets=f'"X-A: {value}"')
    if literal is None:
        assert found == []
    else:
        [warning] = found
        assert f": {literal} is sent as it is written" in warning


def test_a_host_that_is_added() -> None:
    assert "proxy_set_headers" in warnings(add='"Host: a"')[0]
    assert warnings(sets='"Host: a"') == []


def test_unknown_keys() -> None:
    with pytest.raises(
        ConfigError, match=r"proxy_set_headers\[0\]: :service_tim is not a value .*service_time"
    ):
        warnings(sets='"X-A: :service_tim"')
    assert warnings(sets='"X-A: :service_time_human", "X-B: :upstream_tcp_connect_time"') == []
