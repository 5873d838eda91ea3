"""Sections that nothing refers to.

Settings of plugins may refer to upstreams and other plugins in ways that only the plugin knows, so a name
that occurs anywhere in them counts as used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pingap.build.runtime import Runtime
from pingap.inspection.finding import Finding, finding


def unused(runtime: Runtime) -> Iterator[Finding]:
    """``unused``: a table that has no effect, because nothing refers to it."""
    config = runtime.config
    for section, referrer, used in _references(runtime):
        for name in getattr(config, section):
            if name not in used:
                message = f"is never used: {referrer}"
                fix = "remove it, or refer to it"
                yield finding(runtime, "unused", (section, name), message, fix)


def _references(runtime: Runtime) -> Iterator[tuple[str, str, Iterable[str]]]:
    """Yield each section with the message for unused items and the names that are used."""
    config = runtime.config
    locations, servers = config.locations.values(), config.servers.values()
    upstreams = config.upstreams.values()
    named = set(_texts([plugin.options for plugin in config.plugins.values()]))
    tables = (config.basic, *servers, *locations, *upstreams, *config.certificates.values())
    named |= set(_texts([table.claimed for table in tables]))
    yield "locations", "no server lists it", {one for server in servers for one in server.locations}
    listed = {one for location in locations for one in location.plugins}
    listed |= {one for server in servers for one in server.plugins}
    balancing = {one.name for one in runtime.plugins if hasattr(one.plugin, "pingap_balancers")}
    yield "plugins", "no location or server lists it", listed | named | balancing
    chosen = {location.upstream for location in locations}
    if not any(name.startswith("$") for name in chosen):  # a variable can be any name
        yield "upstreams", "no location uses it", chosen | named
    if not any(server.global_certificates for server in servers):
        yield "certificates", "no server has global_certificates", ()
    included = {one for server in servers for one in server.includes}
    included |= {one for location in locations for one in location.includes}
    included |= {one for upstream in upstreams for one in upstream.includes}
    yield "storages", "nothing includes it", included | named


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _texts(list(value.values()))
        yield from value  # names may be keys: {"backend-a" = 3}
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)
