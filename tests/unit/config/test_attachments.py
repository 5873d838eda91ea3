"""Locations that name their servers."""

from __future__ import annotations

import pytest

from pingap.config import ConfigError, parse

SERVERS = (
    '[servers.a]\naddr = "127.0.0.1:1"\nlocations = ["x"]\n[servers.b]\naddr = "127.0.0.1:2"\n'
)


def served(entries: str) -> list[tuple[str, ...]]:
    toml = f'{SERVERS}[locations.x]\nplugins = ["pingap:ping"]\n'
    toml += f'[locations.y]\nplugins = ["pingap:ping"]\nservers = {entries}\n'
    return [one.locations for one in parse(toml).servers.values()]


def test_servers_serve_locations_that_name_them() -> None:
    assert served('["a"]') == [("x", "y"), ()]
    assert served('["*"]') == [("x", "y"), ("y",)]
    assert served('["a", "*", "a"]') == [("x", "y"), ("y",)]
    assert served("[]") == [("x",), ()]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ('["aa"]', 'locations.y.servers[0]: no server is named "aa"; did you mean "a"?'),
        ('"a"', "locations.y.servers: "),
        ("[1]", "locations.y.servers[0]: "),
    ],
)
def test_wrong_servers(entries: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        served(entries)
    assert message in str(caught.value)
