"""Internals of the proxy that every client can read, because no guard protects them.

A location needs a guard if its path contains a word such as ``admin``, or if one of its plugins declares that
it reveals internals of the proxy (``Plugin.answers``). A server that only this machine can reach needs none,
unless ``basic.trusted_proxies`` indicates that there is a proxy in front of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pingap.build.runtime import Runtime
from pingap.config import ServerConfig, TcpAddress
from pingap.inspection.finding import Finding, finding
from pingap.inspection.places import instances_of, instances_of_server

_WORDS = re.compile(
    r"(?<![A-Za-z0-9])(admin|stats|metrics|debug|internal|console|actuator|pprof)"
    r"(?![A-Za-z0-9])"
)

_FIX = "list a guard before the other plugins, such as ip_restriction or basic_auth"
_METRICS_FIX = "restrict access to this address, or remove the key"


def missing_guards(runtime: Runtime) -> Iterator[Finding]:
    """``missing-guard``: internals of the proxy, or an admin-like path, that every client can reach."""
    config = runtime.config
    built = {one.name: one for one in runtime.plugins}
    open_locations: set[str] = set()
    for name, server in config.servers.items():
        if _is_local(server) and not config.basic.trusted_proxies:
            continue
        if not any(one.plugin.guard for one in instances_of_server(runtime, name)):
            open_locations.update(server.locations)
        if server.prometheus_metrics:
            path = ("servers", name, "prometheus_metrics")
            message = "every client of this server can read the metrics"
            yield finding(runtime, "missing-guard", path, message, _METRICS_FIX)
    for name in config.locations:
        if name not in open_locations:
            continue
        instances = instances_of(config, name, built)
        if any(one.plugin.guard for one in instances):
            continue
        inside = [one.name for one in instances if one.plugin.answers == "internal"]
        if inside:
            message = (
                f'every client can read the output of "{inside[0]}": no plugin here is a guard'
            )
            yield finding(runtime, "missing-guard", ("locations", name, "plugins"), message, _FIX)
        elif match := _WORDS.search(config.locations[name].path):
            message = f'every client can reach "{match[1]}": no plugin here is a guard'
            yield finding(runtime, "missing-guard", ("locations", name, "path"), message, _FIX)


def _is_local(server: ServerConfig) -> bool:
    return all(
        one.host == "localhost" or (one.ip is not None and one.ip.is_loopback)
        for one in server.addresses
        if isinstance(one, TcpAddress)
    )
