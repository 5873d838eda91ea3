"""``alpn`` beside keys that it does not go with."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.rig import configure

from pingap.build.graph import build
from pingap.build.registry import installed_registry
from pingap.config import ConfigError, load
from pingap.plugins.registry import Registry


@pytest.fixture
def registry() -> Registry:
    return installed_registry()


def _load(folder: Path, upstream: str, registry: Registry):
    file = folder / "pingap.toml"
    file.write_text(configure("127.0.0.1:1", upstream=upstream))
    return load(file, claims=registry.claims)


def test_either_version_needs_tls_to_choose(tmp_path: Path, registry: Registry) -> None:
    runtime = build(_load(tmp_path, 'alpn = "H2H1"', registry), registry)
    (warning,) = runtime.warnings
    assert "upstreams.origin.alpn: has no effect without sni" in str(warning)


@pytest.mark.parametrize("alpn", ["H2", "H2H1"])
def test_a_shared_connection_is_nobodys(tmp_path: Path, registry: Registry, alpn: str) -> None:
    config = _load(tmp_path, f'alpn = "{alpn}"\nproxy_protocol = "v1"', registry)
    with pytest.raises(
        ConfigError, match=r"upstreams\.origin\.alpn: clients share HTTP/2 connections"
    ):
        build(config, registry)
