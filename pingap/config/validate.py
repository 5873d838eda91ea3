"""Checks that concern more than one table, and those that depend on another key of the table.

Nothing is built, resolved or opened. Source: config.md, section 2, and the pitfalls listed there.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, ip_address

from pingap.config import distributions
from pingap.config.addresses import Address, TcpAddress, UnixAddress, parse_backend
from pingap.config.decode import Claims, Items
from pingap.config.entries import never_matched
from pingap.config.merge import Table
from pingap.config.model import BasicConfig, LocationConfig, ServerConfig, UpstreamConfig
from pingap.config.model.upstream import ASKED_HOST
from pingap.config.problem import KeyPath, did_you_mean, dotted, quoted
from pingap.config.source import Report
from pingap.http.networks import UNIX

BUILT_IN_PLUGINS = ("pingap:ping", "pingap:stats", "pingap:requestId")
"""Plugin instances that exist without a table of their own."""

_BROADCAST = IPv4Address("255.255.255.255")
_OF_LISTED_BACKENDS = (
    "health_check",
    "passive_failures",
    "passive_ejection_time",
    "passive_max_ejected_percent",
    "enable_backend_stats",
    "circuit_break_max_consecutive_failures",
    "circuit_break_max_failure_percent",
)
_STATIC = (None, "static")  # other kinds of discovery have their own address syntax


def validate(
    basic: BasicConfig,
    items: Items,
    sections: dict[str, dict[str, Table]],
    claims: Claims,
    report: Report,
) -> None:
    """Check the references between tables.

    :param items: the items that fit their models.
    :param sections: all items by name, including those that did not fit, because they do exist.
    :param claims: the names that distributions provide.
    """
    built_in = {*BUILT_IN_PLUGINS, *claims.get("plugins", ())}
    _check_upstreams(items, sections["upstreams"], report)
    _check_locations(items, sections, report)
    _check_plugin_lists(items, sections["plugins"], built_in, report)
    _check_plugin_names(sections["plugins"], built_in, report)
    _check_servers(basic, items, sections, report)
    _check_tls(items, sections, report)


def _check_upstreams(items: Items, written: dict[str, Table], report: Report) -> None:
    for name, upstream in items.upstreams.items():
        _check_transparent(("upstreams", name), upstream, written[name], report)
        if upstream.discovery == "transparent":
            continue
        if not upstream.addrs:
            message = 'found an empty array, expected addresses such as ["10.0.0.1:8080"]'
            report.error(("upstreams", name, "addrs"), message)
        if upstream.discovery not in _STATIC:
            continue
        for index in range(len(upstream.addrs)):
            _check_backend(upstream, index, ("upstreams", name, "addrs", index), report)
        _check_weights(upstream, ("upstreams", name, "addrs"), report)


def _check_weights(upstream: UpstreamConfig, path: KeyPath, report: Report) -> None:
    """Check that at least one backend gets requests."""
    try:
        backends = upstream.backends
    except ValueError:
        return  # reported already
    if backends and not any(backend.weight for backend in backends):
        report.error(path, "found only weights of 0, expected a backend that gets requests")


def _check_transparent(
    path: KeyPath, upstream: UpstreamConfig, written: Table, report: Report
) -> None:
    """Require the list of reachable hosts, to prevent an open proxy."""
    if upstream.discovery == "transparent":
        if not written.get("transparent_allow"):
            message = (
                "needs transparent_allow, the hosts that clients may reach: without it this would"
                " be an open proxy"
            )
            report.error((*path, "discovery"), message)
        for key in _OF_LISTED_BACKENDS:
            if key in written:
                message = "has no effect: the backends of a transparent upstream are not known"
                report.warn((*path, key), message)
        return
    needs = 'needs discovery = "transparent"'
    if upstream.transparent_allow:
        report.error((*path, "transparent_allow"), needs)
    if upstream.sni == ASKED_HOST:
        report.error((*path, "sni"), f"{quoted(ASKED_HOST)} {needs}")


def _check_backend(upstream: UpstreamConfig, index: int, path: KeyPath, report: Report) -> None:
    text = upstream.addrs[index]
    try:
        address = parse_backend(text).address
    except ValueError as error:
        report.error(path, str(error))
        return
    if isinstance(address, TcpAddress) and (kind := _useless_kind(address)):
        report.error(path, f"{quoted(text)} cannot be a backend: it is {kind} address")


def _useless_kind(address: TcpAddress) -> str:
    ip = address.ip
    if ip is None:
        return ""
    if ip.is_unspecified:
        return "the unspecified"
    if ip == _BROADCAST:
        return "the broadcast"
    if ip.is_multicast:
        return "a multicast"
    return "a link-local" if ip.is_link_local else ""


def _check_locations(items: Items, sections: dict[str, dict[str, Table]], report: Report) -> None:
    upstreams = sections["upstreams"]
    for name, location in items.locations.items():
        _check_upstream_of(name, location, upstreams, report)
        if not location.max_retries:
            for key in ("retry_on", "retry_buffer_size"):
                if key in location.model_fields_set:
                    report.warn(("locations", name, key), "has no effect without max_retries")


def _check_plugin_lists(
    items: Items, configured: Iterable[str], built_in: set[str], report: Report
) -> None:
    plugins = {*configured, *built_in}
    for name, location in items.locations.items():
        _check_plugin_list(("locations", name), location.plugins, plugins, built_in, report)
    for name, server in items.servers.items():
        _check_plugin_list(("servers", name), server.plugins, plugins, built_in, report)


def _check_plugin_list(
    path: KeyPath, names: Iterable[str], plugins: set[str], built_in: set[str], report: Report
) -> None:
    """Report names in the list of a location or server that belong to no plugin."""
    for index, name in enumerate(names):
        place = (*path, "plugins", index)
        if name in plugins:
            continue
        if home := distributions.INSTANCES.get(name):
            report.error(place, distributions.needs(home))
        elif name.startswith("pingap:"):
            report.error(place, _no_such_instance(name, built_in))
        else:
            _report_unknown("plugin", name, plugins, place, report)


def _no_such_instance(name: str, built_in: set[str]) -> str:
    """Return the message for a built-in instance that does not exist or has parameters."""
    word = name.removeprefix("pingap:").partition("?")[0]
    known = (*sorted(built_in), *distributions.INSTANCES)
    if f"pingap:{word}" in known:
        return f"{quoted(f'pingap:{word}')} takes no parameters: set them in a block of [plugins]"
    if word in distributions.CATEGORIES:
        block = f'a block of [plugins] with category = "{word}"'
        return f"there is no built-in plugin {quoted(name)}: write {block} and list its name"
    return f"there is no built-in plugin {quoted(name)}{did_you_mean(name, known)}"


def _check_upstream_of(
    name: str, location: LocationConfig, upstreams: dict[str, Table], report: Report
) -> None:
    path: KeyPath = ("locations", name, "upstream")
    if location.upstream.startswith("$"):
        _check_captured(path, location, report)
    elif location.upstream and location.upstream not in upstreams:
        _report_unknown("upstream", location.upstream, upstreams, path, report)


def _check_captured(path: KeyPath, location: LocationConfig, report: Report) -> None:
    """Check that ``$name`` is a named group of the location's path, host or rewrite."""
    name = location.upstream.removeprefix("$")
    groups = location.capture_names()
    if name in groups:
        return
    known = ", ".join(f"${group}" for group in groups) or "there is none"
    hint = "; a group has a name if it is written (?<name>...)"
    report.error(
        path,
        f"{quoted(location.upstream)} is not a named group of path, host or rewrite ({known}){hint}",
    )


