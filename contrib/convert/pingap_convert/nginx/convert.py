"""Converts the servers and locations of nginx, so that each request finds the same location.

nginx chooses a server by address and host, and then a location by its rules. pingap tries the locations of a server by their
weight; so each location gets a weight from the rank of its host and its own rank.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pingap_convert.nginx.answers import Answers
from pingap_convert.nginx.directives import Directive, Scope, read_nginx
from pingap_convert.nginx.plugins import Plugins, is_to_https, restricts
from pingap_convert.nginx.upstreams import Upstreams
from pingap_convert.nginx.values import duration, size
from pingap_convert.result import ConversionError, Result, Table, is_supported_regex

_HOST_STEP: Final = 10_000
_LOCATION_STEP: Final = 100
_MOST_HOSTS: Final = 99
"""Weights: a kind of host has 10 000, of which each of its hosts has 100 for its locations."""
_HOST_RANKS: Final = {"exact": 5, "before": 4, "after": 3, "regex": 2, "any": 1}
_LOOK_AROUND: Final = re.compile(r"\(\?<?[!=][^()]*\)")
_VERSIONS: Final = {"TLSv1.1": "tlsv1.1", "TLSv1.2": "tlsv1.2", "TLSv1.3": "tlsv1.3"}
_TIMES: Final = {
    "client_header_timeout": "head_read_timeout",
    "client_body_timeout": "downstream_read_timeout",
    "send_timeout": "downstream_write_timeout",
    "keepalive_timeout": "keepalive_timeout",
}


def convert_nginx(path: Path, result: Result) -> None:
    """Add the configuration of a file and of those that it includes.

    :raises ConversionError: it cannot be read, or is not valid.
    """
    main = Scope(read_nginx(path))
    workers = main.value("worker_processes")
    if workers:
        result.basic()["threads"] = 0 if workers == "auto" else int(workers)
    for http in main.here("http"):
        _Http(Scope(http.block or [], main), result).convert()
    for one in main.unused():
        result.leave_out(one.place, one.name, "only http is converted")


class _Http:
    def __init__(self, scope: Scope, result: Result) -> None:
        self._scope = scope
        self._result = result
        zones = {}
        for one in [*scope.here("limit_req_zone"), *scope.here("limit_conn_zone")]:
            for argument in one.args:
                if argument.startswith("zone="):
                    zones[argument[5:].partition(":")[0]] = one
        self._plugins = Plugins(result, zones)
        self._answers = Answers(result, Upstreams(scope.here("upstream"), result))
        self._servers: dict[str, Table] = {}
        self._defaults: dict[str, Directive] = {}
        self._at: dict[str, list[Directive]] = {}
        self._regexes = 0
        self._parents: dict[int, Scope] = {}

    def convert(self) -> None:
        servers = self._scope.here("server")
        for server in servers:
            for address, flags in self._listens(server):
                self._at.setdefault(address, []).append(server)
                if address not in self._defaults or "default_server" in flags:
                    self._defaults[address] = server
        for server in servers:
            self._server(server)
        for address, table in self._servers.items():
            if not table.get("global_certificates"):
                for key in [key for key in table if key.startswith("tls_")]:
                    del table[key]
            self._result.add("servers", f"listen_{address.replace('0.0.0.0:', '')}", table)
        for one in self._scope.unused():
            self._result.leave_out(one.place, one.name, "there is no equivalent")

    def _listens(self, server: Directive) -> Iterator[tuple[str, list[str]]]:
        """Yield each address of a server, with the flags after it."""
        found = [one for one in server.block or [] if one.name == "listen"]
        for one in found:
            one.used = True
            yield _address(one.args[0]), one.args[1:]
        if not found:
            yield "0.0.0.0:80", []

    def _server(self, directive: Directive) -> None:
        scope = Scope(directive.block or [], self._scope)
        names = [name for one in scope.here("server_name") for name in one.args if name]
        label = next((name for name in names if name[0] not in "~*_"), "default")
        is_encrypted = False
        default_at: list[Table] = []
        other_at: list[Table] = []
        for address, flags in self._listens(directive):
            table = self._table(address, scope)
            if "ssl" in flags or scope.value("ssl") == "on":
                is_encrypted = table["global_certificates"] = True
            if "http2" in flags or scope.value("http2") == "on":
                table["enabled_h2"] = True
            if "proxy_protocol" in flags:
                self._result.leave_out(
                    directive.place, "listen proxy_protocol", "set trusted_proxies"
                )
            is_default = self._defaults[address] is directive
            (default_at if is_default else other_at).append(table)
        if is_encrypted and not self._certificate(scope, names, label, bool(default_at)):
            self._close(directive, default_at + other_at)
        hosts = self._hosts(directive, names) if self._has_others(directive) else []
        if default_at:
            self._locations(scope, "", "any", label, default_at)
        for kind, host in hosts:
            self._locations(scope, host, kind, label, default_at + other_at)
        self._mention(scope)

    def _has_others(self, server: Directive) -> bool:
        """Return whether another server listens at an address of this one."""
        return any(len(self._at[address]) > 1 for address, _ in self._listens(server))

    def _close(self, directive: Directive, tables: list[Table]) -> None:
        for table in tables:
            if not self._result.tables.get("certificates") and table.pop(
                "global_certificates", None
            ):
                self._result.leave_out(
                    directive.place, "listen ssl", "without a certificate, it has no TLS"
                )

    def _table(self, address: str, scope: Scope) -> Table:
        """Return the table of a listening address; the first server decides its time limits, as in nginx."""
        if address in self._servers:
            return self._servers[address]
        table: Table = {"addr": address, "locations": []}
        for name, key in _TIMES.items():
            if found := scope.last(name):
                try:
                    table[key] = duration(found.args[0])
                except ValueError as error:
                    self._result.leave_out(found.place, name, str(error))
        if requests := scope.value("keepalive_requests"):
            table["keepalive_requests"] = int(requests)
        log = scope.last("access_log")
        if log is None or log.args != ["off"]:
            table["access_log"] = "combined"
        if log is not None and log.args != ["off"]:
            self._result.leave_out(
                log.place, "access_log", "lines are written to the log of pingap; see --log"
            )
        self._verify_clients(scope, table)
        versions = [version for one in scope.all("ssl_protocols") for version in one.args]
        known = sorted(_VERSIONS[version] for version in versions if version in _VERSIONS)
        if known:
            table["tls_min_version"], table["tls_max_version"] = known[0], known[-1]
        if ciphers := scope.value("ssl_ciphers"):
            table["tls_cipher_list"] = ciphers
        self._servers[address] = table
        return table

    def _verify_clients(self, scope: Scope, table: Table) -> None:
        verify, authority = scope.last("ssl_verify_client"), scope.last("ssl_client_certificate")
        if verify is None or verify.args != ["on"]:
            return
        if authority is None or not Path(authority.args[0]).is_file():
            raise ConversionError(
                f"{verify.place.file}:{verify.place.line}: ssl_verify_client: its ssl_client_certificate does not exist here"
            )
        table["tls_verify_client"], table["tls_client_ca"] = "require", authority.args[0]

    def _certificate(self, scope: Scope, names: list[str], label: str, is_default: bool) -> bool:
        cert, key = scope.last("ssl_certificate"), scope.last("ssl_certificate_key")
        if cert is None or key is None:
            return bool(self._result.tables.get("certificates"))
        for one in (cert, key):
            if not Path(one.args[0]).is_file():
                self._result.leave_out(one.place, one.name, f"{one.args[0]} does not exist here")
                return bool(self._result.tables.get("certificates"))
        table: Table = {"tls_cert": cert.args[0], "tls_key": key.args[0]}
        if domains := [
            name
            for name in names
            if not name.startswith("~") and name != "_" and "*" not in name[1:]
        ]:
            table["domains"] = ",".join(domains)
        if is_default:
            table["is_default"] = True
        self._result.add("certificates", label, table)
        return True

    def _hosts(self, directive: Directive, names: list[str]) -> list[tuple[str, str]]:
        """Return the kind and the value of ``host`` for each kind of name."""
        found: dict[str, list[str]] = {}
        for name in names:
            if name == "_":
                continue
            if name.startswith("."):
                found.setdefault("exact", []).append(name[1:])
                found.setdefault("before", []).append(f"*{name}")
            elif name.startswith("~"):
                if "," in name or not is_supported_regex(name[1:]):
                    self._result.leave_out(
                        directive.place, f"server_name {name}", "not a supported regex"
                    )
                else:
                    found.setdefault("regex", []).append(f"~(?i){name[1:]}")
            elif name.endswith(".*"):
                found.setdefault("after", []).append(f"~(?i)^{re.escape(name[:-1])}")
            else:
                found.setdefault("before" if "*" in name else "exact", []).append(name)
        return [(kind, ",".join(hosts)) for kind, hosts in found.items()]

    def _locations(
        self, scope: Scope, host: str, kind: str, label: str, servers: list[Table]
    ) -> None:
        """Add the locations of a server for some hosts."""
        base = _HOST_RANKS[kind] * _HOST_STEP
        if kind in ("before", "after"):  # the longest one is tried first
            base += min(max(map(len, host.split(","))), _MOST_HOSTS) * _LOCATION_STEP
        elif kind == "regex":  # in the order of the file
            self._regexes += 1
            base += max(_MOST_HOSTS - self._regexes, 0) * _LOCATION_STEP
        ranked = list(self._ranked(scope))
        for rank, (path, inside) in enumerate(ranked):
            short = f"{label}{_label(path)}"
            table: Table = {"weight": base + len(ranked) - rank}
            if host:
                table["host"] = host
            if written := _path(path):
                table["path"] = written
            self._fill(inside, table, short, path)
            added = self._result.add("locations", short if host else f"{short}_any", table)
            for server in servers:
                server["locations"].append(added)

    def _ranked(self, scope: Scope) -> Iterator[tuple[str, Scope]]:
        """Yield the locations of a server in the order in which pingap has to try them."""
        for _ in scope.here("return"):
            yield "", scope
            return
        found: dict[str, list[tuple[str, Directive]]] = {"=": [], "^~": [], "~": [], "": []}
        for inside, one in self._listed(scope):
            modifier, text = (one.args[0], one.args[1]) if len(one.args) > 1 else ("", one.args[0])
            if modifier in ("~", "~*"):
                text = f"(?i){text}" if modifier == "~*" else text
                modifier = "~"
            found[modifier].append((text, one))
            self._parents[id(one)] = inside
        prefixes = sorted(found["^~"] + found[""], key=lambda one: -len(one[0]))
        first, last = prefixes, prefixes[:0]
        if found["~"]:
            first, last = self._split(prefixes, found["^~"])
        exact = {text for text, _ in found["="]}
        order = [(f"={text}", one) for text, one in found["="]]
        order += [(f"={text}", one) for text, one in _without_slash(prefixes) if text not in exact]
        order += [(text, one) for text, one in first]
        order += [(f"~{text}", one) for text, one in found["~"]]
        order += [(text, one) for text, one in last]
        for path, one in order:
            yield path, Scope(one.block or [], self._parents.get(id(one), scope))
        if not any(path == "/" for path, _ in order):
            yield "", scope  # nginx does not look into other servers

    def _listed(self, scope: Scope) -> Iterator[tuple[Scope, Directive]]:
        """Yield the locations of a block that can be converted, and those inside of them."""
        for one in scope.here("location"):
            text, shown = one.args[-1], f"location {' '.join(one.args)}"
            is_regex = one.args[0] in ("~", "~*")
            if text.startswith("@"):
                self._result.leave_out(one.place, shown, "there are no named locations")
            elif is_regex and not is_supported_regex(text):
                yield from self._unsupported(scope, one, shown)
            else:
                yield scope, one
                inner = [
                    x
                    for x in one.block or ()
                    if x.name == "location" and x.args[0] not in ("~", "~*")
                ]
                yield from self._listed(Scope(inner, Scope(one.block or [], scope)))

    def _unsupported(
        self, scope: Scope, one: Directive, shown: str
    ) -> Iterator[tuple[Scope, Directive]]:
        """Leave out a location; what it refuses is refused for all paths that are like it."""
        why = "not a supported regex"
        if restricts(one):
            wider = _LOOK_AROUND.sub("", one.args[-1])
            args = ["~*", wider] if is_supported_regex(wider) else ["^~", "/"]
            why += f", so all paths like {args[1]} get 403"
            yield (
                scope,
                Directive("location", args, one.place, [Directive("return", ["403"], one.place)]),
            )
        self._result.leave_out(one.place, shown, why)

    def _split(
        self, prefixes: list[tuple[str, Directive]], strong: list[tuple[str, Directive]]
    ) -> tuple[list[tuple[str, Directive]], list[tuple[str, Directive]]]:
        """Return the prefixes that come before regular expressions, and those that come after them."""
        first: list[tuple[str, Directive]] = []
        last: list[tuple[str, Directive]] = []
        for text, one in prefixes:
            inside = any(text.startswith(outer) for outer, other in strong if other is not one)
            if (text, one) in strong:
                first.append((text, one))
            elif inside:
                first.append((text, one))
                why = "inside of a ^~ prefix, it comes before regular expressions"
                self._result.leave_out(one.place, f"location {text}", why)
            else:
                last.append((text, one))
        return first, last

    def _fill(self, scope: Scope, table: Table, name: str, path: str) -> None:
        table["plugins"] = self._plugins.of(scope, name)
        limit = scope.last("client_max_body_size")
        table["client_max_body_size"] = size(limit.args[0]) if limit else "1MiB"
        self._add_redirect(scope, table)
        self._answers.add(scope, table, name, path)
        if not table["plugins"]:
            del table["plugins"]
        if path:
            self._mention(scope)

    def _add_redirect(self, scope: Scope, table: Table) -> None:
        """Convert the ``if`` with which http is redirected to https; others are left out."""
        for one in scope.all("if"):
            if is_to_https(one):
                plugin: Table = {"category": "redirect", "http_to_https": True, "status": 301}
                table["plugins"].append(self._result.add("plugins", "to_https", plugin))
            elif not restricts(one):
                text = " ".join(one.args)
                self._result.leave_out(one.place, f"if {text}", "conditions are not converted")

    def _mention(self, scope: Scope) -> None:
        for one in scope.unused():
            self._result.leave_out(one.place, one.name, "there is no equivalent")


def _without_slash(
    prefixes: list[tuple[str, Directive]],
) -> Iterator[tuple[str, Directive]]:
    """Yield redirects to prefixes with a slash at their end, which nginx makes if a backend answers there."""
    known = {text for text, _ in prefixes}
    for text, one in prefixes:
        bare = text.removesuffix("/")
        has_backend = any(inner.name == "proxy_pass" for inner in one.block or ())
        if bare and bare != text and bare not in known and has_backend:
            answer = Directive("return", ["301", text], one.place)
            yield bare, Directive("location", ["=", bare], one.place, [answer])


def _address(text: str) -> str:
    if text.isdecimal():
        return f"0.0.0.0:{text}"
    if text.startswith("unix:"):
        return text
    text = re.sub(r"^\*", "0.0.0.0", text)  # noqa: S104 - it is what the file says
    return text if re.search(r":\d+$", text) and not text.endswith("]") else f"{text}:80"


def _path(path: str) -> str:
    """Return a path as pingap writes it; empty for any."""
    if path in ("", "/"):
        return ""
    return path


def _label(path: str) -> str:
    text = re.sub(r"[^A-Za-z0-9]+", "_", path).strip("_")
    return f"_{text}" if text else ("_root" if path else "_rest")
