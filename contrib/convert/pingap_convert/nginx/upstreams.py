"""``upstream`` blocks and the targets of ``proxy_pass``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final

from pingap_convert.nginx.directives import Directive, Scope
from pingap_convert.nginx.values import duration
from pingap_convert.result import Result, Table

_TARGET: Final = re.compile(r"(https?)://(unix:[^:]+:?|\[[^\]]+\](?::\d+)?|[^/:$]+(?::\d+)?)(/.*)?")
_TIMEOUTS: Final = {
    "connection_timeout": "proxy_connect_timeout",
    "read_timeout": "proxy_read_timeout",
    "write_timeout": "proxy_send_timeout",
}
_HASHES: Final = {
    "$request_uri": "hash:url",
    "$uri": "hash:path",
    "$remote_addr": "hash:ip",
    "$binary_remote_addr": "hash:ip",
}


@dataclass(frozen=True)
class Target:
    """Where ``proxy_pass`` leads.

    :param upstream: name of the table.
    :param host: nginx sends it as ``Host`` unless told otherwise.
    :param uri: what replaces the prefix of the location; None without one.
    :param count: number of backends.
    """

    upstream: str
    host: str
    uri: str | None
    count: int


class Upstreams:
    """Makes the tables of upstreams.

    :param blocks: the ``upstream`` blocks.
    """

    def __init__(self, blocks: list[Directive], result: Result) -> None:
        self._result = result
        self._blocks = {block.args[0]: block for block in blocks if block.args}

    def target(self, directive: Directive, scope: Scope) -> Target | None:
        """Return the target of a ``proxy_pass``; None if there is no equivalent."""
        found = _TARGET.fullmatch(directive.args[0] if directive.args else "")
        if found is None:
            self._result.leave_out(
                directive.place, "proxy_pass", "expected a URL without variables"
            )
            return None
        scheme, host, uri = found[1], found[2], found[3]
        if uri and "$" in uri:
            self._result.leave_out(directive.place, "proxy_pass", "a URI with variables")
            return None
        block = self._blocks.get(host)
        table: Table = {"addrs": [self._address(host, scheme)]}
        if block:
            table = self._of_block(block)
        if not table["addrs"]:
            self._result.leave_out(
                directive.place, "proxy_pass", f"the upstream {host} has no server"
            )
            return None
        if any(not _is_address(one) for one in table["addrs"]):
            table["discovery"] = "static"  # names are resolved once, as nginx does
        if scheme == "https":
            self._encrypt(table, host, scope)
        for key, name in _TIMEOUTS.items():
            table[key] = self._duration(scope, name)
        shown = host.rpartition("/")[2].rstrip(":") if host.startswith("unix:") else host
        name = self._result.add("upstreams", shown, table)
        sent = "localhost" if host.startswith("unix:") else host
        return Target(name, sent, uri, len(table["addrs"]))

    def _encrypt(self, table: dict[str, Any], host: str, scope: Scope) -> None:
        name = scope.value("proxy_ssl_name", host.partition(":")[0])
        table["sni"] = host.partition(":")[0] if "$" in name else name
        table["verify_cert"] = scope.value("proxy_ssl_verify", "off") == "on"
        if table["verify_cert"] and (authorities := scope.value("proxy_ssl_trusted_certificate")):
            table["upstream_ca"] = authorities

    def _duration(self, scope: Scope, name: str) -> str:
        found = scope.last(name)
        try:
            return duration(found.args[0]) if found else "60s"
        except ValueError as error:
            assert found is not None
            self._result.leave_out(found.place, name, str(error))
            return "60s"

    def _of_block(self, block: Directive) -> dict[str, Any]:
        table: dict[str, Any] = {"addrs": []}
        failures: set[tuple[str, str]] = set()
        scope = Scope(block.block or [])
        for server in scope.here("server"):
            table["addrs"] += self._server(server, failures)
        if len(failures) == 1 and (only := failures.pop()) != ("", "") and only[0] != "0":
            table["passive_failures"] = int(only[0] or "1")
            table["passive_ejection_time"] = duration(only[1] or "10")
        elif len(failures) > 1:
            self._result.leave_out(block.place, "max_fails", "all servers must have the same")
        self._algorithm(scope, table)
        for other in scope.unused():
            why = "there is no such balancing" if other.name != "server" else ""
            self._result.leave_out(other.place, other.name, why)
        return table

    def _algorithm(self, scope: Scope, table: dict[str, Any]) -> None:
        for name, algorithm in (
            ("least_conn", "least_conn"),
            ("ip_hash", "hash:ip"),
            ("random", "random"),
        ):
            if scope.here(name):
                table["algo"] = algorithm
        for found in scope.here("hash"):
            key = found.args[0] if found.args else ""
            if key in _HASHES:
                table["algo"] = _HASHES[key]
            elif header := re.fullmatch(r"\$http_(\w+)", key):
                table["algo"] = f"hash:header:{header[1].replace('_', '-')}"
            elif cookie := re.fullmatch(r"\$cookie_(\w+)", key):
                table["algo"] = f"hash:cookie:{cookie[1]}"
            elif query := re.fullmatch(r"\$arg_(\w+)", key):
                table["algo"] = f"hash:query:{query[1]}"
            else:
                self._result.leave_out(found.place, "hash", f"there is no balancing by {key}")

    def _server(self, server: Directive, failures: set[tuple[str, str]]) -> list[str]:
        address, *parameters = server.args
        given = dict(one.partition("=")[::2] for one in parameters)
        if "down" in given:
            return []
        failures.add((given.pop("max_fails", ""), given.pop("fail_timeout", "")))
        written = self._address(address, "http")
        weight, backup = given.pop("weight", "1"), "backup" in given
        given.pop("backup", None)
        for name in given:
            self._result.leave_out(
                server.place, f"server {address} {name}", "there is no such parameter"
            )
        if weight != "1" or backup:
            written += f" {weight}"
        return [f"{written} backup" if backup else written]

    def _address(self, host: str, scheme: str) -> str:
        if host.startswith("unix:"):
            return host.rstrip(":")
        has_port = re.search(r":\d+$", host) and not host.endswith("]")
        return host if has_port else f"{host}:{443 if scheme == 'https' else 80}"


def _is_address(written: str) -> bool:
    """Return whether an address needs no discovery."""
    host = written.partition(" ")[0]
    if host.startswith("unix:"):
        return True
    try:
        return ip_address(host.rpartition(":")[0]).version == 4
    except ValueError:
        return False
