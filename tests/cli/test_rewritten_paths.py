"""What ``lint`` and ``explain`` say of a location that rewrites paths."""

from __future__ import annotations

from pathlib import Path

from support.command import invoke

TENANTS = """
[upstreams.blue]
addrs = ["127.0.0.1:9"]
[locations.tenants]
host = '~^(?<tenant>[a-z]+)\\.example\\.com$'
rewrite = "^/(?<colour>blue|green)/(?<rest>.*)$ /tenant/$rest"
upstream = "$colour"
[servers.web]
addr = "127.0.0.1:8080"
locations = ["tenants"]
"""


def test_lint_finds_names_without_a_dollar_sign(tmp_path: Path) -> None:
    (tmp_path / "pingap.toml").write_text(TENANTS)
    _, out, _ = invoke("lint", "-c", tmp_path / "pingap.toml")
    assert 'pingap.toml:6: locations.tenants.rewrite: "tenant" is literal text here' in out
    assert "write $tenant for the text of the group" in out


def test_explain_calls_no_plugin(tmp_path: Path) -> None:
    (tmp_path / "pingap.toml").write_text(TENANTS)
    url = "http://acme.example.com/blue/x"
    _, out, _ = invoke("explain", "-c", tmp_path / "pingap.toml", "GET", url)
    assert "$colour depends on the rewritten path" in out
