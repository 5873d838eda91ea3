"""A server with a plugin that stands beside its configuration, in ``local.py``."""

from __future__ import annotations


def local_plugin(*, basic: str = "", server: str = "") -> str:
    """Return TOML of it; the arguments are more keys of ``[basic]`` and of the server."""
    return f"""{_basic(basic)}
[plugins.local]
category = "python"
path = "local.py"
[locations.all]
plugins = ["local"]
[servers.web]
addr = "127.0.0.1:0"
locations = ["all"]
{server}
"""


def _basic(keys: str) -> str:
    return f"\n[basic]\n{keys}" if keys else ""


def control(category: str, *, basic: str = "") -> str:
    """Return TOML of a server with a plugin below ``/control``, and a text that may be changed elsewhere.

    :param category: lines of the plugin: its category, and what goes with that.
    """
    return f"""{_basic(basic)}
[plugins.control]
{category}
[locations.control]
path = "/control"
plugins = ["control"]
[plugins.hello]
category = "mock"
data = "one"
[locations.hello]
plugins = ["hello"]
[servers.web]
addr = "127.0.0.1:0"
locations = ["control", "hello"]
"""
