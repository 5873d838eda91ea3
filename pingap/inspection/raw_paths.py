"""Guards that a client can bypass, because the server matches raw paths."""

from __future__ import annotations

from collections.abc import Iterator

from pingap.build.runtime import Runtime
from pingap.config import Config
from pingap.inspection.finding import Finding, finding
from pingap.inspection.places import instances_of
from pingap.proxy.matching import PathKind, PathMatcher

_FIX = 'remove path_matching = "raw", or guard the whole server: a location without path'


def raw_guards(runtime: Runtime) -> Iterator[Finding]:
    """``raw-path-guard``: a guard for some paths only, on a server that matches raw paths.

    A ``mock`` that answers with an error also counts as a guard: it blocks its paths.
    """
    config = runtime.config
    built = {one.name: one for one in runtime.plugins}
    for name, server in config.servers.items():
        if server.path_matching != "raw":
            continue
        for one in server.locations:
            location = config.locations[one]
            path = PathMatcher.parse(location.path, raw=True)
            everything = path.kind is PathKind.ANY or path.text == "/"
            guards = [
                instance.name
                for instance in instances_of(config, one, built)
                if instance.plugin.guard or _denies(config, instance.name)
            ]
            if guards and not everything:
                message = (
                    f'the server {name} matches raw paths, so clients can bypass "{guards[0]}" by'
                    " another spelling of the path, such as //path or /%70ath"
                )
                yield finding(runtime, "raw-path-guard", ("locations", one, "path"), message, _FIX)


def _denies(config: Config, name: str) -> bool:
    plugin = config.plugins.get(name)
    if plugin is None or plugin.category != "mock":
        return False
    status = plugin.options.get("status")
    return isinstance(status, int) and status >= 400