def _check_paths(name: str, server: ServerConfig, items: Items, report: Report) -> None:
    path: KeyPath = ("servers", name)
    if server.path_matching == "raw":
        for key in ("allow_in_paths", "forward_path"):
            if key in server.model_fields_set:
                report.warn((*path, key), 'has no effect with path_matching = "raw"')
        return
    for one in server.locations:
        if (location := items.locations.get(one)) and (why := never_matched(location.path)):
            message = f"never gets a request on the server {name}: {why}"
            report.warn(("locations", one, "path"), message)


def _report_unknown(
    kind: str, name: str, known: Iterable[str], path: KeyPath, report: Report
) -> None:
    hint = did_you_mean(name, known)
    report.error(path, f"no {kind} block is named {quoted(name)}{hint}")


def _check_plugin_names(plugins: dict[str, Table], built_in: set[str], report: Report) -> None:
    """Reject names of built-in plugins, whose tables pingap 0.13.9 silently overrides."""
    for name in plugins:
        if name in built_in or name in distributions.INSTANCES:
            report.error(("plugins", name), "this name belongs to a built-in plugin")


def _check_servers(
    basic: BasicConfig, items: Items, sections: dict[str, dict[str, Table]], report: Report
) -> None:
    taken: dict[Address, str] = {}
    for name, server in items.servers.items():
        for index, location in enumerate(server.locations):
            if location not in sections["locations"]:
                path = ("servers", name, "locations", index)
                _report_unknown("location", location, sections["locations"], path, report)
        _check_addresses(name, server, taken, report)
        _check_paths(name, server, items, report)
        if server.proxy_protocol:
            _check_proxy_protocol(name, server, basic, report)


