"""``pingap lint`` reports orders of plugins in which a restriction has no effect, or does harm."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TOML = """
[plugins.page]
category = "mock"
[plugins.addresses]
category = "ip_restriction"
ip_list = ["192.0.2.7"]
[plugins.agents]
category = "ua_restriction"
type = "deny"
ua_list = ["curl"]
[plugins.methods]
category = "method_restriction"
methods = ["GET"]
[plugins.headers]
category = "header_restriction"
required = ["X-A"]
[plugins.links]
category = "referer_restriction"
referer_list = ["a.test"]
[plugins.sharing]
category = "cors"
[locations.wrong]
path = "/wrong"
plugins = ["page", "addresses", "agents", "methods", "headers", "links", "sharing"]
[locations.right]
path = "/right"
plugins = ["addresses", "agents", "links", "sharing", "methods", "headers", "page"]
[servers.s]
addr = "127.0.0.1:0"
locations = ["wrong", "right"]
"""


def test_wrong_orders_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "pingap.toml"
    path.write_text(TOML)
    command = [sys.executable, "-m", "pingap", "lint", "-c", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    for guard in ("addresses", "agents", "methods", "headers", "links"):
        assert f'"page" may answer before the guard "{guard}" is asked' in done.stdout
    for guard in ("methods", "headers"):  # they would refuse preflight requests
        assert f'"sharing" (cors) belongs in front of "{guard}"' in done.stdout
    assert "locations.right" not in done.stdout
    assert "locations.wrong" in done.stdout
