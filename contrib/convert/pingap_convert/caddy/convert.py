"""Converts the sites of a Caddyfile to servers and locations."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from pingap_convert.caddy.reader import Caddyfile, Segment, read_caddyfile
from pingap_convert.caddy.site import Site
from pingap_convert.result import Result, Table

_ADDRESS: Final = re.compile(r"(?:(https?)://)?(\[[^\]]*\]|[^:/\s]*)(?::(\d+))?(/\S*)?")
_HOST_STEP: Final = 10_000
_HIDDEN_OPTIONS: Final = frozenset(
    {"admin", "debug", "email", "grace_period", "log", "order", "persist_config"}
)


def convert_caddyfile(path: Path, result: Result) -> None:
    """Add the configuration of a file and of those that it imports.

    :raises ConversionError: it is not valid.
    """
    _Sites(read_caddyfile(path), result).convert()


class _Sites:
    def __init__(self, file: Caddyfile, result: Result) -> None:
        self._file = file
        self._result = result
        self._servers: dict[str, Table] = {}
        self._ports = {"http": "80", "https": "443"}

    def convert(self) -> None:
        for option in self._file.options:
            if option.name in ("http_port", "https_port") and len(option.words) == 2:
                self._ports[option.name.removesuffix("_port")] = option.words[1]
            elif option.name not in _HIDDEN_OPTIONS:
                self._result.leave_out(option.place, option.name, "there is no such global option")
        for site in self._file.sites:
            self._convert_site(site)
        for address, table in self._servers.items():
            self._result.add("servers", f"listen_{address.replace('0.0.0.0:', '')}", table)

    def _convert_site(self, segment: Segment) -> None:
        body = segment.block or []
        names = [one for word in segment.words for one in word.split(",") if one]
        has_tls = self._certificate(segment, names)
        by_listener: dict[tuple[str, bool], list[str]] = {}
        for name in names:
            found = _ADDRESS.fullmatch(name)
            if found is None or found[4] not in (None, "/") or "{" in name:
                self._result.leave_out(segment.place, name, "not an address that can be converted")
                continue
            scheme, host, port = found[1], found[2], found[3]
            encrypted = (
                scheme == "https"
                or (scheme is None and port not in (None, self._ports["http"]) and has_tls)
                or (scheme is None and port is None and bool(host))
                or port == self._ports["https"]
            )
            if encrypted and not has_tls:
                text = "certificates are not ordered automatically, so it is served without TLS"
                self._result.leave_out(segment.place, name, text)
                port = port if port not in (None, self._ports["https"]) else self._ports["http"]
                encrypted = False
            elif encrypted and scheme is None and port is None:
                self._redirect_to_https(host)
            at = port or self._ports["https" if encrypted else "http"]
            for interface in self._interfaces(body):
                by_listener.setdefault((f"{interface}:{at}", encrypted), []).append(host)
        label = next((one for hosts in by_listener.values() for one in hosts if one), "site")
        for (address, encrypted), hosts in by_listener.items():
            server = self._server(address, encrypted, body)
            site = Site(body, label, self._result)
            if self._has_client_auth(body):
                site.close()
            self._add_locations(site, server, hosts)

    def _interfaces(self, body: list[Segment]) -> list[str]:
        found = [word for one in body if one.name == "bind" for word in one.words[1:]]
        return [f"[{one}]" if ":" in one else one for one in found] or ["0.0.0.0"]  # noqa: S104

    def _has_client_auth(self, body: list[Segment]) -> bool:
        """Return whether clients need certificates; all options of ``tls`` are left out."""
        found = False
        for option in [option for one in body if one.name == "tls" for option in one.block or []]:
            is_guard = option.name == "client_auth"
            why = "so all requests get 403" if is_guard else "there is no equivalent"
            self._result.leave_out(option.place, f"tls {option.name}", why)
            found = found or is_guard
        return found

    def _add_locations(self, site: Site, server: Table, hosts: list[str]) -> None:
        base, wanted = _HOST_STEP, [one for one in hosts if one]
        if len(wanted) == len(hosts):
            longest = max(map(len, wanted))
            is_wildcard = any("*" in one for one in wanted)
            base = 4 * _HOST_STEP + min(longest, 90) * 100 if is_wildcard else 5 * _HOST_STEP
        found = site.locations()
        for index, (name, table) in enumerate(found):
            table = {"weight": base + len(found) - index, **table}
            if len(wanted) == len(hosts):
                table["host"] = ",".join(wanted)
            server["locations"].append(self._result.add("locations", name, table))

    def _server(self, address: str, encrypted: bool, body: list[Segment]) -> Table:
        table = self._servers.setdefault(address, {"addr": address, "locations": []})
        if encrypted:
            table["global_certificates"] = True
            table["enabled_h2"] = True
        if any(one.name == "log" for one in body):
            table["access_log"] = "combined"
        return table

    def _redirect_to_https(self, host: str) -> None:
        server = self._server(f"0.0.0.0:{self._ports['http']}", False, [])
        plugin = {"category": "redirect", "http_to_https": True, "status": 308}
        name = self._result.add("plugins", "to_https", plugin)
        answer = self._result.add("plugins", "nothing", {"category": "mock", "status": 404})
        table: Table = {"weight": 5 * _HOST_STEP, "plugins": [name, answer]}
        if host:
            table["host"] = host
        server["locations"].append(
            self._result.add("locations", f"{host or 'site'}_to_https", table)
        )

    def _certificate(self, segment: Segment, names: list[str]) -> bool:
        for one in segment.block or []:
            if one.name != "tls":
                continue
            files = one.words[1:3]
            if len(one.words) == 3 and all(Path(file).is_file() for file in files):
                table: Table = {"tls_cert": files[0], "tls_key": files[1]}
                self._result.add("certificates", names[0] if names else "site", table)
                return True
            why = "only files of a certificate and a key that exist here"
            self._result.leave_out(one.place, " ".join(one.words), why)
        return False