def _check_proxy_protocol(
    name: str, server: ServerConfig, basic: BasicConfig, report: Report
) -> None:
    """Check who may send PROXY headers: otherwise, any client could choose its own address."""
    path: KeyPath = ("servers", name, "proxy_protocol")
    if not basic.trusted_proxies:
        message = "needs basic.trusted_proxies: the addresses whose PROXY headers are trusted"
        report.error(path, message)
    trusts_unix = UNIX in basic.trusted_proxies
    if not trusts_unix and any(isinstance(one, UnixAddress) for one in server.addresses):
        message = "a Unix socket cannot have it: its peers have no address that could be trusted"
        report.error(path, message)


def _check_addresses(
    name: str, server: ServerConfig, taken: dict[Address, str], report: Report
) -> None:
    path: KeyPath = ("servers", name, "addr")
    for address in server.addresses:
        if isinstance(address, TcpAddress) and address.port == 0:
            continue  # any free port, never the same one twice
        same = _normalised(address)
        if same not in taken:
            taken[same] = name
            continue
        if taken[same] == name:
            where = "twice in this key"
        else:
            first = report.source.problem(("servers", taken[same], "addr"), "")
            line = "" if first.line is None else f":{first.line}"
            where = f"by {dotted(('servers', taken[same]))} ({first.file}{line})"
        report.error(path, f"{quoted(str(address))} is already used {where}")


def _normalised(address: Address) -> Address:
    """Return an address in a form in which equal ones compare equal: ``[::0]:80`` and ``[::]:80``."""
    if not isinstance(address, TcpAddress):
        return address
    host = address.host.lower() if address.ip is None else str(ip_address(address.host))
    return TcpAddress(host, address.port)


def _check_tls(items: Items, sections: dict[str, dict[str, Table]], report: Report) -> None:
    for name, server in items.servers.items():
        path: KeyPath = ("servers", name)
        if server.global_certificates and not sections["certificates"]:
            report.error((*path, "global_certificates"), "there is no block in [certificates]")
        asks = server.tls_verify_client != "off"
        if asks and not server.tls_client_ca:
            report.error(
                (*path, "tls_verify_client"), "needs tls_client_ca, the authorities to trust"
            )
        if server.tls_client_ca and not asks:
            message = 'has no effect: tls_verify_client must be "optional" or "require"'
            report.error((*path, "tls_client_ca"), message)
        if asks and not server.global_certificates:
            message = "needs global_certificates = true: without TLS no client is verified"
            report.error((*path, "tls_verify_client"), message)
        elif not server.global_certificates:
            for key in sorted(key for key in server.model_fields_set if key.startswith("tls_")):
                report.warn((*path, key), "has no effect without global_certificates = true")
    for name, upstream in items.upstreams.items():
        if not upstream.sni:
            for key in ("upstream_ca", "client_cert", "client_key"):
                if key in upstream.model_fields_set:
                    message = "needs sni: without it, connections to the backends do not use TLS"
                    report.error(("upstreams", name, key), message)
        if bool(upstream.client_cert) != bool(upstream.client_key.get_secret_value()):
            there, missing = "client_cert", "client_key"
            if not upstream.client_cert:
                there, missing = missing, there
            report.error(("upstreams", name, there), f"needs {missing} beside it")
