"""Locations from labels: what a configuration becomes, and what is said about wrong labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pingap_docker.documents import snapshot_of

from pingap.build.loading import load_configuration
from pingap.build.registry import installed_registry
from pingap.config import Config, ConfigError
from pingap.config.snapshot import Snapshot

REGISTRY = installed_registry()

MAIN = """
[servers.web]
addr = "127.0.0.1:0"
[servers.inner]
addr = "127.0.0.1:0"
[plugins.limited]
category = "limit"
type = "rate"
max = 10
"""
CLASH = '[locations.wiki]\nservers = ["web"]\nplugins = ["pingap:ping"]\n'


def container(name: str, address: str = "10.0.0.2", /, **labels: str) -> dict[str, Any]:
    """Return a container with ``pingap`` labels, ``_`` for ``.``, as the daemon lists it."""
    return {
        "Id": name,
        "Names": [f"/{name}"],
        "State": "running",
        "Status": "Up 3 hours",
        "Ports": [{"PrivatePort": 3000, "Type": "tcp"}],
        "Labels": {f"pingap.{key.replace('__', '.')}": value for key, value in labels.items()},
        "NetworkSettings": {"Networks": {"proxy": {"IPAddress": address, "Gateway": "10.0.0.1"}}},
    }


def load(*containers: Mapping[str, Any], main: str = MAIN, server: str = "*") -> Config:
    found = snapshot_of(containers, (server,))
    files = (("conf.d/main.toml", main), *found.files)
    return load_configuration(
        Snapshot(files=files, warnings=found.warnings, optional=found.optional),
        REGISTRY,
    )


def told(*containers: Mapping[str, Any], main: str = MAIN) -> list[str]:
    return [str(one) for one in load(*containers, main=main).warnings]


def test_a_container_becomes_a_location_and_an_upstream() -> None:
    config = load(
        container("wiki", host="wiki.example, w.example", path="/w", port="8080", plugins="limited")
    )
    location = config.locations["wiki"]
    assert (location.host, location.path, location.upstream, location.plugins) == (
        "wiki.example, w.example",
        "/w",
        "wiki",
        ("limited",),
    )
    assert config.upstreams["wiki"].addrs == ("10.0.0.2:8080 1",)
    assert [one.locations for one in config.servers.values()] == [("wiki",), ("wiki",)]
    assert config.warnings == []


def test_servers() -> None:
    config = load(container("a", host="a", server="inner"), container("b", host="b"), server="web")
    assert (config.servers["inner"].locations, config.servers["web"].locations) == (("a",), ("b",))


def test_containers_with_the_same_host_and_path_share_an_upstream() -> None:
    compose = {"com.docker.compose.project": "site", "com.docker.compose.service": "shop"}
    both = [container("shop-2", "10.0.0.3", host="s", weight="3"), container("shop-1", host="s")]
    for one in both:
        one["Labels"] |= compose
    config = load(*both, container("other", "10.0.0.4", host="s", path="/other"))
    assert config.upstreams["site-shop"].addrs == ("10.0.0.2:3000 1", "10.0.0.3:3000 3")
    assert config.upstreams["other"].addrs == ("10.0.0.4:3000 1",)


def test_unhealthy_containers_get_requests_only_if_there_is_no_healthy_one() -> None:
    one, two = container("a", host="x"), container("b", "10.0.0.3", host="x")
    one["Status"] = "Up 3 hours (unhealthy)"
    assert load(one, two).upstreams["a"].addrs == ("10.0.0.3:3000 1",)
    two["Status"] = "Up 1 second (health: starting)"
    assert len(load(one, two).upstreams["a"].addrs) == 2
    one["Status"] = "Up 3 hours (healthy)"
    assert load(one, two).upstreams["a"].addrs == ("10.0.0.2:3000 1",)


def test_any_key_of_locations_and_upstreams() -> None:
    config = load(
        container(
            "a",
            host="x",
            location__client_max_body_size="1mb",
            location__proxy_set_headers='["X-A: 1"]',
            upstream__read_timeout="5m",
            upstream__verify_cert="false",
        )
    )
    assert config.locations["a"].client_max_body_size == 1_000_000
    assert len(config.locations["a"].proxy_set_headers) == 1
    assert config.upstreams["a"].read_timeout == 300
    assert config.upstreams["a"].verify_cert is False


@pytest.mark.parametrize("value", ["[" * 100_000, "{a=" * 50_000, "1" * 5000, "[" + "1" * 5000])
def test_values_that_toml_cannot_read_are_texts(value: str) -> None:
    wiki = container("wiki", host="wiki.example", location__grpc_web=value)
    shop = container("shop", host="shop.example", location__proxy_set_headers=f'["A: {value}"]')
    fine = container("fine", host="fine.example")
    assert "fine" in load(wiki, shop, fine).locations
    assert any("pingap.location.grpc_web" in one for one in told(wiki, shop, fine))


def test_a_container_with_several_locations() -> None:
    minio = container("minio", network="proxy")
    minio["Labels"] |= {
        "pingap.host": "s3.example",
        "pingap.port": "9000",
        "pingap.1.host": "console.example",
        "pingap.1.port": "9001",
        "pingap.1.upstream.read_timeout": "5m",
    }
    minio["NetworkSettings"]["Networks"]["inner"] = {"IPAddress": "10.9.9.9"}
    config = load(minio)
    assert config.warnings == []
    assert {name: one.addrs for name, one in config.upstreams.items()} == {
        "minio": ("10.0.0.2:9000 1",),
        "minio-1": ("10.0.0.2:9001 1",),
    }
    assert config.locations["minio-1"].host == "console.example"
    minio["Labels"]["pingap.1.plugins"] = "nothing"
    config = load(minio)
    assert list(config.locations) == ["minio"]
    (warning,) = map(str, config.warnings[:1])
    assert warning.startswith('container "minio" (1): label pingap.1.plugins: no plugin block')
    del minio["Labels"]["pingap.1.plugins"]
    minio["Labels"]["pingap.1.port"] = "x"
    assert told(minio)[0].startswith('container "minio" (1): label pingap.1.port: found "x"')
    minio["Labels"] = {"pingap.7.host": "x", "pingap.enable": "true"}
    assert list(load(minio).locations) == ["minio-7"]
    minio["Labels"] = {"pingap.1.enable": "true", "pingap.1.host": "x"}
    assert told(minio)[0].startswith('container "minio" (1): label pingap.1.enable: ')


def test_the_network_is_chosen() -> None:
    one = container("a", host="x", network="proxy")
    one["NetworkSettings"]["Networks"]["inner"] = {"IPAddress": "10.9.9.9"}
    assert load(one).upstreams["a"].addrs == ("10.0.0.2:3000 1",)


def test_containers_without_labels_and_those_that_are_off_are_ignored() -> None:
    config = load(container("a"), container("b", enable="false", host="x", port="no"))
    assert (config.locations, config.warnings) == ({}, [])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"port": "http"}, 'port: found "http", expected a number from 1 to 65535'),
        ({"port": "0"}, 'port: found "0", expected a number from 1 to 65535'),
        ({"weight": "-1"}, 'weight: found "-1", expected a number from 0 to 65535'),
        (
            {"weight": "0"},
            "port and pingap.weight: found only weights of 0, expected a backend that gets requests",
        ),
        ({"enable": "maybe"}, 'enable: found "maybe", expected true or false'),
        ({"hots": "x"}, "hots: unknown label; did you mean pingap.host?"),
        ({"upstream__addrs": "x"}, "upstream.addrs: use the label pingap.port"),
        ({"network": "x"}, 'network: the container is not in the network "x", only in: proxy'),
        (
            {"location__max_bdy": "1"},
            "location.max_bdy: unknown key",
        ),
        (
            {"plugins": "limitd"},
            'plugins: no plugin block is named "limitd"; did you mean "limited"?',
        ),
        ({"server": "wbe"}, 'server: no server is named "wbe"; did you mean "web"?'),
        ({"path": "~ ("}, "path: "),
        ({"host": "~ ("}, "host: "),
        ({"upstream__read_timeout": "soon"}, "upstream.read_timeout: "),
        ({"location__rewrite": "^/( /x"}, "location.rewrite: "),
        ({"upstream__algo": "nope"}, "upstream.algo: "),
        ({"upstream__health_check": "ftp://x"}, "upstream.health_check: "),
        ({"upstream__upstream_ca": "/nowhere.pem", "upstream__sni": "x"}, "upstream.upstream_ca: "),
        ({"name": "taken"}, "name: is defined here and in conf.d/main.toml:"),
        ({"location__plugins": "x"}, "location.plugins: use the label pingap.plugins"),
    ],
)
def test_a_wrong_container_is_left_out_and_the_others_are_served(
    labels: dict[str, str], message: str
) -> None:
    wrong = container("wiki", "10.0.0.7", **{"host": "wiki.example", **labels})
    main = MAIN + '[upstreams.taken]\naddrs = ["10.0.0.9:1"]\n'
    config = load(wrong, container("shop", host="shop.example"), main=main)
    assert list(config.locations) == ["shop"]
    text = str(config.warnings[0])
    assert text.replace("labels", "label").startswith(f'container "wiki": label pingap.{message}')
    assert text.endswith("; this is left out")
    assert all(one.locations == ("shop",) for one in config.servers.values())


def test_what_is_missing_is_told() -> None:
    assert told(container("a", port="80")) == [
        'container "a": label pingap.host: missing, and so is pingap.path: one of them is needed;'
        " this is left out"
    ]
    bare = container("a", host="x")
    bare["Ports"] = []
    assert told(bare) == [
        'container "a": label pingap.port: missing, and the container exposes no port; this is left out'
    ]
    bare["NetworkSettings"] = {"Networks": {"host": {"IPAddress": ""}}}
    bare["Labels"]["pingap.port"] = "80"
    assert told(bare) == [
        'container "a": label pingap.port: the container has no address of its own; this is left out'
    ]


def test_labels_that_contradict_each_other_are_told_with_both_containers() -> None:
    both = (container("a", host="x", plugins="limited"), container("b", host="x"))
    assert told(*both) == [
        'container "b": label pingap.plugins: nothing here and limited in container "a", which has the'
        " same host and path; this is left out"
    ]
    two = (container("a", host="x", name="n"), container("b", host="y", name="n"))
    (first, *_) = told(*two)
    assert first.startswith(
        'container "b": label pingap.name: is defined here and in container "a":'
    )


def test_a_location_of_the_files_wins_whatever_the_order() -> None:
    config = load(container("wiki", host="x"), main=MAIN + CLASH)
    assert config.locations["wiki"].plugins == ("pingap:ping",)
    assert "label pingap.name: is defined here and in conf.d/main.toml:10" in str(
        config.warnings[0]
    )


def test_errors_in_the_files_stay_errors() -> None:
    with pytest.raises(ConfigError, match=r"conf.d/main.toml:2: servers.web.adr: unknown key"):
        load(container("a", host="x"), main='[servers.web]\nadr = ""\naddr = "127.0.0.1:0"')


def test_a_wrong_container_changes_the_version() -> None:
    """Otherwise, nothing would be loaded, and nothing reported."""
    right = snapshot_of([container("a", host="x")], ("*",))
    wrong = snapshot_of([container("a", host="x"), container("b", hots="x")], ("*",))
    assert right.version != wrong.version


def test_workers_get_the_same() -> None:
    config = load(container("a", host="x", plugins="nothing"), container("b", host="y"))
    received = Snapshot.from_bytes(config.snapshot.to_bytes())
    assert received == config.snapshot
    assert list(load_configuration(received, REGISTRY).locations) == ["b"]


@settings(max_examples=40)
@given(st.text(), st.text(), st.text(), st.text())
def test_any_labels_are_a_location_or_a_warning(host: str, path: str, name: str, key: str) -> None:
    one = container("a", host=host, path=path, name=name, location__remark=key)
    config = load(one, main='[servers.web]\naddr = "127.0.0.1:0"')
    is_left_out = any("this is left out" in one.message for one in config.warnings)
    assert bool(config.locations) != is_left_out
    assert config.servers.keys() == {"web"}
