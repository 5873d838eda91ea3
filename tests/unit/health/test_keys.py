from __future__ import annotations

import pytest

from pingap.upstream.health.keys import HEALTH, peer_key, split_key


@pytest.mark.parametrize("name", ["a", "a:b", "ä %3A", ""])
@pytest.mark.parametrize("text", ["10.0.0.1:80", "[::1]:80", "unix:/run/a:b"])
def test_a_key_tells_upstream_and_peer(name: str, text: str) -> None:
    key = peer_key(HEALTH, name, text)
    assert key.startswith("health:")
    assert split_key(key) == (name, text)
